import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type DriverFactory, type QuotaDriver, type QuotaSpec, silentLogger } from '@warden/interface';
import { btrfsFacts, btrfsQuota, createSubvolume } from '@warden/native';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { inOwnNamespace } from '../test/own-namespace.ts';
import { quotaMode } from './btrfs-group.ts';
import { btrfsSubvolume } from './btrfs-subvolume.ts';

/** What happens while a probe writes over its limit. */
let during: (() => Promise<void>) | undefined;
vi.mock('./try-writing.ts', async (original) => {
  const real = await original<typeof import('./try-writing.ts')>();
  const tryWriting: typeof real.tryWriting = async (...words) => {
    await during?.();
    return await real.tryWriting(...words);
  };
  return { ...real, tryWriting };
});

const NONE = { blockSoft: 0n, blockHard: 0n, inodeSoft: 0n, inodeHard: 0n };
const canMount =
  inOwnNamespace &&
  /\bbtrfs\b/.test(fs.readFileSync('/proc/filesystems', 'utf8')) &&
  spawnSync('mkfs.btrfs', ['--version']).error === undefined;

const make = (factory: DriverFactory<QuotaDriver> = btrfsSubvolume()): QuotaDriver =>
  factory({ logger: silentLogger });

it('says that another file system is none, and touches nothing', async () => {
  const depot = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-quota-'));
  const spec: QuotaSpec = { id: '0123456789a', directory: path.join(depot, '0123456789a'), uid: 10_000 };
  try {
    expect(await make().probe(depot)).toEqual({
      ok: false,
      reason: `no btrfs subvolumes in ${depot}: it is on another file system`,
    });
    expect(await make().probe(path.join(depot, 'absent'))).toMatchObject({
      ok: false,
      reason: expect.stringContaining('ENOENT'),
    });
    expect(await make().limits(spec, {})).toEqual(NONE);
    await make().release(spec, {});
    expect(fs.readdirSync(depot)).toEqual([]);
  } finally {
    fs.rmSync(depot, { recursive: true });
  }
});

describe.runIf(canMount)('on btrfs [needs: root, own mounts, btrfs]', () => {
  let scratch: string;
  let mount: string;
  let depot: string;
  let spec: QuotaSpec;
  beforeAll(() => {
    scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-btrfs-'));
    mount = path.join(scratch, 'mounted');
    fs.mkdirSync(mount);
    fs.writeFileSync(path.join(scratch, 'image'), '');
    fs.truncateSync(path.join(scratch, 'image'), 256 << 20);
    execFileSync('mkfs.btrfs', ['-q', path.join(scratch, 'image')], { stdio: 'ignore' });
    execFileSync('mount', ['-o', 'loop,noatime,commit=1', path.join(scratch, 'image'), mount]);
  });
  afterAll(() => {
    execFileSync('umount', [mount]);
    fs.rmSync(scratch, { recursive: true });
  });
  beforeEach(() => {
    btrfsQuota(mount, 'full');
    depot = fs.mkdtempSync(path.join(mount, 'depot-'));
    spec = { id: '0123456789a', directory: path.join(depot, '0123456789a'), uid: 10_000 };
    fs.mkdirSync(spec.directory);
  });
  afterEach(() => fs.rmSync(depot, { recursive: true }));

  const groups = (): string[] =>
    fs
      .readdirSync(`/sys/fs/btrfs/${btrfsFacts(mount).filesystem}/qgroups`)
      .filter((name) => name.startsWith('0_'));

  it('leaves no quota group behind, when the kernel has cleared up [drivers 4.5]', async () => {
    const before = groups();
    const driver = make();
    expect(await driver.probe(depot)).toEqual({ ok: true, detail: 'quota groups (full)' });
    await driver.prepare(spec, {});
    expect(groups()).not.toEqual(before);
    // set-user-id programs of a container are for nobody on the host
    expect(fs.statSync(path.join(spec.directory, 'tmp')).mode & 0o777).toBe(0o700);
    await driver.release(spec, {});
    fs.writeFileSync(path.join(mount, 'work for a commit'), 'x');
    await expect.poll(groups, { timeout: 60_000 }).toEqual(before);
  }, 90_000);

  it('removes at a probe what a start that was killed has left: a subvolume, and its group', async () => {
    const before = groups();
    const left = '.quota-probe-abc123';
    await createSubvolume(depot, left);
    fs.writeFileSync(path.join(depot, left, 'file'), 'left');
    expect(groups()).not.toEqual(before);
    expect(await make().probe(depot)).toMatchObject({ ok: true });
    expect(fs.existsSync(path.join(depot, left))).toBe(false);
    fs.writeFileSync(path.join(mount, 'more work for a commit'), 'x');
    await expect.poll(groups, { timeout: 60_000 }).toEqual(before);
  }, 90_000);

  it('is refused while quota is off, or switches it on: for the probe, or to stay', async () => {
    const { filesystem } = btrfsFacts(mount);
    btrfsQuota(mount, 'off');
    expect(await make().probe(depot)).toEqual({ ok: false, reason: `quota of the btrfs at ${depot} is off` });
    await expect(make().prepare(spec, {})).rejects.toMatchObject({
      code: 'NATIVE_FAILED',
      fields: { operation: 'prepare-layer', errno: 'ENOTCONN' },
    });
    expect(fs.readdirSync(spec.directory)).toEqual([]);
    const switching = make(btrfsSubvolume({ switchOn: 'simple' }));
    expect(await switching.probe(depot)).toEqual({ ok: true, detail: 'quota groups (simple)' });
    expect(quotaMode(filesystem)).toBeUndefined();
    await switching.prepare(spec, {});
    expect(quotaMode(filesystem)).toBe('simple');
    expect(await make().probe(depot)).toEqual({ ok: true, detail: 'quota groups (simple)' });
    await switching.release(spec, {});
    btrfsQuota(mount, 'off');
  });

  it.each([undefined, 'simple'] as const)(
    'tells at a probe that quota is off under containers that it was made for; with switchOn %s',
    async (switchOn) => {
      const warn = vi.fn();
      const logger = { ...silentLogger, warn };
      const probe = () => btrfsSubvolume(switchOn === undefined ? {} : { switchOn })({ logger }).probe(depot);
      btrfsQuota(mount, 'off');
      const other = path.join(depot, 'other');
      fs.mkdirSync(path.join(other, 'tmp'), { recursive: true });
      await probe();
      expect(warn).not.toHaveBeenCalled();
      btrfsQuota(mount, 'full');
      await make().prepare(spec, {});
      await probe();
      expect(warn).not.toHaveBeenCalled();
      btrfsQuota(mount, 'off');
      await probe();
      expect(warn.mock.calls).toEqual([
        ['disk-limits-lost', expect.objectContaining({ driver: 'btrfs', containers: [spec.id], count: 1 })],
      ]);
      await make().release(spec, {});
    },
  );

  it('leaves quota on when another daemon has limited something while it was tried', async () => {
    const { filesystem } = btrfsFacts(mount);
    btrfsQuota(mount, 'off');
    const driver = make(btrfsSubvolume({ switchOn: 'full' }));
    const limits = { ...NONE, blockHard: 1024n };
    during = async () => {
      await driver.prepare(spec, {});
      await driver.setLimits(spec, {}, limits);
    };
    try {
      expect(await make(btrfsSubvolume({ switchOn: 'full' })).probe(depot)).toMatchObject({ ok: true });
    } finally {
      during = undefined;
    }
    expect([quotaMode(filesystem), await driver.limits(spec, {})]).toEqual(['full', limits]);
    await driver.release(spec, {});
  });

  it('says once that it ignores soft limits and those of inodes [drivers 4.5]', async () => {
    const warned: unknown[] = [];
    const logger = { ...silentLogger, warn: (...what: unknown[]) => void warned.push(what) };
    const told = btrfsSubvolume()({ logger });
    await told.prepare(spec, {});
    await told.setLimits(spec, {}, { ...NONE, blockHard: 4096n });
    expect(warned).toEqual([]);
    const limits = { blockSoft: 1024n, blockHard: 4096n, inodeSoft: 0n, inodeHard: 100n };
    expect(await told.setLimits(spec, {}, limits)).toEqual({ ...NONE, blockHard: 4096n });
    await told.setLimits(spec, {}, limits);
    expect(warned).toEqual([['disk-limits-ignored', { ignored: ['blockSoft', 'inodeHard'] }]]);
    await told.release(spec, {});
  });

  it('answers no usage and no limit when quota was switched off meanwhile, and releases', async () => {
    const driver = make();
    await driver.prepare(spec, {});
    btrfsQuota(mount, 'off');
    await expect(driver.usage(spec, {})).rejects.toThrow(/^Failed getting disk usage: quota of the btrfs/);
    await expect(driver.setLimits(spec, {}, { ...NONE, blockHard: 1n })).rejects.toMatchObject({
      fields: { errno: 'ENOTCONN' },
    });
    expect(await driver.limits(spec, {})).toEqual(NONE);
    await driver.release(spec, {});
    expect(fs.readdirSync(spec.directory)).toEqual([]);
  });

  it('counts what is written, also before it is on the disk', async () => {
    const driver = make();
    await driver.prepare(spec, {});
    fs.writeFileSync(path.join(spec.directory, 'tmp/file'), Buffer.alloc(4 << 20, 1));
    expect((await driver.usage(spec, {})).bytesUsed).toBeGreaterThanOrEqual(4n << 20n);
    await driver.release(spec, {});
  });

  it('removes also what lies in subvolumes below the layer', async () => {
    const driver = make();
    await driver.prepare(spec, {});
    fs.mkdirSync(path.join(spec.directory, 'tmp/rootfs'));
    await createSubvolume(path.join(spec.directory, 'tmp/rootfs'), 'own');
    fs.writeFileSync(path.join(spec.directory, 'tmp/rootfs/own/file'), 'x');
    await driver.release(spec, {});
    expect(fs.readdirSync(spec.directory)).toEqual([]);
  });

  it('keeps its hands off a layer that is a plain directory with content', async () => {
    fs.mkdirSync(path.join(spec.directory, 'tmp/rootfs'), { recursive: true });
    await expect(make().prepare(spec, {})).rejects.toMatchObject({ fields: { errno: 'ENOTEMPTY' } });
    await expect(make().usage(spec, {})).rejects.toThrow('is no subvolume');
    expect(await make().limits(spec, {})).toEqual(NONE);
    await make().release(spec, {});
    expect(fs.existsSync(path.join(spec.directory, 'tmp/rootfs'))).toBe(true);
  });

  it('refuses a limit beyond what the kernel counts', async () => {
    const driver = make();
    await driver.prepare(spec, {});
    await expect(driver.setLimits(spec, {}, { ...NONE, blockHard: 1n << 54n })).rejects.toMatchObject({
      code: 'INVALID_SPEC',
    });
    await driver.release(spec, {});
  });
});
