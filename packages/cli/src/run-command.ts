/** A single command given behind `--`. */
import { connect, type WardenClient } from '@warden/client';
import { CommandError } from './command-error.ts';
import { execute } from './execute.ts';
import type { CliOptions } from './options.ts';
import { reportError } from './report-error.ts';
import { withSuggestion } from './suggestion.ts';
import type { Terminal } from './terminal.ts';

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
    // behind -- an error has the original's text; without it there is room for what was probably meant
    const shown = options.isLoose ? withSuggestion(error, options.command) : error;
    await reportError(shown, options, terminal);
    if (!(shown instanceof CommandError)) return EXIT_FAILURE;
    if (!options.compatExit) return EXIT_SYNTAX;
    // the original noticed what is missing or too large when it encoded the request, and failed
    return error instanceof CommandError ? 0 : EXIT_FAILURE;
  } finally {
    await client?.close();
  }
}
