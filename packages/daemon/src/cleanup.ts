/**
 * `wardend cleanup`: what a daemon with this configuration has left on the host, and its removal. Never
 * beside a running daemon, and never anything that this configuration does not name.
 */
import fs from 'node:fs';
import path from 'node:path';
import { removeCgroupView } from '@warden/cgroup';
import { type CleanUpOptions, cleanUp, type Leftover } from '@warden/core';
import { NO_FAILPOINTS, silentLogger, toWardenError } from '@warden/interface';
import { requireFreePath } from '@warden/server';
import { checkHost } from './check-host.ts';
import { type Configuration, isInsecure } from './config.ts';
import { loadFromSources } from './config-sources.ts';
import { coreOptions } from './core-options.ts';
import { requireOwnDepot } from './depot.ts';
import { lockDepot } from './depot-lock.ts';
import { lockName } from './name-lock.ts';
import { CONFIGURATION_OPTIONS, CONFIGURATION_USAGE, configurationWords, parseWords } from './options.ts';
import type { OwnerLock } from './owner-lock.ts';
import { isAlive, isYounger, readPid } from './pidfile.ts';
import { spendReserve } from './reserve.ts';
import { selectDrivers } from './select-drivers.ts';

const USAGE = `Usage: wardend cleanup [--dry-run] [--all] [--json] [settings]

Removes what a daemon with these settings has left: containers that are dead or half made, what the kernel holds of them, sockets nobody listens
on; and when no container is left, table, groups and the depot's own files. Refused while a daemon runs. Containers that live are kept for the
next daemon, and so is what cannot be understood.

  --dry-run  only list
  --all      end living containers too, with their jobs
  --json     one object a line

Exit status: 0 done, 1 something could not be removed, 2 wrong words, or a daemon runs.

${CONFIGURATION_USAGE}`;

/**
 * What the daemon and its drivers make in the depot beside containers, and what one that is killed leaves of
 * its trials.
 */
const OWN_NAMES =
  /^\.(backend|removed|reserve|skeleton|spare|((aufs|bind|overlayfs|quota)-probe|quota-template|room|warden-doctor)-[A-Za-z0-9]{6})$/;

/** Runs the words behind `wardend cleanup`; answers the exit status. */
export async function cleanupCommand(words: readonly string[]): Promise<number> {
  try {
    const values = parseWords(words, {
      ...CONFIGURATION_OPTIONS,
      'dry-run': { type: 'boolean' },
      all: { type: 'boolean' },
      json: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    });
    if (values.help === true) {
      process.stdout.write(USAGE);
      return 0;
    }
    const { configuration } = loadFromSources(configurationWords(values));
    const wanted = { dryRun: values['dry-run'] === true, all: values.all === true };
    const found = await cleanup(configuration, wanted);
    const lines = found.map(values.json === true ? (one) => JSON.stringify(one) : describe);
    process.stdout.write(lines.map((line) => `${line}\n`).join(''));
    if (found.length === 0 && values.json !== true) process.stdout.write('nothing is left\n');
    return found.some(({ fate }) => fate === 'failed') ? 1 : 0;
  } catch (error) {
    const { code, message } = toWardenError(error);
    process.stderr.write(`wardend cleanup: ${message} (${code})\n`);
    return 2;
  }
}

/**
 * See the file's head. Errors: `ALREADY_EXISTS` while a daemon runs, `UNSUPPORTED` without the rights or
 * drivers, `INVALID_SPEC`.
 */
export async function cleanup(
  configuration: Configuration,
  wanted: CleanUpOptions,
): Promise<readonly Leftover[]> {
  const { server } = configuration;
  checkHost(configuration);
  const { container_depot_path: given, container_klass: backend } = server;
  if (!fs.existsSync(given)) return cleanFiles(configuration, wanted);
  const depot = fs.realpathSync(given);
  requireOwnDepot(depot, backend);
  const lock = lockDepot(depot);
  let name: OwnerLock | undefined;
  try {
    // also before a mere look: it tries drivers, and what it spends the next daemon puts back
    spendReserve(depot, silentLogger);
    // a daemon on another depot: what carries the name would be its
    if (!isInsecure(configuration)) name = await lockName(configuration.drivers.name);
    const components = { logger: silentLogger, failpoints: NO_FAILPOINTS };
    const { drivers } = await selectDrivers(configuration, components);
    try {
      const options = coreOptions(configuration, depot, drivers, silentLogger);
      const found = [...(await cleanUp({ ...options, failpoints: NO_FAILPOINTS }, wanted))];
      found.push(...(await cleanFiles(configuration, wanted)));
      if (found.every(({ kind, fate }) => kind !== 'container' || fate === 'remove' || fate === 'removed'))
        found.push(...removeOwn(configuration, depot, { ...wanted, found }));
      return found;
    } finally {
      await drivers.network.close();
    }
  } finally {
    name?.release();
    lock.release();
  }
}

/** Sockets nobody listens on, and a pidfile of a process that is gone. */
async function cleanFiles(
  { server, monitoring }: Configuration,
  { dryRun }: CleanUpOptions,
): Promise<Leftover[]> {
  const found: Leftover[] = [];
  const take = (name: string, why: string): void => {
    found.push(
      dryRun
        ? { kind: 'file', name, why, fate: 'remove' }
        : remove(name, why, () => fs.rmSync(name, { force: true })),
    );
  };
  for (const socket of [server.unix_domain_path, monitoring.socket]) {
    if (socket === null || !fs.lstatSync(socket, { throwIfNoEntry: false })?.isSocket()) continue;
    // somebody else's, for instance the service manager's, is in use and no leftover
    const isFree = await requireFreePath(socket).then(
      () => true,
      () => false,
    );
    if (isFree) take(socket, 'nobody listens on it');
  }
  const { pidfile } = server;
  const pid = pidfile ? readPid(pidfile) : undefined;
  if (pidfile && pid !== undefined && (!isAlive(pid) || isYounger(pid, pidfile)))
    take(pidfile, `process ${pid} is gone`);
  return found;
}

/** The depot's own files, and the view of the groups. The lock stays: it is what keeps daemons apart. */
function removeOwn(
  { compat: { cgroup_view: view }, drivers: { name: prefix } }: Configuration,
  depot: string,
  { dryRun, found }: CleanUpOptions & { readonly found: readonly Leftover[] },
): Leftover[] {
  const why = 'no container is left';
  // what is in the way of one of them has been told
  const isObstructed = (own: string): boolean =>
    found.some(({ fate, name }) => fate === 'failed' && (name === own || name.startsWith(`${own}/`)));
  const own = fs
    .readdirSync(depot)
    .filter((name) => OWN_NAMES.test(name))
    .map((name) => path.join(depot, name))
    .filter((name) => !isObstructed(name))
    .map((name): Leftover => {
      if (dryRun) return { kind: 'file', name, why, fate: 'remove' };
      return remove(name, why, () => fs.rmSync(name, { recursive: true, force: true }));
    });
  if (dryRun || view === null) return own;
  try {
    const links = removeCgroupView({ directory: view, prefix });
    return [...own, ...links.map((name): Leftover => ({ kind: 'file', name, why, fate: 'removed' }))];
  } catch (error) {
    return [...own, { kind: 'file', name: view, fate: 'failed', why: toWardenError(error).message }];
  }
}

/** What became of a file. */
function remove(name: string, why: string, action: () => void): Leftover {
  try {
    action();
    return { kind: 'file', name, why, fate: 'removed' };
  } catch (error) {
    return { kind: 'file', name, fate: 'failed', why: toWardenError(error).message };
  }
}

function describe({ kind, name, handle, fate, why }: Leftover): string {
  const called = handle === undefined ? '' : ` (handle ${JSON.stringify(handle)})`;
  return `${fate.padEnd(7)} ${kind} ${name}${called}: ${why}`;
}
