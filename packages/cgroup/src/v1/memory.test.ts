/** The v1 memory controller on files of a directory: what a real kernel of this host does not show. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type CgroupDriver, type DriverState, type Logger, silentLogger } from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { descriptors } from '../../test/scarce-descriptors.ts';
import { v1Driver } from './driver.ts';
import { readMemoryStat, watchKills } from './memory.ts';

vi.mock('../kernel-file.ts', async (original) => {
  const { withScarceDescriptors } = await import('../../test/scarce-descriptors.ts');
  return withScarceDescriptors(await original());
});

let mount: string;
let group: string;
let driver: CgroupDriver;
let state: DriverState;
const warnings: { event: string; data: unknown }[] = [];
const logger: Logger = { ...silentLogger, warn: (event, data) => warnings.push({ event, data }) };

beforeEach(() => {
  descriptors.areFree = true;
  mount = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-cgroup-'));
  driver = v1Driver(new Map([['memory', mount]]), { prefix: 'warden' }, { logger });
  state = driver.plan({ id: '0123456789a', allowAllDevices: false, pidsLimit: undefined });
  group = path.join(mount, 'warden/instance-0123456789a');
  fs.mkdirSync(group, { recursive: true });
  fs.writeFileSync(path.join(group, 'memory.limit_in_bytes'), '9223372036854771712\n');
  warnings.length = 0;
});
afterEach(() => fs.rmSync(mount, { recursive: true, force: true }));

/** A fixture is not truncated by a shorter value, a kernel file has no rest. */
function begins(file: string, value: bigint): void {
  expect(fs.readFileSync(path.join(group, file), 'utf8').slice(0, String(value).length)).toBe(String(value));
}

describe('the memory limit of v1', () => {
  it('is of memory alone, with one warning, where the kernel counts no swap [drivers 5] [linux-container 10]', async () => {
    expect(driver.supports.swap).toBe(false);
    for (const limit of [64n << 20n, 32n << 20n]) {
      await driver.setMemoryLimit(state, limit);
      begins('memory.limit_in_bytes', limit);
    }
    expect(fs.readdirSync(group)).toEqual(['memory.limit_in_bytes']);
    expect(warnings).toEqual([
      { event: 'swap-not-limited', data: { reason: expect.stringContaining('does not count swap') } },
    ]);
  });

  it('is of both, without a warning, where it does', async () => {
    fs.writeFileSync(path.join(group, 'memory.memsw.limit_in_bytes'), '9223372036854771712\n');
    await driver.setMemoryLimit(state, 64n << 20n);
    for (const file of ['memory.limit_in_bytes', 'memory.memsw.limit_in_bytes']) begins(file, 64n << 20n);
    expect(warnings).toEqual([]);
  });

  it('is put back when memory and swap together cannot be set [behaviour 5 LimitMemory]', async () => {
    fs.mkdirSync(path.join(group, 'memory.memsw.limit_in_bytes'));
    fs.writeFileSync(path.join(group, 'memory.limit_in_bytes'), '9223372036854771712');
    await expect(driver.setMemoryLimit(state, 64n << 20n)).rejects.toMatchObject({
      message: expect.stringMatching(/^Failed setting memory limit: .*EISDIR/),
    });
    begins('memory.limit_in_bytes', 9_223_372_036_854_771_712n);
  });
});

describe('the memory statistics of v1', () => {
  it('are the 28 keys of the protocol and no other, bad lines ignored [protocol 8 Info] [linux-container 17.2]', () => {
    const own = [
      ...['cache', 'rss', 'mapped_file', 'pgpgin', 'pgpgout', 'swap', 'pgfault', 'pgmajfault'],
      ...['inactive_anon', 'active_anon', 'inactive_file', 'active_file', 'unevictable'],
    ];
    const keys = [
      ...own,
      'hierarchical_memory_limit',
      'hierarchical_memsw_limit',
      ...own.map((key) => `total_${key}`),
    ];
    const lines = keys.map((key, at) => `${key} ${at + 1}`);
    fs.writeFileSync(
      path.join(group, 'memory.stat'),
      ['rss_huge 7', 'shmem 7', 'workingset_refault 7', 'cache x', 'odd 1 2', ...lines, ''].join('\n'),
    );
    expect(readMemoryStat(group)).toEqual(Object.fromEntries(keys.map((key, at) => [key, BigInt(at + 1)])));
  });
});

describe('the watch for kills of v1', () => {
  const control = (kills: number): void =>
    fs.writeFileSync(path.join(group, 'memory.oom_control'), `under_oom 0\noom_kill ${kills}\n`);

  it('tells of a kill later that it cannot look for, without a free descriptor, and ends nobody', async () => {
    control(3);
    fs.writeFileSync(path.join(group, 'cgroup.event_control'), '');
    let told = 0;
    const watch = watchKills(group, () => told++);
    const [event] = fs.readFileSync(path.join(group, 'cgroup.event_control'), 'utf8').split(' ');
    descriptors.areFree = false;
    control(4);
    fs.writeSync(Number(event), Buffer.from(BigUint64Array.of(1n).buffer)); // as the kernel does
    await delay(1_500); // longer than it looks for the end of a kill; an error that nobody catches fails the run
    expect(() => watch.check()).toThrow('too many open files');
    expect(told).toBe(0);
    descriptors.areFree = true;
    await expect.poll(() => told, { timeout: 20_000 }).toBe(1);
    watch.close();
  });
});
