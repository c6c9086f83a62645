/** Entry of the `warden` program. */
import { createRequire } from 'node:module';
import { toWardenError } from '@warden/interface';
import { programHelp } from './help.ts';
import { EXIT_OUTPUT_GONE, EXIT_OWN } from './jobs/exit-code.ts';
import { type CliOptions, parseOptions } from './options.ts';
import { losslessWords } from './process-words.ts';
import { runPrompt } from './prompt.ts';
import { reportError } from './report-error.ts';
import { runCommand } from './run-command.ts';
import { OUTPUT_GONE, type Terminal, write } from './terminal.ts';
import { runWord } from './words/run-word.ts';

/**
 * Runs the program on the process's streams and sets `process.exitCode`. `argv`: the words behind the
 * program's name.
 */
export async function main(argv: string[] = process.argv.slice(2)): Promise<void> {
  const { stdin, stdout, stderr, env } = process;
  const words = losslessWords(argv);
  let isGone = false;
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (isGone) return;
    isGone = true;
    const exitCode = outputFailed(error, words);
    if (!stdout.emit(OUTPUT_GONE, exitCode)) process.exit(exitCode);
  });
  stderr.on('error', () => undefined);
  process.exitCode = await runProgram(words, { stdin, stdout, stderr, env });
}

/** The exit status for output that cannot be written. Whoever went away by intent (`| head`) is told nothing. */
function outputFailed({ code, message }: NodeJS.ErrnoException, words: readonly string[]): number {
  if (code === 'EPIPE') return EXIT_OUTPUT_GONE;
  process.stderr.write(`standard output cannot be written: ${message}\n`);
  // output came from options that were understood
  return parseOptions(words, process.env).word === undefined ? 1 : EXIT_OWN;
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
