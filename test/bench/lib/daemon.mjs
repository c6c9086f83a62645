// A `wardend` for measuring: its own depot, socket, table and groups, the safe defaults, and nothing else.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { connect } from '@warden/client';
import { removeGroups } from './groups.mjs';

const REPOSITORY = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
const PROGRAM = path.join(REPOSITORY, 'packages/daemon/bin/wardend.js');
/** What a start has compiled, for the next ones. */
export const COMPILED = path.join(REPOSITORY, 'packages/daemon/dist/program/shared.cache');
const LOOP_DELAY = path.join(REPOSITORY, 'test/bench/lib/loop-delay.mjs');

const WARM_UP_ROUNDS = 200;
const PINGS = 10;
/** The third one finds a shell prepared, as do all that follow. */
const RUNS = 3;
/** Behind so many V8 has compiled what a script runs through (docs/performance/run.md, "Code that is not hot yet"). */
const WARM_UP_RUNS = 3_000;

let serial = 0;

/**
 * Sections of a configuration over the bench's own, key by key. Networks and ports are different ones for
 * each daemon: some are compared side by side.
 */
function configuration(place, sections) {
  const base = {
    server: {
      unix_domain_path: place.socket,
      container_klass: 'Warden::Container::Linux',
      container_rootfs_path: place.rootfs,
      container_depot_path: place.depot,
      quota: { disk_quota_enabled: false },
    },
    health_check_server: { port: null },
    logging: { level: 'error' },
    network: { pool_network: `10.${192 + place.number}.0.0/16`, release_delay: 0 },
    port: { pool_start_port: 5_000 + 1_000 * place.number, pool_size: 1_000 },
    user: { pool_size: 2_048 },
    drivers: { name: place.name },
    compat: { cgroup_view: null },
  };
  for (const [section, keys] of Object.entries(sections)) base[section] = { ...base[section], ...keys };
  return base;
}

/** Makes the directories and the configuration of a daemon below `directory`; it survives the daemon, for restarts. */
export function makePlace({ directory, rootfs, sections = {} }) {
  const number = serial++ % 60;
  const own = path.join(directory, `d${number}`);
  const place = {
    number,
    rootfs,
    own,
    name: `warden-bench-${process.pid}-${number}`,
    socket: path.join(own, 'warden.sock'),
    depot: path.join(own, 'depot'),
    file: path.join(own, 'wardend.yml'),
    loopDelay: path.join(own, 'loop-delay.json'),
  };
  fs.mkdirSync(place.depot, { recursive: true, mode: 0o700 });
  fs.writeFileSync(place.file, JSON.stringify(configuration(place, sections)));
  return place;
}

/**
 * Starts a daemon on a place and answers when a ping was answered, with the milliseconds that took.
 * `watchesLoop: false` leaves out what `loopDelay` needs, which is loaded before anything else.
 */
export async function startDaemon(place, { watchesLoop = true } = {}) {
  const began = performance.now();
  const watch = watchesLoop ? ['--import', LOOP_DELAY] : [];
  const child = spawn(process.execPath, [...watch, PROGRAM, '--config', place.file], {
    stdio: ['ignore', 'inherit', 'inherit'],
    // an init gives no daemon certificates of its own; Node 20 reads such a file, 50 ms of a start, whether
    // or not anybody asks for it
    env: { ...process.env, NODE_EXTRA_CA_CERTS: '', WARDEN_BENCH_LOOP_DELAY: place.loopDelay },
  });
  const client = await firstAnswer(child, place);
  const startedMs = performance.now() - began;
  const end = async (signal) => {
    await client.close();
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  };
  return {
    place,
    client,
    startedMs,
    pid: child.pid,
    connect: () => connect({ path: place.socket }),
    kill: () => end('SIGKILL'),
    /** Destroys everything and ends the daemon. */
    stop: async () => {
      const handles = await client.list();
      await inTurns(handles, 4, (handle) => client.container(handle).destroy());
      await end('SIGTERM');
      await removeGroups(place.name);
    },
    loopDelay: () => readLoopDelay(child.pid, place.loopDelay),
  };
}

async function firstAnswer(child, place) {
  for (;;) {
    if (child.exitCode !== null || child.signalCode !== null)
      throw new Error(`wardend ended with ${child.exitCode ?? child.signalCode}`);
    // a look at the file costs a hundredth of an attempt, which would take the processor from who is measured
    if (fs.existsSync(place.socket)) {
      try {
        const client = await connect({ path: place.socket });
        await client.ping();
        return client;
      } catch {
        // an earlier daemon has left it, or this one does not listen yet
      }
    }
    await delay(1);
  }
}

/**
 * Lives, small requests and scripts until the daemon's code and the client's are compiled. A daemon runs for
 * months, and V8 compiles a small function that a request calls once behind some thousand requests: without
 * this, a section would show how fast its first ones are interpreted, and a later one beside it how they are
 * not.
 */
export async function warmUp(client, rounds = WARM_UP_ROUNDS, runs = WARM_UP_RUNS) {
  for (let i = 0; i < rounds; i++) {
    const box = await client.create();
    for (let j = 0; j < RUNS; j++) await box.run('true');
    await box.info();
    for (let j = 0; j < PINGS; j++) await client.ping();
    await box.destroy();
  }
  const box = await client.create();
  for (let i = 0; i < runs; i++) await box.run('true');
  await box.destroy();
}

/** Runs `action` for each, `width` at a time. */
export async function inTurns(items, width, action) {
  const queue = [...items];
  const work = async () => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await action(item);
  };
  await Promise.all(Array.from({ length: width }, work));
}

/**
 * Milliseconds that the daemon's event loop was late at most since the last call, the first of which begins the
 * count: `{ late, own }`, all of it and without waits for a processor.
 */
async function readLoopDelay(pid, file) {
  fs.rmSync(file, { force: true });
  process.kill(pid, 'SIGPWR');
  while (!fs.existsSync(file)) await delay(5);
  return JSON.parse(fs.readFileSync(file, 'utf8'));
}
