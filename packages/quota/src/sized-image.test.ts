import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type DiskLimits,
  type QuotaDriver,
  type QuotaSpec,
  silentLogger,
  type WardenError,
} from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { inOwnNamespace } from '../test/own-namespace.ts';
import { sizedImage } from './sized-image.ts';

const MIB = 1024 * 1024;
const PIECE = Buffer.alloc(MIB / 16, 1);
const UNLIMITED = { blockSoft: 0n, blockHard: 0n, inodeSoft: 0n, inodeHard: 0n };

it('refuses a bad size', () => {
  expect(() => sizedImage({ size: 1 })).toThrow(TypeError);
  expect(() => sizedImage({ size: 1.5e9 + 0.5 })).toThrow(TypeError);
  expect(() => sizedImage({ size: '1G' as never })).toThrow(TypeError);
});

describe.runIf(inOwnNamespace)('sizedImage [needs: own namespaces]', () => {
  let depot: string;
  let spec: QuotaSpec;
  let layer: string;
  let driver: QuotaDriver;
  beforeEach(() => {
    depot = mkdtempSync(join(tmpdir(), 'warden-quota-'));
    spec = { id: '0123456789a', directory: join(depot, '0123456789a'), uid: 10000 };
    layer = join(spec.directory, 'tmp');
    driver = sizedImage({ size: 256 * MIB })({ logger: silentLogger });
  });
  afterEach(async () => {
    await driver.release(spec, driver.plan(spec));
    rmSync(depot, { recursive: true });
  });

  /** In small pieces, as programs write: of a large one that does not fit ext4 may take nothing. */
  function write(name: string, mebibytes: number): string | undefined {
    const fd = openSync(join(layer, name), 'w');
    try {
      for (let i = 0; i < mebibytes * 16; i++) writeSync(fd, PIECE);
      return undefined;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code;
    } finally {
      closeSync(fd);
    }
  }

  it('probes for real and leaves nothing', async () => {
    expect(await driver.probe(depot)).toMatchObject({ ok: true });
    expect(readdirSync(depot)).toEqual([]);
    expect(await driver.probe(join(depot, 'none'))).toMatchObject({
      ok: false,
      reason: expect.stringContaining('ENOENT'),
    });
  });

  it('makes its template once more when that has failed', async () => {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=32k', 'none', depot]);
    try {
      expect(await driver.probe(depot)).toMatchObject({
        ok: false,
        reason: expect.stringMatching('mkfs.ext4'),
      });
      execFileSync('mount', ['-o', 'remount,size=64m', depot]);
      expect(await driver.probe(depot)).toMatchObject({ ok: true });
    } finally {
      execFileSync('umount', ['--lazy', depot]); // the driver has the template open
    }
  });

  it('removes what a daemon left that was killed while it probed or made its template', async () => {
    for (const name of ['.quota-probe-abc123', '.quota-template-abc123']) {
      mkdirSync(join(depot, name));
      writeFileSync(join(depot, name, 'image'), 'half');
    }
    mkdirSync(join(depot, '.other'));
    expect(await driver.probe(depot)).toMatchObject({ ok: true });
    expect(readdirSync(depot)).toEqual(['.other']);
  });

  it('begins empty and unlimited, in a sparse image of its own', async () => {
    const state = driver.plan(spec);
    await driver.prepare(spec, state);
    expect(readdirSync(layer).filter((name) => name !== '.warden-ballast')).toEqual([]);
    expect(statSync(layer).mode & 0o777).toBe(0o700); // set-user-id programs of a container are for nobody on the host
    expect(await driver.limits(spec, state)).toEqual(UNLIMITED);
    expect(await driver.usage(spec, state)).toEqual({ bytesUsed: 4096n, inodesUsed: 1n });
    const { blocks, bfree, bavail } = statfsSync(layer);
    expect(bfree - bavail).toBeLessThan(0.03 * blocks); // ext4's own reserve, and nothing for root
    expect(statSync(join(spec.directory, 'disk.img')).blocks * 512).toBeLessThan(4 * MIB);
    expect(write('big', 40)).toBeUndefined();
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).toContain(` ${layer} `);
  });

  it('holds a limit, and counts what is written under it', async () => {
    const state = driver.plan(spec);
    await driver.prepare(spec, state);
    const wanted = { ...UNLIMITED, blockHard: 8192n };
    expect(await driver.setLimits(spec, state, wanted)).toEqual(wanted);
    expect(await driver.limits(spec, state)).toEqual(wanted);
    expect(statSync(join(spec.directory, 'disk.img')).blocks * 512).toBeLessThan(4 * MIB); // ballast takes no room
    expect(write('small', 4)).toBeUndefined();
    expect(write('large', 8)).toBe('ENOSPC');
    const { bytesUsed, inodesUsed } = await driver.usage(spec, state);
    expect(inodesUsed).toBe(3n);
    expect(bytesUsed).toBeGreaterThan(7n * BigInt(MIB));
    expect(bytesUsed).toBeLessThanOrEqual(8n * BigInt(MIB));
  });

  it('raises, lowers and lifts limits on a living container', async () => {
    const state = driver.plan(spec);
    await driver.prepare(spec, state);
    await driver.setLimits(spec, state, { ...UNLIMITED, blockHard: 4096n });
    expect(write('file', 8)).toBe('ENOSPC');
    await driver.setLimits(spec, state, { ...UNLIMITED, blockHard: 65536n });
    expect(write('file', 32)).toBeUndefined();
    await expect(driver.setLimits(spec, state, { ...UNLIMITED, blockHard: 4096n })).rejects.toMatchObject({
      code: 'INVALID_SPEC',
      message: 'cannot set the disk limit: more is used already',
    });
    expect(await driver.limits(spec, state)).toEqual({ ...UNLIMITED, blockHard: 65536n });
    rmSync(join(layer, 'file'));
    await driver.setLimits(spec, state, { ...UNLIMITED, blockHard: 4096n });
    expect(write('file', 8)).toBe('ENOSPC');
    expect(await driver.setLimits(spec, state, UNLIMITED)).toEqual(UNLIMITED);
    expect(write('file', 64)).toBeUndefined();
  });

  it('refuses a limit that the image cannot reach, and one without an image', async () => {
    const state = driver.plan(spec);
    await expect(driver.setLimits(spec, state, UNLIMITED)).rejects.toMatchObject({ code: 'NATIVE_FAILED' });
    await expect(driver.usage(spec, state)).rejects.toThrow(/^Failed getting disk usage: /);
    await driver.prepare(spec, state);
    const limitOf = (blockHard: bigint): Promise<DiskLimits> =>
      driver.setLimits(spec, state, { ...UNLIMITED, blockHard });
    const refusal = { code: 'INVALID_SPEC', fields: { operation: 'set-disk-limits' } };
    const refused = await limitOf(1n << 40n).catch((error: WardenError) => error);
    expect(refused).toMatchObject(refusal);
    expect((refused as WardenError).fields.advice).toContain('drivers.quota_image_size');
    // all that the image holds would be no limit
    const { capacity } = (refused as WardenError).fields as { readonly capacity: bigint };
    await expect(limitOf(capacity)).rejects.toMatchObject(refusal);
    expect(await limitOf(capacity - 4n)).toMatchObject({ blockHard: capacity - 4n });
  });

  it('tells nothing of the host’s disk where the image is not mounted any more, and keeps no descriptor of any', async () => {
    const state = driver.plan(spec);
    const open = (): number => readdirSync('/proc/self/fd').length;
    await driver.prepare(spec, state);
    await driver.release(spec, state);
    const before = open();
    for (let round = 0; round < 5; round++) {
      await driver.prepare(spec, state);
      expect(write('file', 1)).toBeUndefined();
      await driver.release(spec, state);
    }
    expect(open()).toBe(before);
    await expect(driver.usage(spec, state)).rejects.toMatchObject({
      code: 'NATIVE_FAILED',
      message: expect.stringContaining('is not mounted'),
    });
  });

  it('prepares again without losing content but without the limit', async () => {
    const state = driver.plan(spec);
    await driver.prepare(spec, state);
    expect(write('kept', 1)).toBeUndefined();
    await driver.setLimits(spec, state, { ...UNLIMITED, blockHard: 4096n });
    await driver.prepare(spec, state);
    expect(await driver.limits(spec, state)).toEqual(UNLIMITED);
    expect(existsSync(join(layer, 'kept'))).toBe(true);
  });

  it('says once that it ignores soft limits and those of inodes [drivers 4.5]', async () => {
    const warned: unknown[] = [];
    const logger = { ...silentLogger, warn: (...what: unknown[]) => void warned.push(what) };
    const told = sizedImage({ size: 256 * MIB })({ logger });
    await told.prepare(spec, {});
    await told.setLimits(spec, {}, { ...UNLIMITED, blockHard: 4096n });
    expect(warned).toEqual([]);
    const limits = { blockSoft: 1024n, blockHard: 4096n, inodeSoft: 0n, inodeHard: 100n };
    expect(await told.setLimits(spec, {}, limits)).toEqual({ ...UNLIMITED, blockHard: 4096n });
    await told.setLimits(spec, {}, limits);
    expect(warned).toEqual([['disk-limits-ignored', { ignored: ['blockSoft', 'inodeHard'] }]]);
    await told.release(spec, {});
  });

  it('takes away the traces of a prepare that was cut off', async () => {
    mkdirSync(spec.directory);
    writeFileSync(join(spec.directory, 'disk.img'), 'half');
    const state = driver.plan(spec);
    await driver.prepare(spec, state);
    expect(write('file', 1)).toBeUndefined();
  });

  it('releases twice, what is in use, and what was never prepared', async () => {
    const state = driver.plan(spec);
    await driver.release(spec, state);
    await driver.prepare(spec, state);
    const cwd = process.cwd();
    process.chdir(layer);
    await driver.release(spec, state);
    process.chdir(cwd);
    await driver.release(spec, state);
    expect(readdirSync(spec.directory)).toEqual(['tmp']);
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(layer);
  });

  it.each(['discard', 'release'] as const)('does not write out what goes with a %s', async (step) => {
    await driver.prepare(spec, {});
    const fd = openSync(join(spec.directory, 'disk.img'), 'r');
    try {
      expect(write('file', 40)).toBeUndefined();
      await driver[step]!(spec, {});
      expect(existsSync(join(layer, 'file'))).toBe(false);
      expect(fstatSync(fd).blocks * 512).toBeLessThan(20 * MIB);
    } finally {
      closeSync(fd);
    }
  });

  it('keeps containers apart', async () => {
    const other = { ...spec, id: 'bbbbbbbbbbb', directory: join(depot, 'bbbbbbbbbbb') };
    await Promise.all([driver.prepare(spec, {}), driver.prepare(other, {})]);
    await driver.setLimits(spec, {}, { ...UNLIMITED, blockHard: 4096n });
    expect(await driver.limits(other, {})).toEqual(UNLIMITED);
    writeFileSync(join(other.directory, 'tmp', 'file'), Buffer.alloc(MIB));
    expect(existsSync(join(layer, 'file'))).toBe(false);
    await driver.release(other, {});
  });

  it('takes milliseconds per container', async () => {
    await driver.prepare(spec, {});
    await driver.release(spec, {});
    const durations: number[] = [];
    for (let i = 0; i < 11; i++) {
      const begun = performance.now();
      await driver.prepare(spec, {});
      await driver.release(spec, {});
      durations.push(performance.now() - begun);
    }
    // the median: whatever else the disk does falls on single ones
    expect(durations.sort((one, other) => one - other)[5]).toBeLessThan(250);
  });
});
