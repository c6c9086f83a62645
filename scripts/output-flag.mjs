// The one flag of scripts that write files somewhere: `[--output DIRECTORY]`, absolute then. Whatever else is
// said ends the process with the usage.
import path from 'node:path';

/** Nothing when it is not given. `name`: that of the script, as `npm run` knows it. */
export function outputFlag(name) {
  const [flag, given, ...rest] = process.argv.slice(2);
  if (flag === undefined) return undefined;
  if (flag !== '--output' || given === undefined || rest.length > 0) {
    process.stderr.write(`usage: npm run ${name} -- [--output DIRECTORY]\n`);
    process.exit(2);
  }
  return path.resolve(given);
}
