import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type CgroupDriver, type CgroupSpec, type DriverState, silentLogger } from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { expectNoGroups } from '../../test/without-groups.ts';
import { DEVICE_RULES } from '../device-rules.ts';
import { weightOf } from './cpu-weight.ts';
import { deviceProgram } from './device-program.ts';
import { v2Driver } from './driver.ts';

const SPEC: CgroupSpec = { id: '0123456789a', allowAllDevices: false, pidsLimit: 512 };
const CONTROLLERS = new Set(['cpu', 'memory', 'pids', 'io', 'hugetlb']);

let mount: string;
let group: string;
let driver: CgroupDriver;
let state: DriverState;
let attached: { group: string; program: Uint8Array }[];

/** The kernel makes these files with the group. */
function makeFiles(directory: string): void {
  fs.mkdirSync(directory, { recursive: true });
  for (const file of ['cgroup.subtree_control', 'cgroup.procs', 'cgroup.kill', 'cpu.weight', 'pids.max'])
    fs.writeFileSync(path.join(directory, file), file === 'cpu.weight' ? '100' : '');
}

function read(file: string, directory = group): string {
  return fs.readFileSync(path.join(directory, file), 'utf8');
}

/** The kernel's file takes a number whole; in an ordinary one the rest of a longer number would stay. */
function emptyWeight(): void {
  fs.truncateSync(path.join(group, 'cpu.weight'));
}

beforeEach(() => {
  mount = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-cgroup-'));
  group = path.join(mount, 'warden/instance-0123456789a');
  for (const directory of [mount, path.dirname(group), group, `${group}/jobs`, `${group}/reserve`])
    makeFiles(directory);
  attached = [];
  driver = v2Driver({
    mount,
    prefix: 'warden',
    controllers: CONTROLLERS,
    logger: silentLogger,
    attachProgram: (to, program) => attached.push({ group: to, program }),
  });
  state = driver.plan(SPEC);
});
afterEach(() => fs.rmSync(mount, { recursive: true, force: true }));

describe('groups of cgroup v2', () => {
  it('that a container was made without are asked for nothing, and left alone', async () => {
    await expectNoGroups(driver);
  });

  it('get the controllers from above', async () => {
    await driver.setup();
    for (const directory of [mount, path.join(mount, 'warden')])
      expect(read('cgroup.subtree_control', directory)).toBe('+cpu +memory +pids +io');
  });

  it('get the device program and the limit of processes', async () => {
    await driver.create(SPEC, state);
    expect(attached).toEqual([{ group, program: deviceProgram(DEVICE_RULES) }]);
    expect(['.', 'jobs', 'reserve'].map((name) => read(`${name}/pids.max`))).toEqual(['544', '512', '']);
    expect(read('cgroup.subtree_control')).toBe('+pids');
  });

  it('of a warden inside, or without a limit of processes, have no level between them and what it makes', async () => {
    for (const [spec, limit] of [
      [{ ...SPEC, allowAllDevices: true }, '512'],
      [{ ...SPEC, pidsLimit: undefined }, 'max'],
    ] as const) {
      fs.truncateSync(path.join(group, 'pids.max'));
      const other = driver.plan(spec);
      await driver.create(spec, other);
      expect(read('pids.max')).toBe(limit);
      expect(driver.joinFiles(other)).toEqual([path.join(group, 'cgroup.procs')]);
      expect(driver.reserve!(other)).toBeUndefined();
      expect(read('cgroup.subtree_control')).toBe('');
    }
    expect(attached[0]).toEqual({ group, program: deviceProgram('all') });
  });

  it('have one file to join, another to step out, and are listed', async () => {
    const kept = JSON.parse(JSON.stringify(state));
    expect(driver.joinFiles(kept)).toEqual([path.join(group, 'jobs/cgroup.procs')]);
    expect(driver.reserve!(kept)).toEqual({
      outside: path.join(group, 'reserve/cgroup.procs'),
      inside: path.join(group, 'jobs/cgroup.procs'),
    });
    fs.mkdirSync(path.join(mount, 'warden/instance-no'));
    expect(await driver.list()).toEqual([SPEC.id]);
  });

  it('have shares as a weight, and answer the shares', async () => {
    expect(await driver.cpuShares(state)).toBe(1_024n);
    emptyWeight();
    expect(await driver.setCpuShares(state, 512n)).toBe(512n);
    expect(read('cpu.weight')).toBe('59');
    expect(await driver.cpuShares(state)).toBe(512n);
    expect(await driver.setCpuShares(state, 1n)).toBe(2n);
  });

  it('answer the shares that are in force after a restart, or when another has set the weight [drivers 2.4]', async () => {
    emptyWeight();
    await driver.setCpuShares(state, 500n);
    const next = v2Driver({ mount, prefix: 'warden', controllers: CONTROLLERS, logger: silentLogger });
    const answer = await next.cpuShares(state);
    expect(weightOf(answer)).toBe(weightOf(500n));
    fs.writeFileSync(path.join(group, 'cpu.weight'), '59');
    expect([await driver.cpuShares(state), await next.cpuShares(state)]).toEqual([512n, 512n]);
    fs.rmSync(path.join(group, 'cpu.weight'));
    await expect(driver.cpuShares(state)).rejects.toMatchObject({
      code: 'NATIVE_FAILED',
      fields: { errno: 'ENOENT', object: group },
    });
  });

  it('have a memory limit without swap on top, warned of once where swap is not counted [drivers 2.3] [drivers 5]', async () => {
    const warnings: string[] = [];
    const counting = v2Driver({
      mount,
      prefix: 'warden',
      controllers: CONTROLLERS,
      logger: { ...silentLogger, warn: (event) => warnings.push(event) },
      attachProgram: () => {},
    });
    for (const file of ['memory.max', 'memory.swap.max']) fs.writeFileSync(path.join(group, file), 'max');
    expect(await counting.setMemoryLimit(state, 67_108_864n)).toBe(67_108_864n);
    expect(read('memory.swap.max').slice(0, 1)).toBe('0');
    expect(warnings).toEqual([]);
    fs.rmSync(path.join(group, 'memory.swap.max'));
    for (const limit of [33_554_432n, 67_108_864n])
      expect(await counting.setMemoryLimit(state, limit)).toBe(limit);
    expect(warnings).toEqual(['swap-not-limited']);
  });

  it('count kills for memory, none where the group is gone', async () => {
    fs.writeFileSync(path.join(group, 'memory.events'), 'oom 3\noom_kill 2\n');
    expect(await driver.outOfMemoryKills(state)).toBe(2n);
    fs.rmSync(path.join(group, 'memory.events'));
    expect(await driver.outOfMemoryKills(state)).toBe(0n);
  });

  it('have times in the units of v1 (spec drivers.md 2.3)', async () => {
    fs.writeFileSync(path.join(group, 'cpu.stat'), 'usage_usec 5\nuser_usec 1239999\nsystem_usec 10000\n');
    expect(await driver.cpuStat(state)).toEqual({ usage: 5_000n, user: 123n, system: 1n });
    fs.rmSync(path.join(group, 'cpu.stat'));
    await expect(driver.cpuStat(state)).rejects.toMatchObject({
      code: 'NATIVE_FAILED',
      message: expect.stringMatching(/^Failed getting cpu stats: /),
    });
  });

  it('are killed one by one where the kernel has no cgroup.kill', async () => {
    fs.rmSync(path.join(group, 'cgroup.kill'));
    const child = spawn('sleep', ['60']);
    const procs = path.join(group, 'cgroup.procs');
    fs.writeFileSync(procs, `${child.pid}\n`);
    child.once('exit', () => fs.writeFileSync(procs, '')); // as the kernel does
    await driver.killAll(state, 5_000);
    expect(child.signalCode).toBe('SIGKILL');
    fs.writeFileSync(procs, `${child.pid}\n`);
    await expect(driver.killAll(state, 20)).rejects.toMatchObject({
      code: 'TIMEOUT',
      fields: { pids: [child.pid] },
    });
  });

  it('are killed by cgroup.kill where there is one', async () => {
    await driver.killAll(state, 5_000);
    expect(read('cgroup.kill')).toBe('1');
  });

  it('tell the pressure that the kernel measures, or refuse where it measures none', async () => {
    expect(driver.supports.pressure).toBe(false);
    await expect(driver.pressureStat(state)).rejects.toMatchObject({ code: 'UNSUPPORTED' });
    const line = 'avg10=0.12 avg60=3.00 avg300=99.99 total=18446744073709551615';
    fs.writeFileSync(path.join(path.dirname(group), 'memory.pressure'), '');
    fs.writeFileSync(path.join(group, 'memory.pressure'), `some ${line}\nfull ${line}\n`);
    fs.writeFileSync(path.join(group, 'cpu.pressure'), `some ${line}\n`);
    const numbers = { avg10: 0.12, avg60: 3, avg300: 99.99, total: 18_446_744_073_709_551_615n };
    expect(driver.supports.pressure).toBe(true);
    expect(await driver.pressureStat(state)).toEqual({
      cpu: { some: numbers },
      memory: { some: numbers, full: numbers },
    });
    fs.rmSync(group, { recursive: true });
    await expect(driver.pressureStat(state)).rejects.toMatchObject({ fields: { errno: 'ENOENT' } });
  });

  it('give up freezing what does not stand still, and let it go on', async () => {
    fs.writeFileSync(path.join(group, 'cgroup.freeze'), '');
    fs.writeFileSync(path.join(group, 'cgroup.events'), 'populated 1\nfrozen 0\n');
    await expect(driver.freeze(state, 20)).rejects.toMatchObject({ code: 'TIMEOUT' });
    expect(read('cgroup.freeze')).toBe('0');
    fs.writeFileSync(path.join(group, 'cgroup.events'), 'populated 1\nfrozen 1\n');
    await driver.freeze(state, 5_000);
    expect(read('cgroup.freeze')).toBe('1');
    expect(await driver.isFrozen(state)).toBe(true);
  });

  it('keep those inside when a second creation fails', async () => {
    fs.rmSync(path.join(group, 'pids.max'));
    await expect(driver.create(SPEC, state)).rejects.toMatchObject({ fields: { errno: 'ENOENT' } });
    expect(fs.existsSync(group)).toBe(true);
  });

  it('of a probe whose process is gone are removed by the next one, those of a living one stay', async () => {
    const groups = [`warden-probe-${2 ** 22 + 1}`, `warden-probe-${process.ppid}`, 'warden-probe-other'];
    for (const name of groups) fs.mkdirSync(path.join(mount, name));
    await driver.probe();
    expect(groups.map((name) => fs.existsSync(path.join(mount, name)))).toEqual([false, true, true]);
  });

  it('need the controllers', async () => {
    const lacking = v2Driver({
      mount,
      prefix: 'warden',
      controllers: new Set(['cpu']),
      logger: silentLogger,
    });
    expect(await lacking.probe()).toEqual({ ok: false, reason: 'cgroup v2 without memory, pids' });
    await expect(lacking.setup()).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      fields: { missing: ['memory', 'pids'] },
    });
  });
});

const unified = fs
  .readFileSync('/proc/self/mountinfo', 'utf8')
  .split('\n')
  .find((line) => line.includes(' - cgroup2 '))
  ?.split(' ')[4];

/** Joining, killing and removing need no controller, so that they can be tried on a hybrid host too. */
describe.runIf(process.getuid?.() === 0 && unified !== undefined)(
  'groups in the unified hierarchy [needs: root, cgroup2]',
  () => {
    it('are frozen and killed with what is inside, and removed', async () => {
      const prefix = `warden-v2-test-${process.pid}`;
      const parent = path.join(unified!, prefix);
      const real = v2Driver({ mount: unified!, prefix, controllers: CONTROLLERS, logger: silentLogger });
      const inner = path.join(parent, 'instance-0123456789a/inner');
      for (const name of [inner, path.join(inner, '../jobs')]) fs.mkdirSync(name, { recursive: true });
      const children = [real.joinFiles(state)[0]!, path.join(inner, 'cgroup.procs')].map((file) =>
        spawn('sh', ['-c', `echo 0 > ${file} && echo inside && exec sleep 60`], {
          stdio: ['ignore', 'pipe', 'inherit'],
        }),
      );
      try {
        await Promise.all(children.map((child) => once(child.stdout, 'data')));
        const pids = children.map(({ pid }) => pid!).sort((a, b) => a - b);
        expect(await real.pids(state)).toEqual(pids);
        const ended = Promise.all(children.map((child) => once(child, 'exit')));
        await real.freeze(state, 5_000);
        expect(await real.isFrozen(state)).toBe(true);
        if (real.supports.pressure)
          expect((await real.pressureStat(state)).memory?.some.total).toBeTypeOf('bigint');
        await real.killAll(state, 5_000);
        expect(await real.pids(state)).toEqual([]);
        expect((await ended).map(([, signal]) => signal)).toEqual(['SIGKILL', 'SIGKILL']);
        await real.release(state);
        await real.release(state);
        await real.killAll(state, 100);
        expect(fs.readdirSync(parent).filter((name) => name.startsWith('instance'))).toEqual([]);
      } finally {
        for (const child of children) child.kill('SIGKILL');
        await real.release(state);
        fs.rmdirSync(parent);
      }
    });
  },
);
