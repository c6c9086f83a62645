import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  fileError,
  innerGroups,
  makeGroup,
  parseKeyed,
  processesOf,
  readControl,
  writeControl,
  writeControlSlowly,
} from './kernel-file.ts';

let group: string;
beforeEach(() => {
  group = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-cgroup-'));
});
afterEach(() => fs.rmSync(group, { recursive: true, force: true }));

describe('control files', () => {
  it('are read without the last line end', () => {
    fs.writeFileSync(path.join(group, 'cpu.shares'), '1024\n');
    expect(readControl(group, 'cpu.shares')).toBe('1024');
  });

  it('are never made by a write', async () => {
    expect(() => writeControl(group, 'memory.max', 1n)).toThrow('ENOENT');
    await expect(writeControlSlowly(group, 'memory.max', 1n)).rejects.toThrow('ENOENT');
    expect(fs.readdirSync(group)).toEqual([]);
  });

  it('take numbers beyond 53 bits', async () => {
    fs.writeFileSync(path.join(group, 'limit'), '');
    await writeControlSlowly(group, 'limit', 9_223_372_036_854_771_712n);
    expect(readControl(group, 'limit')).toBe('9223372036854771712');
  });

  it('with keys give numbers, whatever else they have', () => {
    expect(parseKeyed('cache 1\nodd line 2\nrss 18446744073709551615\nempty\nnegative -1\n')).toEqual(
      new Map([
        ['cache', 1n],
        ['rss', 18_446_744_073_709_551_615n],
      ]),
    );
  });
});

describe('groups', () => {
  it('are made once', () => {
    const inner = path.join(group, 'inner');
    expect([makeGroup(inner), makeGroup(inner)]).toEqual([true, false]);
    expect(innerGroups(group)).toEqual([inner]);
    expect(innerGroups(path.join(group, 'absent'))).toEqual([]);
    expect(() => makeGroup(path.join(group, 'absent/inner'))).toThrow(
      expect.objectContaining({
        code: 'NATIVE_FAILED',
        fields: expect.objectContaining({ errno: 'ENOENT' }),
      }),
    );
  });

  it('have the processes of the groups inside, each once and in order, but nobody from outside the pid namespace', () => {
    fs.mkdirSync(path.join(group, 'inner'));
    fs.writeFileSync(path.join(group, 'cgroup.procs'), '100\n0\n7\n');
    fs.writeFileSync(path.join(group, 'inner/cgroup.procs'), '7\n31\n0\n');
    expect(processesOf(group)).toEqual([7, 31, 100]);
    expect(processesOf(path.join(group, 'absent'))).toEqual([]);
  });
});

describe('errors', () => {
  it('name operation, object and errno behind the text of the contract', () => {
    const cause = Object.assign(new Error('EBUSY: busy'), { code: 'EBUSY' });
    const error = fileError('set memory limit', '/group', cause, 'Failed setting memory limit');
    expect(error.message).toBe('Failed setting memory limit: /group: EBUSY: busy');
    expect(error).toMatchObject({
      code: 'NATIVE_FAILED',
      fields: { operation: 'set memory limit', object: '/group', errno: 'EBUSY' },
    });
  });
});
