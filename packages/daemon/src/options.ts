/** The command line of `wardend`. */
import { parseArgs } from 'node:util';
import { WardenError } from '@warden/interface';

/** What was asked for. */
export interface DaemonOptions {
  readonly config?: string;
  readonly checkConfig: boolean;
  readonly listFailpoints: boolean;
  readonly help: boolean;
}

export const USAGE = `Usage: wardend [--config FILE] [--check-config]
       wardend doctor [--config FILE] [--json]

  --config FILE    YAML configuration in the original's form; without it the defaults apply
  --check-config   check the configuration, print what is effective, and exit
  --list-failpoints  the places where a test can make the daemon fail (docs/failpoints.md), one on a line
  --help           this text
  doctor           show what this host has, which drivers work, and what to do for better ones

Signals: SIGTERM and SIGINT end the daemon and leave containers running; SIGUSR2 drains.
Environment: WARDEN_DEBUG=scope,... switches debug lines of scopes on. WARDEN_FAILPOINT is for tests.
`;

/** Parses the words after the program's name. Errors: `INVALID_SPEC` naming the option. */
export function parseOptions(words: readonly string[]): DaemonOptions {
  try {
    const { values } = parseArgs({
      args: [...words],
      options: {
        config: { type: 'string', short: 'c' },
        'check-config': { type: 'boolean' },
        'list-failpoints': { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    });
    return {
      ...(values.config === undefined ? {} : { config: values.config }),
      checkConfig: values['check-config'] ?? false,
      listFailpoints: values['list-failpoints'] ?? false,
      help: values.help ?? false,
    };
  } catch (cause) {
    throw new WardenError('INVALID_SPEC', (cause as Error).message, { cause });
  }
}
