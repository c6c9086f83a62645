import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type CgroupDriver,
  type CgroupSpec,
  type DriverState,
  type Failpoints,
  silentLogger,
} from '@warden/interface';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { expectNoGroups } from '../../test/without-groups.ts';
import { detectHierarchies } from '../detect.ts';
import { DEVICE_RULES, formatRule } from '../device-rules.ts';
import { parseKeyed } from '../kernel-file.ts';
import { removeGroup } from '../remove-group.ts';
import { v1Driver } from './driver.ts';

const SPEC: CgroupSpec = { id: '0123456789a', allowAllDevices: false, pidsLimit: 64 };
const MIB = 1n << 20n;
const hierarchies = detectHierarchies();
const mounts: ReadonlyMap<string, string> = hierarchies?.version === 1 ? hierarchies.mounts : new Map();
const isUsable =
  process.getuid?.() === 0 && ['cpu', 'memory', 'devices', 'pids'].every((name) => mounts.has(name));

const PREFIX = `warden-v1-test-${process.pid}`;
let driver: CgroupDriver;
let state: DriverState;
const children: ChildProcess[] = [];

function group(controller: string): string {
  return path.join(mounts.get(controller)!, PREFIX, `instance-${SPEC.id}`);
}

function read(controller: string, file: string): string {
  return fs.readFileSync(path.join(group(controller), file), 'utf8').trim();
}

/** As the kernel counts them: while one that was killed has not gone, it may take another. */
function killsIn(memoryGroup: string): number {
  const facts = fs.readFileSync(path.join(memoryGroup, 'memory.oom_control'), 'utf8');
  return Number(/^oom_kill (\d+)$/m.exec(facts)![1]);
}

/** A shell inside the group that runs the script. */
function runInside(script: string): ReturnType<typeof spawnSync> {
  const join = driver.joinFiles(state).map((file) => `echo 0 > ${file} || exit 9`);
  return spawnSync('sh', ['-c', [...join, script].join('\n')], { encoding: 'utf8' });
}

/** A process that stays inside, at least until it is killed. */
async function stayInside(script = 'exec sleep 60'): Promise<ChildProcess> {
  const join = driver.joinFiles(state).map((file) => `echo 0 > ${file} || exit 9`);
  const child = spawn('sh', ['-c', [...join, 'echo inside', script].join('\n')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  await once(child.stdout, 'data');
  return child;
}

describe.runIf(isUsable)('groups of cgroup v1 [needs: root, cgroup v1]', () => {
  beforeEach(async () => {
    driver = v1Driver(mounts, { prefix: PREFIX }, { logger: silentLogger });
    state = driver.plan(SPEC);
    await driver.setup();
    await driver.create(SPEC, state);
  });
  afterEach(async () => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
    await driver.killAll(state, 5_000);
    await driver.release(state);
    for (const mount of new Set(mounts.values())) await removeGroup(path.join(mount, PREFIX));
  });

  it('lie in every hierarchy by the id', () => {
    expect(driver.joinFiles(state)).toContain(`${group('memory')}/tasks`);
    for (const file of driver.joinFiles(state)) expect(fs.existsSync(file)).toBe(true);
    expect(driver.name).toBe('cgroup-v1');
    expect(driver.supports).toMatchObject({ version: 1, memory: true, cpu: true, devices: true, pids: true });
  });

  it('of a probe whose process is gone are removed by the next one, those of a living one stay', async () => {
    const places = [...new Set([...mounts].filter(([name]) => name !== 'cpuset').map(([, place]) => place))];
    const groups = [2 ** 22 + 1, process.ppid].map((pid) =>
      places.map((place) => path.join(place, `${PREFIX}-probe-${pid}`)),
    );
    try {
      for (const one of groups.flat()) fs.mkdirSync(one);
      expect(await driver.probe()).toMatchObject({ ok: true });
      expect(groups.map((all) => all.filter((one) => fs.existsSync(one)).length)).toEqual([0, places.length]);
    } finally {
      for (const one of groups.flat()) await removeGroup(one);
    }
  });

  it('have the device list of the specification, which the kernel enforces', () => {
    expect(read('devices', 'devices.list').split('\n')).toEqual(DEVICE_RULES.map(formatRule));
    const { stdout } = runInside(`
      (: < /dev/null) && echo null
      (exec 3< /dev/kmsg) 2> /dev/null || echo no kmsg
      mknod /tmp/${PREFIX}-node c 1 3 2> /dev/null || echo no mknod`);
    expect(String(stdout).trim().split('\n')).toEqual(['null', 'no kmsg', 'no mknod']);
  });

  it('keep the policy and those inside when they are created again', async () => {
    const child = await stayInside();
    fs.mkdirSync(path.join(group('devices'), 'nested')); // the kernel would refuse to deny everything now
    await driver.create(SPEC, state);
    expect(await driver.pids(state)).toEqual([child.pid]);
    expect(read('devices', 'devices.list').split('\n')).toHaveLength(DEVICE_RULES.length);
  });

  it('may have all devices, for a warden inside', async () => {
    await driver.release(state);
    await driver.create({ ...SPEC, allowAllDevices: true }, state);
    expect(read('devices', 'devices.list')).toBe('a *:* rwm');
  });

  it('bound the number of processes, those of a warden inside as a whole', async () => {
    expect(read('pids', 'jobs/pids.max')).toBe('64');
    expect(read('pids', 'pids.max')).toBe('96');
    for (const [spec, limit] of [
      [{ ...SPEC, pidsLimit: undefined }, 'max'],
      [{ ...SPEC, allowAllDevices: true }, '64'],
    ] as const) {
      await driver.release(state);
      const other = driver.plan(spec);
      await driver.create(spec, other);
      expect(driver.reserve!(other)).toBeUndefined();
      expect(driver.joinFiles(other)).toContain(`${group('pids')}/tasks`);
      expect(read('pids', 'pids.max')).toBe(limit);
      expect(fs.existsSync(`${group('pids')}/jobs`)).toBe(false);
      await driver.release(other);
    }
  });

  it('let who steps out of a full one fork, and its child step in', async () => {
    await driver.release(state);
    const spec = { ...SPEC, pidsLimit: 2 };
    await driver.create(spec, state);
    const sleeper = await stayInside();
    const { outside, inside } = driver.reserve!(state)!;
    // dash ends at a fork that is refused
    expect(runInside('(exit 0); echo forked')).toMatchObject({ stdout: '', status: 2 });
    const { stdout: beside } = runInside(`
      echo 0 > ${outside}
      (echo 0 > ${inside}; exec cat ${group('pids')}/jobs/pids.current) || echo refused
      echo 0 > ${inside}
      read -r used < ${group('pids')}/jobs/pids.current; echo $used`);
    expect(String(beside)).toBe('2\n2\n');
    expect(await driver.processCount!(state)).toEqual({ used: 1, limit: 2 });
    sleeper.kill('SIGKILL');
  });

  it('made by an older daemon have no reserve, and go as they are', async () => {
    await driver.release(state);
    const { reserve, ...old } = state;
    expect(reserve).toBe(true);
    await driver.create(SPEC, old);
    expect(read('pids', 'pids.max')).toBe('64');
    expect(driver.reserve!(old)).toBeUndefined();
    state = old;
    const child = await stayInside();
    expect(await driver.pids(driver.plan(SPEC))).toEqual([child.pid]);
    await driver.killAll(driver.plan(SPEC), 5_000);
    await driver.release(driver.plan(SPEC));
    expect(fs.existsSync(group('pids'))).toBe(false);
  });

  it('answer what the kernel made of a limit', async () => {
    expect(await driver.setCpuShares(state, 1n)).toBe(2n); // linux-container.md 10
    expect(await driver.setCpuShares(state, 1n << 40n)).toBe(262_144n);
    expect(await driver.setMemoryLimit(state, 64n * MIB + 1n)).toBe(64n * MIB); // whole pages
    if (driver.supports.swap) expect(read('memory', 'memory.memsw.limit_in_bytes')).toBe(String(64n * MIB));
  });

  it('that a container was made without are asked for nothing, and left alone', async () => {
    expect(driver.retire).toBeDefined();
    await expectNoGroups(driver);
    expect(driver.openStatistics!({})).toBeUndefined();
  });

  it('have statistics that can be opened before they are asked for, and say the same', async () => {
    const descriptors = (): number => fs.readdirSync('/proc/self/fd').length;
    const before = descriptors();
    const open = driver.openStatistics!(state)!;
    expect(descriptors()).toBe(before + 3);
    expect(open.cpuStat()).toEqual(await driver.cpuStat(state));
    runInside('i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done');
    const { usage } = await driver.cpuStat(state);
    expect(usage).toBeGreaterThan(0n);
    expect(open.cpuStat()).toEqual(await driver.cpuStat(state));
    expect(Object.keys(open.memoryStat())).toEqual(Object.keys(await driver.memoryStat(state)));
    open.close();
    open.close();
    expect(descriptors()).toBe(before);
    expect(open.cpuStat().usage).toBeGreaterThanOrEqual(usage);
    const late = driver.openStatistics!(state)!;
    await driver.release(state);
    expect(() => late.memoryStat()).toThrow('Failed getting memory usage: ');
    expect(() => late.cpuStat()).toThrow('Failed getting cpu stats: ');
    late.close();
    expect(driver.openStatistics!(state)).toBeUndefined();
    expect(descriptors()).toBe(before);
  });

  it('keep the old pair of limits when the new one cannot be had', async () => {
    await driver.setMemoryLimit(state, 64n * MIB);
    const files = ['memory.limit_in_bytes', 'memory.memsw.limit_in_bytes'].filter(
      (file) => driver.supports.swap || !file.includes('memsw'),
    );
    await expect(driver.setMemoryLimit(state, -2n)).rejects.toMatchObject({
      code: 'NATIVE_FAILED',
      message: expect.stringMatching(/^Failed setting memory limit: /),
      fields: { operation: 'set memory limit', object: group('memory'), errno: 'EINVAL' },
    });
    for (const file of files) expect(read('memory', file)).toBe(String(64n * MIB));
  });

  it('fail with the texts of the contract once they are gone', async () => {
    await driver.release(state);
    const expectations: [Promise<unknown>, string][] = [
      [driver.setCpuShares(state, 512n), 'Failed setting cpu shares: '],
      [driver.cpuShares(state), 'cannot read cpu shares: '],
      [driver.setMemoryLimit(state, MIB), 'Failed setting memory limit: '],
      [driver.memoryStat(state), 'Failed getting memory usage: '],
      [driver.cpuStat(state), 'Failed getting cpu stats: '],
    ];
    for (const [action, text] of expectations)
      await expect(action).rejects.toMatchObject({
        code: 'NATIVE_FAILED',
        message: expect.stringContaining(text),
        fields: expect.objectContaining({ errno: 'ENOENT' }),
      });
    expect(await driver.pids(state)).toEqual([]);
    await driver.killAll(state, 100);
  });

  it('are listed by id, other directories are not', async () => {
    fs.mkdirSync(path.join(mounts.get('cpu')!, PREFIX, 'instance-no'));
    fs.mkdirSync(path.join(mounts.get('cpu')!, PREFIX, 'other'));
    expect(await driver.list()).toEqual([SPEC.id]);
  });

  it('are emptied although processes keep forking', async () => {
    await stayInside('while :; do sleep 0.01 & sleep 0.01; done');
    await driver.killAll(state, 5_000);
    expect(await driver.pids(state)).toEqual([]);
  });

  it('are removed with the groups inside, waiting for who is dying', async () => {
    for (const controller of ['memory', 'cpu'])
      fs.mkdirSync(path.join(group(controller), 'outer/inner'), { recursive: true });
    const child = await stayInside();
    setTimeout(() => child.kill('SIGKILL'), 50);
    await driver.release(state);
    for (const controller of mounts.keys()) expect(fs.existsSync(group(controller))).toBe(false);
  });

  it('that are retired leave their names to others at once, and their memory when they are released', async () => {
    const removed = group('memory').replace('instance-', 'removed-');
    fs.mkdirSync(path.join(group('memory'), 'inner'));
    runInside('head -c 4m /dev/zero > /dev/null');
    await driver.retire!(state);
    for (const controller of mounts.keys()) expect(fs.existsSync(group(controller))).toBe(false);
    expect([fs.existsSync(removed), await driver.list()]).toEqual([true, [SPEC.id]]);
    // somebody who is only in there was never part of the container
    const stranger = spawn('sleep', ['60'], { stdio: 'ignore' });
    children.push(stranger);
    fs.writeFileSync(path.join(removed, 'cgroup.procs'), String(stranger.pid));
    await driver.release(state);
    expect([fs.existsSync(removed), await driver.list(), stranger.exitCode]).toEqual([false, [], null]);
  });

  it('that are retired leave a process of somebody else the memory that it asks for later', async () => {
    await driver.retire!(state);
    const stranger = spawn('sh', ['-c', 'read line; head -c 4m /dev/zero | sort -z | wc -c'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    children.push(stranger);
    fs.writeFileSync(
      path.join(group('memory').replace('instance-', 'removed-'), 'cgroup.procs'),
      String(stranger.pid),
    );
    const output = text(stranger.stdout);
    const released = driver.release(state);
    await delay(100); // the group is being emptied: what it is forbidden now, it is forbidden while somebody is still in there
    stranger.stdin.end('go on\n');
    expect((await output).trim()).toBe(String(4 << 20));
    await released;
  });

  it('that are retired where others of that name still are, go at once', async () => {
    const removed = group('memory').replace('instance-', 'removed-');
    await driver.retire!(state);
    await driver.create(SPEC, state);
    await driver.retire!(state);
    expect([fs.existsSync(group('memory')), fs.existsSync(removed)]).toEqual([false, true]);
    await driver.release(state);
    expect(fs.existsSync(removed)).toBe(false);
  });

  it('tell as often as the kernel killed, and those beside hear nothing of a limit above both', async () => {
    const beside = { ...SPEC, id: 'bbbbbbbbbbb' };
    const stateBeside = driver.plan(beside);
    await driver.create(beside, stateBeside);
    fs.writeFileSync(path.join(mounts.get('memory')!, PREFIX, 'memory.limit_in_bytes'), String(8n * MIB));
    const kills = [0, 0];
    const watches = [
      await driver.watchOutOfMemory(state, () => kills[0]!++),
      await driver.watchOutOfMemory(stateBeside, () => kills[1]!++),
    ];
    runInside('for i in 1 2 3; do head -c 64m /dev/zero | tail -c 64m > /dev/null; done');
    const killed = killsIn(group('memory'));
    expect(killed).toBeGreaterThanOrEqual(3);
    await expect.poll(() => kills, { timeout: 10_000 }).toEqual([killed, 0]);
    await delay(100);
    expect(kills).toEqual([killed, 0]);
    await driver.release(stateBeside);
    await delay(100);
    expect(kills).toEqual([killed, 0]);
    for (const watch of watches) watch.close();
  });

  it('tell of a kill in a group inside by their own limit', async () => {
    const inner = path.join(group('memory'), 'inner');
    fs.mkdirSync(inner);
    await driver.setMemoryLimit(state, 8n * MIB); // not the inner group's own limit, of which v1 tells only those below
    let kills = 0;
    const watch = await driver.watchOutOfMemory(state, () => kills++);
    runInside(`echo 0 > ${inner}/tasks; head -c 64m /dev/zero | tail -c 64m > /dev/null`);
    const killed = killsIn(inner);
    expect(killed).toBeGreaterThan(0);
    await expect.poll(() => kills, { timeout: 10_000 }).toBe(killed);
    watch.close();
  });

  it('tell of a kill by a limit above, and of nothing once the watch is closed', async () => {
    fs.writeFileSync(path.join(mounts.get('memory')!, PREFIX, 'memory.limit_in_bytes'), String(8n * MIB));
    let kills = 0;
    const watch = await driver.watchOutOfMemory(state, () => kills++);
    const allocate = 'head -c 64m /dev/zero | tail -c 64m > /dev/null';
    runInside(allocate);
    await expect.poll(() => kills, { timeout: 10_000 }).toBeGreaterThan(0);
    watch.close();
    watch.close();
    const before = kills;
    runInside(allocate);
    await delay(50);
    expect(kills).toBe(before);
  });
});

/** Control files that can be read and written, as they are in the group. */
function settings(of: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const { name } of fs.readdirSync(of, { withFileTypes: true }).filter((entry) => entry.isFile())) {
    const { mode } = fs.statSync(path.join(of, name));
    if ((mode & 0o600) === 0o600) found[name] = fs.readFileSync(path.join(of, name), 'utf8');
  }
  return found;
}

describe.runIf(isUsable)('memory groups that are used again [needs: root, cgroup v1]', () => {
  /** 16 pages and the kernel's own objects, 64 together, and what the kernel has charged ahead for processors: 256. */
  const MOST_LEFT = (64n + 256n) * 4_096n;
  const NEXT: CgroupSpec = { ...SPEC, id: 'bbbbbbbbbbb' };
  const OTHER: CgroupSpec = { ...SPEC, id: 'ccccccccccc' };
  const all = path.join(mounts.get('memory') ?? '', PREFIX);
  const called = (name: string, { id }: CgroupSpec = SPEC): string => path.join(all, `${name}-${id}`);
  const inode = (of: string): number => fs.statSync(of).ino;
  const names = (): string[] =>
    fs
      .readdirSync(all, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name)
      .sort();
  const failing = new Set<string>();
  const make = (): CgroupDriver =>
    v1Driver(
      mounts,
      { prefix: PREFIX },
      {
        logger: silentLogger,
        failpoints: {
          pass: async () => {},
          passSync: (name: string) => {
            if (failing.delete(name)) throw new Error(name);
          },
        } as unknown as Failpoints,
      },
    );
  /** As a container's end does it. */
  const end = async (of: DriverState = state): Promise<void> => {
    await driver.killAll(of, 5_000);
    await driver.retire!(of);
    await driver.release(of);
  };
  const begin = async (spec: CgroupSpec): Promise<DriverState> => {
    const planned = driver.plan(spec);
    return (await driver.create(spec, planned)) ?? planned;
  };
  /** The driver behind one that was killed is told of its only group, and removes it. */
  const goWithNext = async (spec: CgroupSpec): Promise<void> => {
    const next = make();
    await next.setup();
    expect(await next.list()).toEqual([spec.id]);
    await next.release(next.plan(spec));
    expect([names(), await next.list()]).toEqual([[], []]);
    await next.close!();
  };

  // what is read from the disk is charged to who reads it first, which is nobody here
  beforeAll(() => {
    const programs =
      'head -c 1 /dev/zero | tail -c 1; cat /dev/null; taskset -c 0 dd if=/dev/null; sleep 0; rm -f "$0"';
    expect(spawnSync('sh', ['-c', programs], { stdio: 'ignore' }).status).toBe(0);
  });
  beforeEach(async () => {
    driver = make();
    await driver.setup();
    state = await begin(SPEC);
  });
  afterEach(async () => {
    failing.clear();
    for (const child of children.splice(0)) {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }
    for (const spec of [SPEC, NEXT, OTHER]) await driver.release(driver.plan(spec));
    await driver.close!();
    for (const mount of new Set(mounts.values())) await removeGroup(path.join(mount, PREFIX));
  });

  it('are those of containers that have ended, under the name of the next one, and set back to what a new one is', async () => {
    fs.mkdirSync(called('fresh'));
    await driver.setMemoryLimit(state, 16n * MIB);
    const file = path.join(os.tmpdir(), `${PREFIX}-pages`);
    runInside(`head -c 24m /dev/zero > ${file}; rm ${file}`); // pages that the limit makes the kernel take back
    expect(Number(read('memory', 'memory.max_usage_in_bytes'))).toBeGreaterThan(8 << 20);
    const before = inode(group('memory'));
    await end();
    expect(names()).toEqual(['fresh-0123456789a', 'spare-0123456789a']);
    expect(await driver.list()).toEqual([]);
    const next = await begin(NEXT);
    expect(names()).toEqual(['fresh-0123456789a', 'instance-bbbbbbbbbbb']);
    expect(inode(called('instance', NEXT))).toBe(before);
    const left = fs.readFileSync(path.join(called('instance', NEXT), 'memory.memsw.usage_in_bytes'), 'utf8');
    for (const [file, value] of Object.entries(settings(called('fresh')))) {
      const now = settings(called('instance', NEXT))[file]!;
      if (!file.includes('max_usage')) expect([file, now]).toEqual([file, value]);
      else expect(BigInt(now), file).toBeLessThanOrEqual(MOST_LEFT);
    }
    expect(BigInt(left)).toBeLessThanOrEqual(MOST_LEFT);
    await removeGroup(called('fresh'));
    await end(next);
  });

  it('keep what little is charged, which the kernel would write out whatever the host has changed for, and nothing more', async () => {
    const file = path.join(os.tmpdir(), `${PREFIX}-cache`);
    const cache = (of: string): bigint =>
      parseKeyed(fs.readFileSync(path.join(called(of), 'memory.stat'), 'utf8')).get('cache') ?? 0n;
    // written, and among what the kernel looks through, which it is not before more has come to a processor:
    // so that it could be had back for nothing
    const use = (kilobytes: bigint): string =>
      `taskset -c 0 sh -c 'dd if=/dev/zero of=${file} bs=1k count=${kilobytes} conv=fsync 2>/dev/null; head -c 1m /dev/zero | tail -c 1m > /dev/null'`;
    try {
      spawnSync('sh', ['-c', use(1n)]); // what else it reads is charged to somebody else
      const little = 32n;
      runInside(use(little));
      expect(cache('instance')).toBeGreaterThanOrEqual(little << 10n);
      // the objects of those who have ended go a moment later
      const kernel = (): number => Number(read('memory', 'memory.kmem.usage_in_bytes'));
      await expect.poll(kernel, { timeout: 10_000 }).toBeLessThan(48 * 4_096);
      await end();
      expect(names()).toEqual(['spare-0123456789a']);
      expect(cache('spare')).toBeGreaterThanOrEqual(little << 10n);
      fs.rmSync(file);
      state = await begin(SPEC);
      runInside(use(2_048n));
      expect(cache('instance')).toBeGreaterThan(1n << 20n);
      fs.rmSync(file); // as a container's own files are before its group goes
      await end();
      for (const name of names()) {
        expect(name).toBe('spare-0123456789a');
        expect(cache('spare')).toBeLessThanOrEqual(64n << 10n);
      }
    } finally {
      fs.rmSync(file, { force: true });
    }
  });

  it('tell the next container nothing of what was counted before, whoever asks', async () => {
    runInside('i=0; while [ $i -lt 400 ]; do (exit 0); i=$((i+1)); done');
    await delay(2_100); // the kernel adds up what its processors have counted every two seconds
    const { pgfault = 0n } = await driver.memoryStat(state);
    expect(pgfault).toBeGreaterThan(4_000n);
    await end();
    const planned = driver.plan(NEXT);
    const next = (await driver.create(NEXT, planned))!;
    expect(next).toEqual({ ...planned, spent: expect.stringMatching(/^\d+( \d+){3}$/) });
    expect((await driver.memoryStat(planned)).pgfault).toBeGreaterThanOrEqual(pgfault);
    const later = make(); // the next daemon has the state from the record
    const open = later.openStatistics!(next)!;
    for (const stat of [await driver.memoryStat(next), await later.memoryStat(next), open.memoryStat()])
      for (const event of ['pgpgin', 'pgpgout', 'pgfault', 'pgmajfault'] as const)
        for (const key of [event, `total_${event}`] as const)
          expect([key, Number(stat[key])]).toEqual([key, expect.toSatisfy((count: number) => count < 500)]);
    open.close();
    state = next;
    expect(await driver.outOfMemoryKills(state)).toBe(0n);
    runInside('i=0; while [ $i -lt 400 ]; do (exit 0); i=$((i+1)); done');
    await delay(2_100);
    const again = (await driver.memoryStat(next)).pgfault!;
    expect(again).toBeGreaterThan(pgfault / 2n);
    expect(again).toBeLessThan(pgfault * 2n);
    // and so on
    await driver.killAll(next, 5_000);
    await driver.retire!(next);
    await driver.release(next);
    const third = await begin(OTHER);
    expect((await driver.memoryStat(third)).pgfault).toBeLessThan(500n);
  });

  it('tell nothing of the next container to who has opened the statistics of the last', async () => {
    const descriptors = (): number => fs.readdirSync('/proc/self/fd').length;
    const before = descriptors();
    const [one, other] = [driver.openStatistics!(state)!, driver.openStatistics!(state)!];
    one.close();
    expect(Object.keys(other.memoryStat())).not.toEqual([]);
    await end();
    await begin(NEXT);
    expect(() => other.memoryStat()).toThrow('Failed getting memory usage: ');
    expect(() => other.cpuStat()).toThrow('Failed getting cpu stats: ');
    expect(descriptors()).toBe(before);
    other.close();
    expect(descriptors()).toBe(before);
  });

  it('are given to one of those who ask at the same time', async () => {
    const before = inode(group('memory'));
    await end();
    await Promise.all([begin(NEXT), begin(OTHER)]);
    const inodes = [NEXT, OTHER].map((spec) => inode(called('instance', spec)));
    expect(inodes.filter((one) => one === before)).toHaveLength(1);
    expect(new Set(inodes).size).toBe(2);
    expect(names()).toHaveLength(2);
  });

  it('are not those in which the kernel has killed somebody, or that were not made by this driver', async () => {
    await driver.setMemoryLimit(state, 8n * MIB);
    runInside('head -c 64m /dev/zero | tail -c 64m > /dev/null');
    expect(killsIn(group('memory'))).toBeGreaterThan(0);
    await end();
    expect(names()).toEqual([]);
    state = await begin(SPEC);
    driver = make();
    await driver.setup();
    await end();
    expect(names()).toEqual([]);
  });

  it('are not those of a warden inside, nor does it get one', async () => {
    await end();
    const nested = { ...NEXT, allowAllDevices: true };
    const next = await begin(nested);
    expect(next).toEqual(driver.plan(nested));
    expect(names()).toEqual(['instance-bbbbbbbbbbb', 'spare-0123456789a']);
    await end(next);
    expect(names()).toEqual(['spare-0123456789a']);
  });

  it('are not those of a container whose descriptors others may have, though it gets one', async () => {
    await end();
    const sharing = { ...NEXT, sharesDescriptors: true };
    const next = await begin(sharing);
    expect(names()).toEqual(['instance-bbbbbbbbbbb']);
    expect(next.spent).toBeDefined();
    await end(next);
    expect(names()).toEqual([]);
  });

  it('are none where that is not wanted', async () => {
    await end();
    await driver.close!();
    driver = v1Driver(mounts, { prefix: PREFIX, reusesGroups: false }, { logger: silentLogger });
    await driver.setup();
    state = await begin(SPEC);
    expect(state).toEqual(driver.plan(SPEC));
    await end();
    expect(names()).toEqual([]);
  });

  it('are not those that are released at once, as after a create that failed', async () => {
    await driver.release(state);
    expect(names()).toEqual([]);
    await end(await begin(NEXT));
    failing.add('cgroup.policy');
    await expect(begin(SPEC)).rejects.toThrow('cgroup.policy');
    expect(names()).toEqual([]);
  });

  it('are not those with a group inside or a process of somebody else', async () => {
    fs.mkdirSync(path.join(group('memory'), 'inner'));
    await end();
    expect(names()).toEqual([]);
    state = await begin(SPEC);
    await driver.retire!(state);
    const stranger = spawn('sleep', ['60'], { stdio: 'ignore' });
    children.push(stranger);
    fs.writeFileSync(path.join(called('removed'), 'cgroup.procs'), String(stranger.pid));
    await driver.release(state);
    expect([names(), stranger.exitCode]).toEqual([[], null]);
  });

  it('are not those with memory that somebody else still has', async () => {
    const file = `/dev/shm/${PREFIX}`;
    try {
      runInside(`head -c 4m /dev/zero > ${file}`);
      await end();
      expect(names()).toEqual([]);
    } finally {
      fs.rmSync(file, { force: true });
    }
  });

  it('are removed when they are no longer as new: who takes one makes his own then', async () => {
    for (const change of [
      () => {
        const stranger = spawn('sleep', ['60'], { stdio: 'ignore' });
        children.push(stranger);
        fs.writeFileSync(path.join(called('spare'), 'cgroup.procs'), String(stranger.pid));
      },
      () => fs.writeFileSync(path.join(called('spare'), 'memory.soft_limit_in_bytes'), '1048576'),
      () => fs.writeFileSync(path.join(called('spare'), 'memory.limit_in_bytes'), '33554432'),
      () => fs.writeFileSync(path.join(called('spare'), 'memory.swappiness'), '7'),
      () => fs.writeFileSync(path.join(all, 'memory.swappiness'), '7'),
      () => fs.mkdirSync(path.join(called('spare'), 'inner')),
      () => fs.rmdirSync(called('spare')),
    ]) {
      await end();
      const before = inode(called('spare'));
      change();
      const next = await begin(NEXT);
      expect(next).toEqual(driver.plan(NEXT));
      expect(inode(called('instance', NEXT))).not.toBe(before);
      await expect.poll(names, { timeout: 10_000 }).toEqual(['instance-bbbbbbbbbbb']);
      await driver.release(next);
      state = await begin(SPEC);
    }
    expect(read('memory', 'memory.swappiness')).toBe('7');
  });

  it('are not those that an operator has set otherwise', async () => {
    const set: string[] = [];
    for (const [file, value] of [
      ['memory.swappiness', '7'],
      ['memory.soft_limit_in_bytes', '1048576'],
      ['memory.kmem.limit_in_bytes', '1073741824'],
      ['memory.kmem.tcp.limit_in_bytes', '1048576'],
      ['memory.move_charge_at_immigrate', '1'],
    ] as const) {
      const before = settings(group('memory'))[file];
      try {
        fs.writeFileSync(path.join(group('memory'), file), value);
      } catch {
        continue; // this kernel no longer has it
      }
      if (settings(group('memory'))[file] === before) continue; // or takes it and does nothing
      set.push(file);
      await end();
      expect([file, names()]).toEqual([file, []]);
      state = await begin(SPEC);
    }
    expect(set).toContain('memory.swappiness');
  });

  it('are some at most', async () => {
    await driver.release(state);
    const states: DriverState[] = [];
    for (let at = 0; at < 40; at++)
      states.push(await begin({ ...SPEC, id: `ddddddddd${String(at).padStart(2, '0')}` }));
    await Promise.all(states.map((one) => end(one)));
    expect(names()).toHaveLength(32);
    expect(names().every((name) => name.startsWith('spare-'))).toBe(true);
  });

  describe('to which files are charged that are still there', () => {
    const files: string[] = [];
    /** More than the kernel charges ahead, for all processors. */
    const PAGES = 256 * Math.max(4, os.availableParallelism());
    afterEach(() => {
      for (const file of files.splice(0)) fs.rmSync(file, { force: true });
    });
    const cachedPages = (file: string): number => {
      const { status, stdout } = spawnSync('fincore', ['-n', '-o', 'PAGES', file], { encoding: 'utf8' });
      expect(status).toBe(0);
      return Number(stdout);
    };
    /** A file on a disk that nothing is in memory of. */
    const cold = (): string => {
      const file = `/var/tmp/${PREFIX}-cold-${files.length}`;
      files.push(file);
      const write = `dd if=/dev/urandom of=${file} bs=4k count=${PAGES} conv=fsync && dd of=${file} oflag=nocache conv=notrunc,fdatasync count=0`;
      expect(spawnSync('sh', ['-c', write], { stdio: 'ignore' }).status).toBe(0);
      expect(cachedPages(file)).toBe(0);
      return file;
    };
    const charged = (of: string): number =>
      Number(fs.readFileSync(path.join(of, 'memory.usage_in_bytes'), 'utf8'));
    const read = (spec: CgroupSpec, file: string): void => {
      const script = `echo $$ > ${called('instance', spec)}/tasks && exec cat ${file}`;
      expect(spawnSync('sh', ['-c', script], { stdio: 'ignore' }).status).toBe(0);
      expect(cachedPages(file)).toBe(PAGES);
    };
    /** Ends a container that has read the file. */
    const readBy = async (spec: CgroupSpec, file: string): Promise<void> => {
      const inside = await begin(spec);
      read(spec, file);
      await end(inside);
    };

    it('stay, so that the next container finds these in memory, and are neither told of nor given to it', async () => {
      await driver.release(state);
      const file = cold();
      await readBy(SPEC, file);
      expect(cachedPages(file)).toBe(PAGES);
      expect([names(), await driver.list()]).toEqual([['cache-0123456789a'], []]);
      expect(charged(called('cache'))).toBeGreaterThan((PAGES * 4_096) / 2);
      await readBy(NEXT, file); // is charged nothing for it
      expect(names()).toEqual(['cache-0123456789a', 'spare-bbbbbbbbbbb']);
      await driver.release(driver.plan(SPEC)); // once more: it is this driver's own
      expect(cachedPages(file)).toBe(PAGES);
      await driver.close!();
      expect(names()).toEqual([]);
      expect(cachedPages(file)).toBeLessThan(PAGES / 2);
    });

    it('are some at most: the one that has been there longest is given to the next container, empty', async () => {
      await driver.release(state);
      const first = cold();
      for (let at = 0; at < 17; at++)
        await readBy({ ...SPEC, id: `ddddddddd${String(at).padStart(2, '0')}` }, at === 0 ? first : cold());
      expect(names()).toHaveLength(17);
      expect(names().filter((name) => !name.startsWith('cache-'))).toEqual(['spare-ddddddddd00']);
      expect(cachedPages(first)).toBeLessThan(PAGES / 2);
      for (const file of files.slice(1)) expect(cachedPages(file)).toBeGreaterThan(PAGES / 2);
    });

    it('of a killed driver are told of and removed by the next one', async () => {
      await driver.release(state);
      await readBy(SPEC, cold());
      await goWithNext(SPEC);
    });

    it('are still those that are kept when somebody fails right behind it', async () => {
      read(SPEC, cold());
      await driver.retire!(state);
      failing.add('cgroup.keep');
      await expect(driver.release(state)).rejects.toThrow('cgroup.keep');
      await driver.release(state);
      expect([names(), await driver.list()]).toEqual([['cache-0123456789a'], []]);
    });

    it.each<readonly [string, () => Promise<void>]>([
      ['are released at once, as after a create that failed', async () => {}],
      [
        'have groups inside',
        async () => {
          await driver.retire!(state);
          fs.mkdirSync(path.join(called('removed'), 'inner'));
        },
      ],
      [
        'somebody is in',
        async () => {
          await driver.retire!(state);
          const stranger = spawn('sleep', ['60'], { stdio: 'ignore' });
          children.push(stranger);
          fs.writeFileSync(path.join(called('removed'), 'cgroup.procs'), String(stranger.pid));
        },
      ],
    ])('do not stay that %s', async (_which, prepare) => {
      read(SPEC, cold());
      expect(charged(group('memory'))).toBeGreaterThan((PAGES * 4_096) / 2);
      await prepare();
      await driver.release(state);
      expect(names()).toEqual([]);
    });
  });

  it('go with their driver, and are told of and removed by the next one when it was killed', async () => {
    await end();
    await end(await begin(NEXT)); // the same
    expect(names()).toEqual(['spare-bbbbbbbbbbb']);
    await goWithNext(NEXT);
    state = await begin(SPEC);
    await end();
    expect(names()).toEqual(['spare-0123456789a']);
    await driver.close!();
    await driver.close!();
    expect(names()).toEqual([]);
    await end(await begin(OTHER));
    expect(names()).toEqual([]);
  });

  it('are still those that are kept when somebody fails right behind it', async () => {
    await driver.retire!(state);
    failing.add('cgroup.keep');
    await expect(driver.release(state)).rejects.toThrow('cgroup.keep');
    await driver.release(state);
    expect([names(), await driver.list()]).toEqual([['spare-0123456789a'], []]);
  });
});

describe('a host that lacks controllers', () => {
  const lacking = v1Driver(new Map([['cpu', '/nowhere/cpu']]), { prefix: PREFIX }, { logger: silentLogger });

  it('is refused by name', async () => {
    expect(await lacking.probe()).toEqual({
      ok: false,
      reason: 'cgroup v1 without cpuacct, memory, devices',
    });
    await expect(lacking.setup()).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      fields: { missing: ['cpuacct', 'memory', 'devices'] },
    });
  });
});
