// The same requests with few and with many containers alive; what the many cost in memory; a restart with all of them.
import fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { inTurns, startDaemon, warmUp } from '../lib/daemon.mjs';
import { rest, settle } from '../lib/settle.mjs';

const CREATORS = 4;
const SETTLE_MS = 1_000;
const LOOP_ROUNDS = 20;
/** In each of the rounds whose longest wait of the event loop is told. */
export const LOOP_LIVES = 50;

/** How many are alive at each step; the short form has no time for a thousand. */
export function crowds(isShort) {
  return isShort ? [100, 200] : [500, 1_000];
}

export async function measureCrowd({ samples, place, count, isShort }) {
  const own = place('crowd');
  let daemon = await startDaemon(own);
  const some = Math.max(count, 20);
  const alive = [];
  try {
    await warmUp(daemon.client);
    await atAlive({ samples, daemon, count: some, alive: 0 });
    for (const wanted of crowds(isShort)) {
      const missing = Array.from({ length: wanted - alive.length }, (_, i) => i);
      await inTurns(missing, CREATORS, async () => alive.push(await daemon.client.create()));
      await atAlive({ samples, daemon, count: some, alive: wanted });
    }
    await atMost({ samples, daemon, alive, count: some, isShort });
    await daemon.kill();
    for (let i = 0; i < (isShort ? 1 : 3); i++) {
      if (i > 0) await daemon.kill();
      daemon = await startDaemon(own);
      samples.add(`restart with ${alive.length} ms`, daemon.startedMs);
      const handles = await daemon.client.list();
      if (handles.length !== alive.length)
        throw new Error(`${handles.length} of ${alive.length} containers were recovered`);
    }
    await inTurns(alive, CREATORS, (box) => daemon.client.container(box.handle).destroy());
    await warmUp(daemon.client); // another daemon since the restart
    // once more without a crowd: a machine that has become slower meanwhile counts for both sides
    await atAlive({ samples, daemon, count: some, alive: 0 });
  } finally {
    await daemon.stop();
  }
}

async function atAlive({ samples, daemon, count, alive }) {
  // What making and removing hundreds leaves to be written (`wb_workfn`: 2.3 ms of processor time per create
  // and destroy right behind 700 creates, 0.2 behind this) is the disk's share of those, and not of what is
  // measured while they are there.
  await settle(daemon.place.depot);
  await delay(SETTLE_MS);
  for (let i = 0; i < count; i++) {
    const box = await samples.time(`create at ${alive} alive`, () => daemon.client.create());
    await samples.time(`destroy at ${alive} alive`, () => box.destroy());
  }
}

async function atMost({ samples, daemon, alive, count, isShort }) {
  const { client, pid } = daemon;
  await daemon.loopDelay(); // begins
  // the longest of so many says little by itself: the same loop has 5 ms one time and 15 the next
  for (let round = 0; round < (isShort ? 1 : LOOP_ROUNDS); round++) {
    for (let i = 0; i < LOOP_LIVES; i++) await (await client.create()).destroy();
    const most = await daemon.loopDelay();
    samples.add('event loop late in the crowd ms', most.late);
    samples.add('event loop late in the crowd, without waits for a processor ms', most.own);
  }
  // as with nobody alive: see the section about lives
  await rest();
  for (let i = 0; i < count; i++)
    await samples.time('info in the crowd', () => alive[i % alive.length].info());
  for (let i = 0; i < count; i++) await samples.time('ping in the crowd', () => client.ping());
  for (let i = 0; i < count; i++) await samples.time('list in the crowd', () => client.list());
  samples.add('daemon RSS in the crowd KB', statusKb(pid, 'VmRSS'));
  for (const one of inits(daemon.place.depot)) samples.add('PSS per idle container KB', pssKb(one));
}

/** Process 1 of each container: by the title that the daemon gave it. */
function inits(depot) {
  const ids = new Set(fs.readdirSync(depot));
  return fs
    .readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      const [, id] = /^wshd: (\w+)/.exec(readFile(`/proc/${pid}/cmdline`)) ?? [];
      return id !== undefined && ids.has(id);
    });
}

function readFile(file) {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return ''; // it has ended
  }
}

function pssKb(pid) {
  return Number(/^Pss:\s+(\d+) kB/m.exec(readFile(`/proc/${pid}/smaps_rollup`))?.[1] ?? Number.NaN);
}

function statusKb(pid, field) {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFile(`/proc/${pid}/status`))[1]);
}
