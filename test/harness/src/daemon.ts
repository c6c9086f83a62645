/** Real daemons for tests: `wardend` in a test network, with its own depot, socket, table and cgroup prefix. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { connect, type WardenClient } from '@warden/client';
import { isWardenError } from '@warden/interface';
import { assertIsolated } from './isolation.ts';
import { patience } from './patience.ts';
import { reapPlaces, registerPlace, sweepGroups } from './places.ts';
import { makeTestNetwork, type TestNetwork } from './test-network.ts';

const REPOSITORY = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
/** The daemon's program. */
export const WARDEND: string = path.join(REPOSITORY, 'packages/daemon/bin/wardend.js');
/** Built once per machine; tests never write to it (it is every container's read-only base). */
export const DEFAULT_ROOTFS: string = path.join(REPOSITORY, 'node_modules/.cache/warden-rootfs');

let serial = 0;
/** What a killed run has left is removed once, before anything is made. */
let reaping: Promise<unknown> | undefined;

/** What a test may change. */
export interface TestDaemonOptions {
  /** Sections merged over the harness's configuration, key by key. */
  readonly config?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly environment?: Readonly<Record<string, string>>;
  /** A configuration file as the daemon's mount namespace sees it, used as it is instead of `config`. */
  readonly file?: string;
  /** Words put before the daemon's command (`strace -f …`). */
  readonly wrapper?: readonly string[];
  /** The daemon runs as this uid and gid, without further groups and capabilities. */
  readonly uid?: number;
  /** Where its directory is made; default `/tmp`. */
  readonly parent?: string;
  /** An existing place to start on: for restarts. */
  readonly place?: TestPlace;
  /** How long it may take to its first answer; default 20 s. */
  readonly readyWithinMs?: number;
}

/** Directory, names and network of a daemon; survives the daemon. */
export interface TestPlace {
  readonly directory: string;
  readonly depot: string;
  readonly socket: string;
  readonly log: string;
  readonly name: string;
  readonly rootfs: string;
  readonly network: TestNetwork;
  /** Removes everything. The daemon must be gone. */
  remove(): Promise<void>;
}

/** A running daemon. */
export interface TestDaemon {
  readonly place: TestPlace;
  readonly pid: number;
  /** A client of its own; closed with the daemon. */
  connect(): Promise<WardenClient>;
  /** Destroys all containers, ends the daemon and waits. */
  stop(): Promise<void>;
  /** Ends the daemon by `signal` and waits; containers live on. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Whole log text. */
  readLog(): string;
}

/**
 * {@link DEFAULT_ROOTFS}, made where it is missing. The daemon's package is loaded for that alone: most test
 * files load nothing else of it.
 */
export async function defaultRootfs(): Promise<string> {
  if (!fs.existsSync(path.join(DEFAULT_ROOTFS, 'bin/bash'))) {
    const { makeDefaultRootfs } = await import('@warden/daemon');
    makeDefaultRootfs(DEFAULT_ROOTFS);
  }
  return DEFAULT_ROOTFS;
}

/** Makes a place for a daemon. */
export async function makePlace(parent = '/tmp'): Promise<TestPlace> {
  assertIsolated();
  reaping ??= reapPlaces();
  await reaping;
  await defaultRootfs();
  const name = `warden-t${process.pid}-${serial++}`;
  const directory = fs.mkdtempSync(path.join(parent, 'warden-test-'));
  const forget = registerPlace({ name, directory });
  const depot = path.join(directory, 'depot');
  fs.mkdirSync(depot, { mode: 0o700 });
  const network = await makeTestNetwork();
  return {
    directory,
    depot,
    socket: path.join(directory, 'warden.sock'),
    log: path.join(directory, 'wardend.log'),
    name,
    rootfs: DEFAULT_ROOTFS,
    network,
    remove: async () => {
      // audits have looked before this; what a failed test has left must not outlive it
      await sweepGroups(name);
      await network.close();
      fs.rmSync(path.join('/run/warden', `${name}.lock`), { force: true });
      fs.rmSync(directory, { recursive: true, force: true });
      forget();
    },
  };
}

/**
 * Starts a daemon and waits until it answers. Throws with the log's tail when it ends early; a place made for
 * it is gone then.
 */
export async function startDaemon(options: TestDaemonOptions = {}): Promise<TestDaemon> {
  assertIsolated();
  const place = options.place ?? (await makePlace(options.parent));
  const configuration = path.join(place.directory, 'wardend.yml');
  fs.writeFileSync(configuration, JSON.stringify(merge(baseConfig(place), options.config ?? {}), null, 2));
  const command = [
    ...asUser(options.uid, place),
    ...(options.wrapper ?? []),
    process.execPath,
    WARDEND,
    '--config',
    options.file ?? configuration,
  ];
  const [program, ...args] = place.network.host.enter(command);
  const output = fs.openSync(place.log, 'a');
  // whatever ends the test's process ends the daemon too
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', program!, ...args], {
    stdio: ['ignore', output, output],
    env: { ...process.env, ...options.environment },
  });
  fs.closeSync(output);
  try {
    await ready(child, place, options.readyWithinMs ?? 20_000);
  } catch (error) {
    if (child.exitCode === null && child.signalCode === null) {
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    }
    // nobody else knows of it
    if (options.place === undefined) await place.remove();
    throw error;
  }
  // a wrapper (strace) is another process, and one that keeps signals to itself
  const pid = Number(fs.readFileSync(path.join(place.depot, '.lock'), 'utf8'));
  const clients: WardenClient[] = [];
  const kill = async (signal: NodeJS.Signals = 'SIGKILL'): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    process.kill(pid, signal);
    await gone;
  };
  return {
    place,
    pid,
    readLog: () => fs.readFileSync(place.log, 'utf8'),
    connect: async () => {
      const client = await connect({ path: place.socket });
      clients.push(client);
      return client;
    },
    kill: async (signal) => {
      await kill(signal);
      await Promise.allSettled(clients.splice(0).map((client) => client.close()));
    },
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null) await destroyAll(place);
      await Promise.allSettled(clients.splice(0).map((client) => client.close()));
      await kill('SIGTERM');
    },
  };
}

/**
 * The words that change the user, who gets the place. What setpriv is told about the parent's death before is
 * void after a change of user.
 */
function asUser(uid: number | undefined, place: TestPlace): string[] {
  if (uid === undefined) return [];
  for (const file of [place.directory, place.depot]) fs.chownSync(file, uid, uid);
  return ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--pdeathsig', 'KILL', '--'];
}

async function destroyAll(place: TestPlace): Promise<void> {
  await using client = await connect({ path: place.socket });
  const handles = await client.list();
  await Promise.allSettled(handles.map((handle) => client.container(handle).stop({ kill: true })));
  // one whose grace time is over goes by itself meanwhile
  await Promise.all(
    handles.map((handle) =>
      client
        .container(handle)
        .destroy()
        .catch((error: unknown) => {
          if (!isWardenError(error, 'UNKNOWN_HANDLE')) throw error;
        }),
    ),
  );
}

async function ready(child: ChildProcess, place: TestPlace, withinMs: number): Promise<void> {
  const deadline = Date.now() + patience(withinMs);
  while (Date.now() < deadline) {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new Error(`wardend ended with ${child.exitCode ?? child.signalCode}: ${tail(place.log)}`);
    }
    if (fs.existsSync(place.socket)) {
      try {
        await using client = await connect({ path: place.socket });
        await client.ping();
        return;
      } catch {
        // not listening yet, or the socket is an earlier daemon's
      }
    }
    await delay(10);
  }
  child.kill('SIGKILL');
  throw new Error(`wardend did not answer in time: ${tail(place.log)}`);
}

function tail(file: string): string {
  return fs.readFileSync(file, 'utf8').split('\n').slice(-30).join('\n');
}

function baseConfig(place: TestPlace): Record<string, Record<string, unknown>> {
  return {
    server: {
      unix_domain_path: place.socket,
      container_klass: 'Warden::Container::Linux',
      container_rootfs_path: place.rootfs,
      container_depot_path: place.depot,
      container_grace_time: 300,
      quota: { disk_quota_enabled: false },
    },
    health_check_server: { port: null },
    logging: { level: 'debug' },
    network: { pool_network: '10.254.0.0/22' },
    drivers: { name: place.name },
    compat: { cgroup_view: null }, // one path for the whole machine: tests would meet there
  };
}

function merge(
  base: Record<string, Record<string, unknown>>,
  over: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
): Record<string, Record<string, unknown>> {
  const result = { ...base };
  for (const [section, keys] of Object.entries(over)) result[section] = { ...result[section], ...keys };
  return result;
}
