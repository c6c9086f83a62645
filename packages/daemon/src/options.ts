/** The command line of `wardend`. */
import { parseArgs } from 'node:util';
import { didYouMean, WardenError } from '@warden/interface';
import { type ConfigurationWords, parseSetting, type Setting } from './config-sources.ts';

/** What was asked for. */
export interface DaemonOptions extends ConfigurationWords {
  readonly checkConfig: boolean;
  readonly listFailpoints: boolean;
  readonly help: boolean;
  readonly version: boolean;
}

/** Flags that stand for one key of the configuration. */
const SHORTHANDS: Readonly<Record<string, readonly string[]>> = {
  socket: ['server', 'unix_domain_path'],
  depot: ['server', 'container_depot_path'],
  rootfs: ['server', 'container_rootfs_path'],
  pidfile: ['server', 'pidfile'],
  'log-level': ['logging', 'level'],
  'log-file': ['logging', 'file'],
};

type ParseOptions = NonNullable<NonNullable<Parameters<typeof parseArgs>[0]>['options']>;

/** The words that say where settings come from, for every command of the program. */
export const CONFIGURATION_OPTIONS: ParseOptions = {
  config: { type: 'string', short: 'c' },
  set: { type: 'string', multiple: true },
  ...Object.fromEntries(Object.keys(SHORTHANDS).map((name) => [name, { type: 'string' }])),
};

/** Of {@link CONFIGURATION_OPTIONS}, for help texts. */
export const CONFIGURATION_USAGE: string = `Settings, the upper ones win:
  --set section.key=VALUE   one key of the configuration, VALUE as YAML; more than once for several
  --socket PATH, --depot PATH, --rootfs PATH, --pidfile PATH, --log-level LEVEL, --log-file PATH
                            short for server.unix_domain_path, server.container_depot_path, server.container_rootfs_path,
                            server.pidfile, logging.level and logging.file
  WARDEN_SECTION__KEY       the same by the environment, as WARDEN_SERVER__UNIX_DOMAIN_PATH=/run/warden/warden.sock
  --config FILE             YAML in the original's form; else the file named by WARDEN_CONFIG, else /etc/warden/wardend.yml if there is one
`;

export const USAGE: string = `Usage: wardend [settings]
       wardend config check|show|schema [settings]
       wardend doctor [settings] [--json]
       wardend cleanup [--dry-run] [--all] [--json] [settings]

  --check-config     check the configuration, print what is effective and what is unsafe, and exit; looks at nothing of this host
  --list-failpoints  the places where a test can make the daemon fail (docs/failpoints.md), one on a line
  --help             this text
  --version          the version of this program
  config             check: check it and this host, and tell what is odd; show: print what is effective; schema: the JSON schema of the file
  cleanup            remove what a daemon that is gone has left; --dry-run only lists it
  doctor             show what this host has, which drivers work, and what to do for better ones

${CONFIGURATION_USAGE}
Signals: SIGTERM and SIGINT end the daemon and leave containers running; SIGUSR2 drains;
SIGHUP opens the log file again and puts in force what can change of the settings.
Under systemd: readiness, watchdog and inherited sockets by sd_notify(3) and sd_listen_fds(3).
Environment: WARDEN_DEBUG=scope,... switches debug lines of scopes on. WARDEN_FAILPOINT is for tests.
`;

const COMMANDS = ['cleanup', 'config', 'doctor'];

/** Parses the words after the program's name. Errors: `INVALID_SPEC` naming the option. */
export function parseOptions(words: readonly string[]): DaemonOptions {
  const values = parseWords(
    words,
    {
      ...CONFIGURATION_OPTIONS,
      'check-config': { type: 'boolean' },
      'list-failpoints': { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
      version: { type: 'boolean' },
    },
    COMMANDS,
  );
  return {
    ...configurationWords(values),
    checkConfig: values['check-config'] === true,
    listFailpoints: values['list-failpoints'] === true,
    help: values.help === true,
    version: values.version === true,
  };
}

/** What was given for {@link CONFIGURATION_OPTIONS}. Errors: `INVALID_SPEC`. */
export function configurationWords(values: Readonly<Record<string, unknown>>): ConfigurationWords {
  const { config, set } = values as { readonly config?: string; readonly set?: readonly string[] };
  const short = Object.entries(SHORTHANDS).flatMap(([name, keys]): Setting[] => {
    const value = values[name];
    // as JSON, which is YAML: a path that looks like a number stays text
    return typeof value === 'string' ? [{ keys, text: JSON.stringify(value), source: `--${name}` }] : [];
  });
  return { ...(config !== undefined && { config }), settings: [...short, ...(set ?? []).map(parseSetting)] };
}

/**
 * Parses words by a table. Errors: `INVALID_SPEC` naming the option, and what was probably meant; of a word
 * that is none, one of `commands`.
 */
export function parseWords(
  words: readonly string[],
  options: ParseOptions,
  commands: readonly string[] = [],
): Readonly<Record<string, unknown>> {
  const { values, positionals } = parseOperands(words, options);
  const [first] = positionals;
  if (first === undefined) return values;
  const hint = commands.includes(first)
    ? '; it has to stand before all options'
    : didYouMean(first, commands);
  throw wrongWords(`unexpected word '${first}'${hint}`, first);
}

/** As {@link parseWords}, with the words that are no options. */
export function parseOperands(
  words: readonly string[],
  options: ParseOptions,
): { readonly values: Readonly<Record<string, unknown>>; readonly positionals: readonly string[] } {
  try {
    return parseArgs({ args: [...words], options, allowPositionals: true });
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    // behind the name it tells how to pass a word that begins like an option, which none does here
    const typed = /^Unknown option '(-[^']*)'/.exec(message)?.[1];
    if (code !== 'ERR_PARSE_ARGS_UNKNOWN_OPTION' || typed === undefined)
      throw new WardenError('INVALID_SPEC', message, { cause });
    const names = Object.keys(options).map((name) => `--${name}`);
    throw wrongWords(`unknown option '${typed}'${didYouMean(typed, names)}`, typed);
  }
}

/** Refuses what was typed. `object`: the option, if it is about one. */
export function wrongWords(text: string, object?: string): WardenError {
  return new WardenError('INVALID_SPEC', text, {
    fields: { operation: 'options', ...(object !== undefined && { object }) },
  });
}
