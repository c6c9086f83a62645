/** The words behind `warden rootfs`. */
import { CommandError } from '../command-error.ts';

/** What to build, as it was asked for. */
export interface RootfsWords {
  readonly help: boolean;
  readonly directory?: string;
  /** A daemon's configuration whose `server.container_rootfs_path` names the directory. */
  readonly config?: string;
  readonly suite?: string;
  readonly mirror?: string;
  /** Refuse to fall back to the default mirror of debootstrap. */
  readonly mirrorFromHost: boolean;
  readonly include: readonly string[];
  readonly force: boolean;
  readonly json: boolean;
}

/** Options with a value, by their place in the answer. */
const VALUES: Readonly<Record<string, 'config' | 'suite' | 'mirror' | 'include'>> = {
  '--config': 'config',
  '--suite': 'suite',
  '--mirror': 'mirror',
  '--include': 'include',
};
const SWITCHES: Readonly<Record<string, 'force' | 'json' | 'mirrorFromHost' | 'help'>> = {
  '--force': 'force',
  '--json': 'json',
  '--mirror-from-host': 'mirrorFromHost',
  '--help': 'help',
};

/** A name of a suite or package as Debian defines them: never taken for an option by the program that gets it. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9+.:_~-]*$/;

/** `warden rootfs build --help`. */
export function rootfsHelp(): string {
  return [
    'command: rootfs build',
    'description: Build a Debian root file system for containers on this host; needs root and debootstrap.',
    'usage: rootfs build [options] DIR',
    '',
    '[options] can be one of the following:',
    '',
    "\t[--config <file> (string)]  # build at server.container_rootfs_path of a daemon's configuration",
    '\t[--suite <suite> (string)]  # release to build; by default that of this host',
    '\t[--mirror <url> (string)]  # archive to take it from',
    "\t[--mirror-from-host]  # only from this host's apt sources; without it debootstrap's default is the last resort",
    '\t[--include <a,b> (string)]  # packages to install besides the required ones',
    '\t[--force]  # replace an existing directory without asking',
    '\t[--json]  # progress and errors as JSON, one object a line',
    '',
    'Without DIR and --config the directory is CONTAINER_ROOTFS_PATH of the environment.',
    '',
  ].join('\n');
}

/** Parses the words behind `rootfs`. Errors: syntax, with a text that names the word. */
export function parseRootfsWords(words: readonly string[]): RootfsWords {
  const [action, ...rest] = words;
  const given: Record<string, string> = {};
  const switches = { force: false, json: false, mirrorFromHost: false, help: false };
  if (action === '--help') return { ...switches, help: true, include: [] };
  if (action !== 'build')
    throw new CommandError(
      action === undefined
        ? "rootfs: the word 'build' is missing"
        : `rootfs: unknown action '${action}', expected 'build'`,
    );
  for (let at = 0; at < rest.length; at += 1) {
    const word = rest[at]!;
    const equals = word.startsWith('--') ? word.indexOf('=') : -1;
    const flag = (equals < 0 ? word : word.slice(0, equals)).replaceAll('_', '-');
    if (!word.startsWith('-')) {
      if (given.directory !== undefined)
        throw new CommandError(`rootfs build: more than one directory: '${word}'`);
      given.directory = word;
    } else if (Object.hasOwn(VALUES, flag)) {
      const value = equals < 0 ? rest[++at] : word.slice(equals + 1);
      if (value === undefined || value === '') throw new CommandError(`missing argument: ${flag}`);
      given[VALUES[flag]!] = value;
    } else if (Object.hasOwn(SWITCHES, flag) && equals < 0) {
      switches[SWITCHES[flag]!] = true;
    } else {
      throw new CommandError(`invalid option: ${word}`);
    }
  }
  return checked({ ...given, ...switches, include: given.include?.split(',') ?? [] });
}

function checked(words: RootfsWords): RootfsWords {
  const { directory, config, suite, mirror, mirrorFromHost, include } = words;
  if (directory === '') throw new CommandError('rootfs build: the directory is an empty word');
  if (directory !== undefined && config !== undefined)
    throw new CommandError('rootfs build: give either a directory or --config');
  if (mirror !== undefined && mirrorFromHost)
    throw new CommandError('rootfs build: give either --mirror or --mirror-from-host');
  if (mirror !== undefined && !/^[a-z][a-z0-9+.-]*:\/*[^\s]+$/.test(mirror))
    throw new CommandError(`rootfs build: no mirror: '${mirror}'`);
  if (suite !== undefined && !NAME.test(suite)) throw new CommandError(`rootfs build: no suite: '${suite}'`);
  for (const name of include)
    if (!NAME.test(name)) throw new CommandError(`rootfs build: no package name: '${name}'`);
  return words;
}
