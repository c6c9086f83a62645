import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { descriptors } from '../../test/scarce-descriptors.ts';
import { killCount, readMemoryLimit, readMemoryStat, watchKills, writeMemoryLimit } from './memory.ts';

/** Deadlines for a machine that is busy with something else. */
const SOON = { timeout: 20_000 };

const UNLIMITED = 9_223_372_036_854_771_712n;
vi.mock('../kernel-file.ts', async (original) => {
  const { withScarceDescriptors } = await import('../../test/scarce-descriptors.ts');
  return withScarceDescriptors(await original());
});

let root: string;
let group: string;
beforeEach(() => {
  descriptors.areFree = true;
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-cgroup-'));
  group = path.join(root, 'warden/instance-0123456789a');
  fs.mkdirSync(group, { recursive: true });
  write({ 'memory.max': 'max\n', 'memory.swap.max': 'max\n' });
});
afterEach(() => fs.rmSync(root, { recursive: true, force: true }));

function write(files: Record<string, string>, directory = group): void {
  for (const [name, content] of Object.entries(files)) fs.writeFileSync(path.join(directory, name), content);
}

/** A fixture is not truncated by a shorter value, a kernel file has no rest. */
function first(file: string, length: number): string {
  return fs.readFileSync(path.join(group, file), 'utf8').slice(0, length);
}

describe('the memory limit of v2', () => {
  it('is the number of v1 where there is none', () => {
    expect(readMemoryLimit(group)).toBe(UNLIMITED);
  });

  it('leaves no swap on top', async () => {
    expect(await writeMemoryLimit(group, 67_108_864n)).toBe(67_108_864n);
    expect(first('memory.swap.max', 1)).toBe('0');
  });

  it('is taken away by the same number', async () => {
    await writeMemoryLimit(group, UNLIMITED);
    expect([first('memory.max', 3), first('memory.swap.max', 3)]).toEqual(['max', 'max']);
  });

  it('works where swap is not counted', async () => {
    fs.rmSync(path.join(group, 'memory.swap.max'));
    expect(await writeMemoryLimit(group, 67_108_864n)).toBe(67_108_864n);
  });

  it('is refused below what no reclaiming takes away, with advice, and changes nothing; what is in force stays', async () => {
    write({
      'memory.max': '8388608\n',
      'memory.stat': 'anon 3145728\nfile 99999999\nshmem 1048576\nsock 4096\n',
    });
    await expect(writeMemoryLimit(group, 4_194_304n)).rejects.toMatchObject({
      code: 'NATIVE_FAILED',
      message: `Failed setting memory limit: ${group}: EBUSY: 4194304 bytes are too few for what is there already, 4198400 are in use`,
      fields: {
        ...{
          operation: 'set memory limit',
          object: group,
          errno: 'EBUSY',
          limit: '4194304',
          used: '4198400',
        },
        advice: expect.stringContaining('set a higher limit'),
      },
    });
    expect(first('memory.max', 7)).toBe('8388608');
    expect(first('memory.swap.max', 3)).toBe('max');
    expect(await writeMemoryLimit(group, 4_198_400n)).toBe(4_198_400n);
    write({ 'memory.stat': 'anon 8388608\n' });
    expect(await writeMemoryLimit(group, 4_198_400n)).toBe(4_198_400n);
  });

  it('is put back when swap cannot be limited', async () => {
    write({ 'memory.max': '33554432' });
    fs.rmSync(path.join(group, 'memory.swap.max'));
    fs.mkdirSync(path.join(group, 'memory.swap.max'));
    await expect(writeMemoryLimit(group, 67_108_864n)).rejects.toMatchObject({
      code: 'NATIVE_FAILED',
      message: expect.stringMatching(/^Failed setting memory limit: /),
      fields: { operation: 'set memory limit', object: group, errno: 'EISDIR' },
    });
    expect(readMemoryLimit(group)).toBe(33_554_432n);
  });
});

describe('the memory statistics of v2', () => {
  it('are in the words of v1 (spec drivers.md 2.5)', () => {
    const content = ['anon 10', 'file 20', 'kernel 99', 'file_mapped 30', 'pgfault 40', 'pgmajfault 50'];
    write({
      'memory.stat': [...content, 'inactive_anon 1', 'active_anon 2', 'inactive_file 3'].join('\n'),
      'memory.swap.current': '60\n',
    });
    write({ 'memory.max': '1000\n', 'memory.swap.max': '200\n' }, path.dirname(group));
    const stat = readMemoryStat(group, root);
    expect(stat).toMatchObject({
      rss: 10n,
      cache: 20n,
      mapped_file: 30n,
      pgfault: 40n,
      pgmajfault: 50n,
      swap: 60n,
      pgpgin: 0n,
      inactive_anon: 1n,
      total_rss: 10n,
      total_inactive_file: 3n,
      hierarchical_memory_limit: 1_000n,
      hierarchical_memsw_limit: 1_200n,
    });
    expect(stat).not.toHaveProperty('kernel');
  });

  it('fail with the text of the contract', () => {
    expect(() => readMemoryStat(path.join(root, 'absent'), root)).toThrow(/^Failed getting memory usage: /);
  });
});

describe('the watch for kills of v2', () => {
  const events = (kills: number): string => `low 0\nhigh 0\nmax 7\noom 5\noom_kill ${kills}\n`;

  it('tells of kills since it began, not of the removal, and nothing once it is closed', async () => {
    write({ 'memory.events': events(3) });
    expect(killCount(group)).toBe(3n);
    let told = 0;
    const watch = watchKills(group, () => told++);
    await delay(20);
    expect(told).toBe(0);
    write({ 'memory.events': events(4) });
    await expect.poll(() => told, SOON).toBe(1);
    write({ 'memory.events': 'oom 6\noom_kill 4\n' });
    await delay(20);
    expect(told).toBe(1);
    fs.rmSync(group, { recursive: true });
    await delay(20);
    expect([told, killCount(group)]).toEqual([1, undefined]);
    watch.close();
    watch.close();
  });

  it('tells of a kill later that it cannot look for, without a free descriptor, and ends nobody', async () => {
    write({ 'memory.events': events(3) });
    let told = 0;
    const watch = watchKills(group, () => told++);
    descriptors.areFree = false;
    write({ 'memory.events': events(4) });
    await delay(50); // an error that nobody catches fails the run
    expect(() => watch.check()).toThrow('too many open files');
    expect(told).toBe(0);
    descriptors.areFree = true; // the file does not change any more
    await expect.poll(() => told, SOON).toBe(1);
    watch.close();
  });

  it.each(['ENOSPC', 'EMFILE'])('tells of kills later where inotify has nothing left (%s)', async (code) => {
    write({ 'memory.events': events(3) });
    const watch = vi.spyOn(fs, 'watch').mockImplementation(() => {
      throw Object.assign(new Error(`${code}: watch`), { code });
    });
    let told = 0;
    try {
      const kills = watchKills(group, () => told++);
      write({ 'memory.events': events(5) });
      await expect.poll(() => told, SOON).toBe(2);
      kills.close();
      write({ 'memory.events': events(6) });
      await delay(700);
      expect(told).toBe(2);
    } finally {
      watch.mockRestore();
    }
  });

  it('tells of each kill, of those since an earlier number at once, and of the last ones when asked [drivers 2.6]', async () => {
    write({ 'memory.events': events(5) });
    let told = 0;
    const watch = watchKills(group, () => told++, 3n);
    expect(told).toBe(2);
    write({ 'memory.events': events(8) });
    watch.check(); // the notification may still be on its way
    expect(told).toBe(5);
    await delay(20);
    expect(told).toBe(5);
    watch.close();
    write({ 'memory.events': events(9) });
    watch.check();
    expect(told).toBe(5);
  });

  it('counts kills, not how often the limit was hit [drivers 2.6]', () => {
    write({ 'memory.events': 'low 0\nhigh 0\nmax 700\noom 50\noom_kill 2\noom_group_kill 1\n' });
    expect(killCount(group)).toBe(2n);
  });

  it('fails for a group that is not there', () => {
    expect(() => watchKills(path.join(root, 'absent'), () => {})).toThrow(
      expect.objectContaining({
        code: 'NATIVE_FAILED',
        fields: expect.objectContaining({ errno: 'ENOENT' }),
      }),
    );
  });
});
