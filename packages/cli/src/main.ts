/** Entry of the `warden` program. */
import { createRequire } from 'node:module';
import { toWardenError } from '@warden/interface';
import { programHelp } from './help.ts';
import { type CliOptions, parseOptions } from './options.ts';
import { losslessWords } from './process-words.ts';
import { runPrompt } from './prompt.ts';
import { reportError } from './report-error.ts';
import { runCommand } from './run-command.ts';
import { type Terminal, write } from './terminal.ts';
import { runWord } from './words/run-word.ts';

/**
 * Runs the program on the process's streams and sets `process.exitCode`. `argv`: the words behind the
 * program's name.
 */
export async function main(argv: string[] = process.argv.slice(2)): Promise<void> {
  const { stdin, stdout, stderr, env } = process;
  // Whoever read the output went away (`| head`): an endless job must not keep the program. Nobody is left to
  // be told why.
  stdout.on('error', () => process.exit(1));
  stderr.on('error', () => undefined);
  process.exitCode = await runProgram(losslessWords(argv), { stdin, stdout, stderr, env });
}

/** Runs the program on given streams; gives its exit status. */
export async function runProgram(argv: readonly string[], terminal: Terminal): Promise<number> {
  let options: CliOptions;
  try {
    options = parseOptions(argv, terminal.env);
  } catch (error) {
    await write(terminal.stderr, `${toWardenError(error).message}\n`);
    return 1;
  }
  if (options.help) {
    await write(terminal.stdout, programHelp());
    return 0;
  }
  if (options.version) {
    await write(terminal.stdout, `warden ${readVersion()}\n`);
    return 0;
  }
  const { word = foreignBehindDelimiter(options) } = options;
  if (word !== undefined) return runWord(word, options, terminal);
  if (options.command.length > 0) return runCommand(options, terminal);
  try {
    return await runPrompt(options, terminal);
  } catch (error) {
    await reportError(error, options, terminal);
    return 1;
  }
}

/** These two were understood behind `--` too before there were words without it. */
function foreignBehindDelimiter({ command }: CliOptions): readonly string[] | undefined {
  return ['doctor', 'rootfs'].includes(command[0]!) ? command : undefined;
}

/** Read when somebody asks. */
function readVersion(): string {
  return (createRequire(import.meta.url)('../package.json') as { readonly version: string }).version;
}
