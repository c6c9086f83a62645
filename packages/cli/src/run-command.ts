/** A single command given behind `--`. */
import { connect, type WardenClient } from '@warden/client';
import { CommandError } from './command-error.ts';
import { COMMANDS } from './commands.ts';
import { execute } from './execute.ts';
import type { CliOptions } from './options.ts';
import { reportError } from './report-error.ts';
import type { Terminal } from './terminal.ts';
import { firstWords } from './words/find-word.ts';
import { didYouMean } from './words/suggest.ts';

/** Exit status for wrong words. */
const EXIT_SYNTAX = 2;
/** Exit status for everything else that fails. */
const EXIT_FAILURE = 1;

/** Executes the command of `options`; gives the exit status of the program. */
export async function runCommand(options: CliOptions, terminal: Terminal): Promise<number> {
  let client: WardenClient | undefined;
  const context = {
    options,
    terminal,
    client: async (signal?: AbortSignal) => {
      client ??= await connect({ path: options.socket, signal });
      return client;
    },
  };
  try {
    const outcome = await execute(options.command, context);
    if (outcome === undefined) return 0;
    return outcome.isRun || !options.compatExit ? outcome.exitStatus : 0;
  } catch (error) {
    await reportError(withSuggestion(error, options), options, terminal);
    if (!(error instanceof CommandError)) return EXIT_FAILURE;
    return options.compatExit ? 0 : EXIT_SYNTAX;
  } finally {
    await client?.close();
  }
}

/** Behind `--` an error has the original's text; without it there is room for what was probably meant. */
function withSuggestion(error: unknown, { command, isLoose }: CliOptions): unknown {
  if (!isLoose || !(error instanceof CommandError)) return error;
  const name = command[0]!.toLowerCase();
  const known = COMMANDS.get(name);
  if (known === undefined) return withMore(error, didYouMean(name, firstWords()));
  const flag = /^In flag: '(--[^']*)', the field/.exec(error.message)?.[1];
  const names = known.request.fields.map((field) => `--${field.name}`);
  return flag === undefined ? error : withMore(error, didYouMean(flag, names));
}

function withMore(error: CommandError, more: string): CommandError {
  return more === '' ? error : new CommandError(`${error.message}${more}`);
}
