import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { silentLogger } from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { aufs } from './index.ts';

let directory: string;
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-aufs-'));
});
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

describe('aufs', () => {
  const driver = aufs()({ logger: silentLogger });
  const spec = () => ({ id: '0123456789a', directory, base: path.join(directory, 'base') });

  it('describes the mount by the specified option string (linux-container.md 5.2)', () => {
    expect(
      driver.mounts({ id: '0123456789a', directory: '/depot/0123456789a', base: '/srv/root' }, {}),
    ).toEqual([
      {
        type: 'aufs',
        source: 'none',
        target: '/',
        options: ['br:/depot/0123456789a/tmp/rootfs=rw:/srv/root=ro+wh'],
      },
    ]);
  });
  it('makes the layer with owner and mode of the base, keeps an existing one, and releases it', async () => {
    fs.mkdirSync(spec().base, { mode: 0o711 });
    if (process.getuid?.() === 0) fs.chownSync(spec().base, 1_234, 5_678);
    await driver.prepare(spec(), driver.plan(spec()));
    const factsOf = (one: string): unknown => {
      const { mode, uid, gid } = fs.statSync(one);
      return [mode & 0o7777, uid, gid];
    };
    expect(factsOf(path.join(directory, 'tmp/rootfs'))).toEqual(factsOf(spec().base));
    fs.writeFileSync(path.join(directory, 'tmp/rootfs/kept'), '');
    await driver.prepare(spec(), driver.plan(spec()));
    expect(fs.readdirSync(path.join(directory, 'tmp/rootfs'))).toEqual(['kept']);
    await driver.release(spec(), driver.plan(spec()));
    await driver.release(spec(), driver.plan(spec()));
    expect(fs.readdirSync(directory)).toEqual(['base']);
  });
  it('leaves what others put beside the layer, where nobody but root of the host can look', async () => {
    fs.mkdirSync(spec().base);
    await driver.prepare(spec(), {});
    expect(fs.statSync(path.join(directory, 'tmp')).mode & 0o777).toBe(0o700);
    fs.writeFileSync(path.join(directory, 'tmp/other'), '');
    await driver.release(spec(), {});
    expect(fs.readdirSync(path.join(directory, 'tmp'))).toEqual(['other']);
  });
  it('refuses what aufs cannot express, and a base that is none', async () => {
    await expect(driver.prepare(spec(), {})).rejects.toMatchObject({
      code: 'INVALID_SPEC',
      message: expect.stringContaining('base'),
    });
    const odd = { ...spec(), base: path.join(directory, 'a:b') };
    fs.mkdirSync(odd.base);
    await expect(driver.prepare(odd, {})).rejects.toMatchObject({
      code: 'INVALID_SPEC',
      message: expect.stringContaining('a:b'),
    });
  });
  it('removes at a probe what a start that was killed has left of its own', async () => {
    const left = path.join(directory, '.aufs-probe-abc123');
    fs.mkdirSync(path.join(left, 'base'), { recursive: true });
    await driver.probe(directory);
    expect(fs.existsSync(left)).toBe(false);
  });

  it('says why it does not work here, or works', async () => {
    const result = await driver.probe(directory);
    const known = /\baufs\b/.test(fs.readFileSync('/proc/filesystems', 'utf8'));
    const isRoot = process.getuid?.() === 0;
    if (known && isRoot) expect(result.ok).toBe(true);
    else
      expect(result).toEqual({ ok: false, reason: isRoot ? 'the kernel has no aufs' : expect.any(String) });
    expect(fs.readdirSync(directory)).toEqual([]);
  });
});
