/** Containers come and go by the thousand: nothing grows, and the last ones are as fast as the first. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { WardenClient } from '@warden/client';
import {
  DEFAULT_ROOTFS,
  describeWith,
  Figures,
  type Inventory,
  makeNamespace,
  makePlace,
  remainingLeaks,
  startDaemon,
  type TestDaemon,
  type TestPlace,
  takeInventory,
  type VitalsProbe,
  vitalsProbe,
} from '@warden/test-harness';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Floor, startFloor } from '../../bench/lib/floor.mjs';
import { type Counts, count, KINDS } from './counters.ts';
import { type Change, change, median, type Phase } from './statistics.ts';

const HOUR_MS = 3_600_000;
const HOURS = Number(process.env.WARDEN_SOAK_HOURS ?? 0);
const CYCLES = HOURS > 0 ? Number.POSITIVE_INFINITY : Number(process.env.WARDEN_SOAK_CYCLES ?? 10_000);
/** So many first and last cycles are compared. */
const EDGE = Math.min(100, Math.floor(CYCLES / 2));
/** Before anything is counted: caches fill, code is compiled. */
const WARM_UP = 100;
/** How many looks there are; with hours, one every so many cycles. */
const LOOKS = 30;
const EVERY = HOURS > 0 ? 1_000 : Math.max(5, Math.floor(CYCLES / LOOKS));
/** Within this the last are as fast as the first. */
const TOLERANCE = 0.1;
/**
 * Others had the processors at the beginning, and the floor, which does one thing after the other, was slowed
 * by them more than warden, which does several: then the end cannot be compared with it. What a daemon leaves
 * behind makes the floor slower, not faster.
 */
const CALMER = 0.75;
const OTHER_MACHINE = 'not told: the machine was busier at the beginning';
const TIMEOUT_MS = HOURS > 0 ? (HOURS + 0.5) * HOUR_MS : 600_000 + CYCLES * 1_000;
/** The floor program's numbers come again only after so many. */
const FLOOR_NUMBERS = 2_000;

const PARTS = ['create', 'run', 'destroy', 'whole cycle'] as const;
type Times = Readonly<Record<(typeof PARTS)[number], number>>;

describeWith(['root', 'isolated', 'overlayfs', 'nft'], 'a soak', () => {
  const figures = new Figures('soak', 'Containers that come and go', [
    'what',
    'first',
    'last',
    'change',
    'allowed',
    '',
  ]);
  let place: TestPlace;
  let daemon: TestDaemon;
  let warden: WardenClient;
  let vitals: VitalsProbe;
  let floor: Floor;
  let closeFloor: () => Promise<void>;
  let floorAt = 0;
  let before: Inventory;
  const looks: Counts[] = [];
  const warded: Times[] = [];
  const floors = new Map<number, number>();

  beforeAll(async () => {
    place = await makePlace();
    vitals = vitalsProbe(place.directory);
    daemon = await startDaemon({
      place,
      environment: vitals.environment,
      config: { network: { release_delay: 0 }, logging: { level: 'warn' } },
    });
    warden = await daemon.connect();
    // a floor that has namespaces of its own: its links and rules are not the daemon's
    const ground = await makeNamespace();
    const directory = path.join(place.directory, 'ground');
    fs.mkdirSync(directory);
    const cache = path.dirname(DEFAULT_ROOTFS);
    floor = await startFloor({ directory, rootfs: DEFAULT_ROOTFS, cache, enter: ground.enter });
    closeFloor = async () => {
      await floor.stop();
      await ground.close();
    };
    figures.add('processors; load before', os.cpus().length, os.loadavg()[0]!.toFixed(1), '', '', '');
  });

  afterAll(async () => {
    await closeFloor?.();
    await daemon?.stop().catch(() => {});
    await daemon?.kill();
    await place.remove();
  });

  async function cycle(at: number): Promise<Times> {
    const began = performance.now();
    const box = await warden.create();
    const created = performance.now();
    await box.netIn();
    const running = performance.now();
    const { stdoutText, exitStatus } = await box.run(`echo ${at}`);
    const ran = performance.now();
    if (exitStatus !== 0 || stdoutText !== `${at}\n`)
      throw new Error(`cycle ${at}: ${exitStatus} ${stdoutText}`);
    const ending = performance.now();
    await box.destroy();
    const ended = performance.now();
    return {
      create: created - began,
      run: ran - running,
      destroy: ended - ending,
      'whole cycle': ended - began,
    };
  }

  /** The same by bare kernel calls, in milliseconds. */
  async function floorCycle(): Promise<number> {
    const number = floorAt++ % FLOOR_NUMBERS;
    const parts = [];
    for (const verb of ['create', 'shell', 'destroy']) parts.push(await floor.ask(verb, number));
    return parts.reduce((sum, one) => sum + one, 0) / 1_000;
  }

  it('makes, uses and destroys one container after the other', { timeout: TIMEOUT_MS }, async () => {
    for (let at = 0; at < WARM_UP; at++) {
      await cycle(at);
      if (at < 20) await floorCycle();
    }
    before = takeInventory(place, daemon.pid);
    looks.push(await count(daemon, vitals));
    const began = performance.now();
    const isOver = (at: number): boolean =>
      HOURS > 0 ? performance.now() - began >= HOURS * HOUR_MS : at >= CYCLES;
    for (let at = 0; !isOver(at); at++) {
      warded.push(await cycle(at));
      const isAtEdge = at < EDGE || at >= CYCLES - EDGE;
      if (isAtEdge || at % 25 === 0) floors.set(at, await floorCycle());
      if ((at + 1) % EVERY !== 0) continue;
      looks.push(await count(daemon, vitals));
      const recent = warded.slice(-EVERY).map((times) => times['whole cycle']);
      process.stderr.write(
        `${at + 1} cycles, ${((performance.now() - began) / 1_000).toFixed(0)} s, the latest ${median(recent).toFixed(1)} ms each\n`,
      );
    }
    // with hours the end is not known before: the last cycles are run with their floor now
    if (HOURS > 0)
      for (let n = 0; n < EDGE; n++) {
        warded.push(await cycle(warded.length));
        floors.set(warded.length - 1, await floorCycle());
      }
    const took = (performance.now() - began) / 1_000;
    figures.add('cycles; seconds', warded.length, took.toFixed(0), '', '', '');
    expect(warded.length).toBeGreaterThanOrEqual(HOURS > 0 ? EDGE : CYCLES);
  });

  it('is as fast at the end as at the beginning', () => {
    const phase = (part: keyof Times, from: number, to: number): Phase => ({
      watched: warded.slice(from, to).map((times) => times[part]),
      floor: [...floors].filter(([at]) => at >= from && at < to).map(([, ms]) => ms),
    });
    const slower: string[] = [];
    for (const part of PARTS) {
      const [early, late] = [phase(part, 0, EDGE), phase(part, warded.length - EDGE, warded.length)];
      const found = change(early, late);
      const verdict = median(late.floor) < median(early.floor) * CALMER ? OTHER_MACHINE : judge(found);
      if (verdict === 'slower') slower.push(`${part}: ${text(found)}`);
      const ms = (values: readonly number[]): string => `${median(values).toFixed(1)} ms`;
      if (part === 'create')
        figures.add('floor: create, run, destroy', ms(early.floor), ms(late.floor), '', '', '');
      figures.add(part, ms(early.watched), ms(late.watched), text(found), `× ${1 + TOLERANCE}`, verdict);
    }
    expect(slower, 'beside the floor, with 95 % certainty').toEqual([]);
  });

  it.each(KINDS)('does not grow: $name', ({ name, allowance, perCycle }) => {
    const values = looks.map((counts) => counts.get(name)!);
    const third = Math.max(1, Math.floor(values.length / 3));
    // The daemon's heap fills for some two thousand cycles (compiled code, what the compiler has learnt), and
    // then stays as it is.
    const from = name.startsWith('daemon') ? third : 0;
    // others on the machine only add: the least of several looks is what is there in any case
    const [first, last] = [Math.min(...values.slice(from, from + third)), Math.min(...values.slice(-third))];
    const allowed = Math.ceil(allowance + perCycle * warded.length);
    const isWithin = last - first <= allowed;
    figures.add(name, first, last, last - first, allowed, isWithin ? 'none' : 'GROWTH');
    expect(last - first, `${values.join(' ')}`).toBeLessThanOrEqual(allowed);
  });

  it('leaves nothing behind', async () => {
    const left = await remainingLeaks(place, before, { daemonPid: daemon.pid, withinMs: 30_000 });
    figures.add('left behind', '', left.length, '', 0, '');
    expect(left).toEqual([]);
  });
});

/** What the machine is too restless to tell, is not said. */
function judge({ low, high }: Change): string {
  if (low > 1 + TOLERANCE) return 'slower';
  return high <= 1 + TOLERANCE ? 'as fast' : 'not slower, as far as this machine can tell';
}

function text({ value, low, high }: Change): string {
  return `× ${value.toFixed(2)} (${low.toFixed(2)} … ${high.toFixed(2)})`;
}
