/** What a build takes from the host: release, archive, keyring, proxy. */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import path from 'node:path';
import { WardenError } from '@warden/interface';
import { type AptSource, chooseSource, readAptSources, sourcesOfSuite } from './apt-sources.ts';
import type { RootfsWords } from './words.ts';

/** Where the programs are that only an administrator has in PATH. */
const ADMIN_PATH = '/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin';

type Environment = Readonly<Record<string, string | undefined>>;

/** Decided before anything is made. */
export interface BuildPlan {
  readonly suite: string;
  readonly include: readonly string[];
  /** Absent: debootstrap's own default. */
  readonly mirror?: string;
  readonly keyring?: string;
  /** Environment of debootstrap. */
  readonly environment: Readonly<Record<string, string>>;
  /** Sources for the new root. */
  readonly sources: readonly AptSource[];
}

/** Finds a program; the error names the command that installs it. */
export function requireProgram(name: string, searchPath: string | undefined): string {
  for (const directory of `${searchPath ?? ''}:${ADMIN_PATH}`.split(':')) {
    const file = path.join(directory, name);
    if (directory !== '' && isExecutable(file)) return file;
  }
  throw new WardenError('UNSUPPORTED', `${name} is missing; install it with: apt-get install ${name}`, {
    fields: { operation: 'rootfs build', object: name },
  });
}

/** Errors: `UNSUPPORTED` when the host does not tell what is needed. `etc`: the host's `/etc`. */
export function planBuild(words: RootfsWords, env: Environment, etc = '/etc'): BuildPlan {
  const hostSuite = codename(path.join(etc, 'os-release'));
  const suite = words.suite ?? hostSuite;
  if (suite === undefined)
    throw new WardenError('UNSUPPORTED', 'this host does not name its release; give --suite', {
      fields: { operation: 'rootfs build', object: path.join(etc, 'os-release') },
    });
  const sources = readAptSources(path.join(etc, 'apt'));
  const chosen = words.mirror === undefined ? chooseSource(sources, suite, hostSuite ?? suite) : undefined;
  if (words.mirrorFromHost && chosen === undefined)
    throw new WardenError('UNSUPPORTED', `no apt source of this host serves ${suite}; give --mirror`, {
      fields: { operation: 'rootfs build', object: path.join(etc, 'apt') },
    });
  const mirror = words.mirror ?? chosen?.uri;
  return {
    suite,
    include: words.include,
    ...(mirror !== undefined && { mirror }),
    ...(chosen?.keyring !== undefined && { keyring: chosen.keyring }),
    environment: buildEnvironment(env, mirror),
    sources: words.mirror === undefined ? sourcesOfSuite(sources, suite) : [],
  };
}

function codename(file: string): string | undefined {
  try {
    return /^VERSION_CODENAME="?([A-Za-z0-9.-]+)"?\s*$/m.exec(readFileSync(file, 'utf8'))?.[1];
  } catch {
    return undefined;
  }
}

function buildEnvironment(env: Environment, mirror: string | undefined): Record<string, string> {
  const environment: Record<string, string> = {
    PATH: `${env.PATH === undefined || env.PATH === '' ? '' : `${env.PATH}:`}${ADMIN_PATH}`,
    LC_ALL: 'C.UTF-8',
    DEBIAN_FRONTEND: 'noninteractive',
  };
  for (const scheme of ['http', 'https']) {
    const name = `${scheme}_proxy`;
    // Set but empty is a refusal of apt's proxy.
    const proxy = env[name] ?? aptProxy(scheme, mirror, environment);
    if (proxy !== undefined && proxy !== '') environment[name] = proxy;
  }
  if (env.no_proxy !== undefined) environment.no_proxy = env.no_proxy;
  return environment;
}

/** The proxy that apt would use for the mirror. */
function aptProxy(
  scheme: string,
  mirror: string | undefined,
  environment: Readonly<Record<string, string>>,
): string | undefined {
  const host = /^[a-z]+:\/\/([^/:]+)/.exec(mirror ?? '')?.[1];
  const keys = ['Proxy', 'Proxy-Auto-Detect', ...(host === undefined ? [] : [`Proxy::${host}`])];
  const words = keys.flatMap((key, at) => [`V${at}`, `Acquire::${scheme}::${key}`]);
  const { stdout } = spawnSync('apt-config', ['shell', ...words], { encoding: 'utf8', env: environment });
  const value = (at: number): string | undefined =>
    new RegExp(`^V${at}='(.+)'$`, 'm').exec(stdout ?? '')?.[1]?.replaceAll(`'\\''`, "'");
  const [general, program, forHost] = [value(0), value(1), value(2)];
  const found =
    forHost ?? (program === undefined ? general : (detected(program, mirror, environment) ?? general));
  return found === 'DIRECT' || found === 'false' ? undefined : found;
}

/** Asks the program that apt is configured to ask. */
function detected(
  program: string,
  mirror: string | undefined,
  environment: Readonly<Record<string, string>>,
): string | undefined {
  const { stdout } = spawnSync(program, mirror === undefined ? [] : [mirror], {
    encoding: 'utf8',
    env: environment,
    timeout: 10_000,
  });
  const answer = (stdout ?? '').trim();
  return answer === '' ? undefined : answer;
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
