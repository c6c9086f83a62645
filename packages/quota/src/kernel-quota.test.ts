import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DiskLimits, type QuotaSpec, silentLogger, WardenError } from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { KernelQuota, type QuotaCalls } from './kernel-quota.ts';
import { PROJECT_QUOTA, projectQuota } from './project-quota.ts';
import { tryWriting } from './try-writing.ts';
import { USER_QUOTA, userQuota } from './user-quota.ts';

const components = { logger: silentLogger };
const UNLIMITED: DiskLimits = { blockSoft: 0n, blockHard: 0n, inodeSoft: 0n, inodeHard: 0n };
const LIMITS: DiskLimits = { blockSoft: 10n, blockHard: 20n, inodeSoft: 30n, inodeHard: 40n };

let depot: string;
let spec: QuotaSpec;
beforeEach(() => {
  depot = mkdtempSync(join(tmpdir(), 'warden-quota-'));
  spec = { id: '0123456789a', directory: join(depot, '0123456789a'), uid: 10007 };
});
afterEach(() => rmSync(depot, { recursive: true }));

function failure(errno: string): WardenError {
  return new WardenError('NATIVE_FAILED', `quota-get: (${errno})`, {
    fields: { operation: 'quota-get', errno },
  });
}

/** A kernel with quota: a table, and the calls it saw. */
class QuotaTable implements QuotaCalls {
  readonly limits = new Map<string, DiskLimits>();
  readonly log: string[] = [];
  broken: string | undefined;
  stops: string | undefined = 'EDQUOT';

  quotaGet: QuotaCalls['quotaGet'] = (path, kind, id) => {
    this.log.push(`get ${kind} ${id} ${path}`);
    if (this.broken !== undefined) throw failure(this.broken);
    const found = this.limits.get(`${kind} ${id}`);
    if (found === undefined) throw failure('ENOENT');
    return { ...found, bytes: 4096n, inodes: 2n };
  };
  quotaSet: QuotaCalls['quotaSet'] = (path, kind, id, limits) => {
    this.log.push(`set ${kind} ${id} ${path}`);
    if (this.broken !== undefined) throw failure(this.broken);
    this.limits.set(`${kind} ${id}`, limits);
  };
  setProjectId: QuotaCalls['setProjectId'] = (path, id) => {
    this.log.push(`project ${id} ${path}`);
  };
  tryWriting: QuotaCalls['tryWriting'] = async (directory, _uid, _bytes, limit) => {
    limit(join(directory, 'trial'));
    return this.stops;
  };
}

describe.each([
  ['user', USER_QUOTA],
  ['project', PROJECT_QUOTA],
] as const)('%s quota', (name, kind) => {
  let table: QuotaTable;
  let driver: KernelQuota;
  beforeEach(() => {
    table = new QuotaTable();
    driver = new KernelQuota(kind, components, table);
  });

  it('refuses what the kernel would take modulo 2^54 for a tiny limit', async () => {
    const state = driver.plan(spec);
    for (const limits of [{ blockHard: (1n << 54n) + 1n }, { blockSoft: 1n << 54n }]) {
      await expect(
        driver.setLimits(spec, state, {
          blockSoft: 0n,
          blockHard: 0n,
          inodeSoft: 0n,
          inodeHard: 0n,
          ...limits,
        }),
      ).rejects.toMatchObject({ code: 'INVALID_SPEC', message: expect.stringContaining('0 is no limit') });
    }
    expect(table.log).toEqual([]);
  });

  it('plans the uid, without a call', () => {
    expect(driver.plan(spec)).toEqual({ id: 10007 });
    expect(table.log).toEqual([]);
    expect(driver.name).toBe(name);
  });

  it('prepares the layer: marked before limited, and free of an earlier owner’s limits', async () => {
    table.limits.set(`${name} 10007`, LIMITS);
    const state = driver.plan(spec);
    await driver.prepare(spec, state);
    await driver.prepare(spec, state);
    expect(existsSync(join(spec.directory, 'tmp'))).toBe(true);
    expect(await driver.limits(spec, state)).toEqual(UNLIMITED);
    const marks = name === 'project' ? [`project 10007 ${spec.directory}/tmp`] : [];
    expect(table.log.slice(0, marks.length + 1)).toEqual([...marks, `set ${name} 10007 ${depot}`]);
  });

  it('sets, answers and lifts limits', async () => {
    const state = driver.plan(spec);
    await driver.prepare(spec, state);
    expect(await driver.setLimits(spec, state, LIMITS)).toEqual(LIMITS);
    expect(await driver.limits(spec, state)).toEqual(LIMITS);
    expect(await driver.usage(spec, state)).toEqual({ bytesUsed: 4096n, inodesUsed: 2n });
    await driver.release(spec, state);
    await driver.release(spec, state);
    expect(await driver.limits(spec, state)).toEqual(UNLIMITED);
  });

  it('answers zeros for a record that does not exist', async () => {
    expect(await driver.limits(spec, { id: 5 })).toEqual(UNLIMITED);
    expect(await driver.usage(spec, { id: 5 })).toEqual({ bytesUsed: 0n, inodesUsed: 0n });
  });

  it('fails usage with the text clients know', async () => {
    table.broken = 'EPERM';
    await expect(driver.usage(spec, { id: 5 })).rejects.toMatchObject({
      code: 'NATIVE_FAILED',
      message: 'Failed getting disk usage: quota-get: (EPERM)',
      fields: { errno: 'EPERM' },
    });
  });

  it('releases where quota is off by now, and throws what is worse', async () => {
    table.broken = 'ESRCH';
    await driver.release(spec, { id: 5 });
    table.broken = 'EPERM';
    await expect(driver.release(spec, { id: 5 })).rejects.toThrow('EPERM');
    await expect(driver.release(spec, {})).rejects.toMatchObject({ code: 'INTERNAL' });
  });

  it('removes at a probe what a start that was killed has left of its own', async () => {
    const left = join(depot, '.quota-probe-abc123');
    mkdirSync(left);
    await tryWriting(depot, 65_534, 1, () => {});
    expect(existsSync(left)).toBe(false);
  });

  it('probes by writing over a limit, and takes the errno from what it saw', async () => {
    table.stops = 'ENOSPC';
    expect(await driver.probe(depot)).toEqual({ ok: true, detail: `${name} quota, ENOSPC over the limit` });
    expect(driver.supports.errno).toBe('ENOSPC');
    expect([...table.limits.values()]).toEqual([UNLIMITED]); // lifted again
  });

  it('does not trust a limit that is only counted', async () => {
    table.stops = undefined;
    expect(await driver.probe(depot)).toEqual({
      ok: false,
      reason: `${name} quota of ${depot} is counted but not enforced`,
    });
  });

  it('tells why not on this host’s temporary directory, or works there; and leaves nothing', async () => {
    const real = (name === 'user' ? userQuota() : projectQuota())(components);
    const answer = await real.probe(depot);
    if (!answer.ok)
      expect(answer.reason).toMatch(new RegExp(`^no ${name} quota on the file system of .*\\(E[A-Z]+\\)`));
    expect(readdirSync(depot)).toEqual([]);
  });
});

describe.runIf(process.getuid?.() === 0)('tryWriting [needs: root]', () => {
  it('writes as the user, and removes what it made', async () => {
    let directory = '';
    const answer = await tryWriting(depot, 2_000_000_001, 65536, (made) => {
      directory = made;
      expect(existsSync(made)).toBe(true);
    });
    expect(answer).toBeUndefined();
    expect(existsSync(directory)).toBe(false);
  });

  it('removes what it made when the limit cannot be set', async () => {
    await expect(
      tryWriting(depot, 2_000_000_001, 1, () => {
        throw failure('EPERM');
      }),
    ).rejects.toThrow('EPERM');
    expect(readdirSync(depot)).toEqual([]);
  });
});
