import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type Mount, type RootfsSpec, silentLogger } from '@warden/interface';
import { tryMount } from '@warden/native';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type OverlayfsOptions, overlayfs } from './index.ts';

const isRoot = process.getuid?.() === 0;
const driver = overlayfs({ volatile: false })({ logger: silentLogger });
let scratch: string;
let spec: RootfsSpec;

beforeEach(() => {
  scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-overlay, odd:name\\-'));
  spec = { id: '0123456789a', directory: path.join(scratch, 'container'), base: path.join(scratch, 'base') };
  fs.mkdirSync(spec.directory);
  fs.mkdirSync(spec.base);
  fs.chmodSync(spec.base, 0o711);
  fs.writeFileSync(path.join(spec.base, 'kept'), 'base');
  fs.writeFileSync(path.join(spec.base, 'deleted'), 'base');
});
afterEach(() => fs.rmSync(scratch, { recursive: true, force: true }));

describe('the overlayfs driver', () => {
  it('describes one mount, with its own options last', () => {
    const options = { volatile: true, mountOptions: ['volatile', 'index=off'] };
    const [mount, ...more] = overlayfs(options)({ logger: silentLogger }).mounts(
      { id: '0123456789a', directory: '/depot/0123456789a', base: '/srv/root' },
      {},
    );
    expect(more).toEqual([]);
    expect(mount).toEqual({
      type: 'overlay',
      source: 'overlay',
      target: '/',
      options: [
        'lowerdir=/srv/root',
        'upperdir=/depot/0123456789a/tmp/rootfs',
        'workdir=/depot/0123456789a/tmp/.rootfs-work',
        'volatile',
        'index=off',
      ],
    });
  });

  it("makes the layers, the upper with the base's owner and mode, and keeps what is there", async () => {
    if (isRoot) fs.chownSync(spec.base, 1_234, 5_678);
    await driver.prepare(spec, driver.plan(spec));
    const upper = path.join(spec.directory, 'tmp/rootfs');
    const [is, wanted] = [upper, spec.base].map((one) => fs.statSync(one)) as [fs.Stats, fs.Stats];
    expect([is.uid, is.gid]).toEqual([wanted.uid, wanted.gid]);
    expect(is.mode & 0o7777).toBe(0o711);
    fs.writeFileSync(path.join(upper, 'written'), '');
    await driver.prepare(spec, driver.plan(spec));
    expect(fs.readdirSync(upper)).toEqual(['written']);
    await driver.release(spec, driver.plan(spec));
    await driver.release(spec, driver.plan(spec));
    expect(fs.readdirSync(spec.directory)).toEqual([]);
  });

  it('refuses a base that is none, and paths that do not fit into the page of options', async () => {
    const [file, long] = [path.join(spec.base, 'kept'), path.join(scratch, `${'x'.repeat(250)}/`.repeat(9))];
    await expect(driver.prepare({ ...spec, base: file }, {})).rejects.toMatchObject({
      code: 'INVALID_SPEC',
      fields: { errno: 'ENOTDIR' },
    });
    fs.mkdirSync(long, { recursive: true });
    const far = { ...spec, base: long, directory: path.join(long, 'container') };
    await expect(driver.prepare(far, {})).rejects.toMatchObject({
      code: 'INVALID_SPEC',
      fields: { errno: 'ENAMETOOLONG' },
    });
  });

  it('stacks layers, but not with marks that the layers of images do not have', () => {
    const stacks = (options: OverlayfsOptions): unknown =>
      overlayfs(options)({ logger: silentLogger }).supports.stacksLayers;
    expect([stacks({}), stacks({ userxattr: true })]).toEqual([true, false]);
  });

  it('takes away what it has made when it cannot make the rest', async () => {
    fs.mkdirSync(path.join(spec.directory, 'tmp'));
    fs.writeFileSync(path.join(spec.directory, 'tmp/.rootfs-work'), 'in the way');
    await expect(driver.prepare(spec, {})).rejects.toMatchObject({ fields: { errno: 'EEXIST' } });
    expect(fs.readdirSync(path.join(spec.directory, 'tmp'))).toEqual(['.rootfs-work']);
  });

  it('leaves what others put beside the layers', async () => {
    await driver.prepare(spec, driver.plan(spec));
    fs.writeFileSync(path.join(spec.directory, 'tmp/other'), '');
    await driver.release(spec, driver.plan(spec));
    expect(fs.readdirSync(path.join(spec.directory, 'tmp'))).toEqual(['other']);
  });

  it.runIf(isRoot)(
    'makes a root whose changes are in the upper layer, and removes what the kernel left [needs: root]',
    async () => {
      await driver.prepare(spec, driver.plan(spec));
      const [mount] = driver.mounts(spec, driver.plan(spec)) as [Mount];
      const root = path.join(scratch, 'root');
      fs.mkdirSync(root);
      const script = `
      cd "$2" && mount -n -t overlay -o "$1" overlay . && cd "$2" || exit 9
      cat kept; echo changed > kept; rm deleted; stat -c %a .; ls`;
      const { stdout, stderr } = spawnSync(
        'unshare',
        [
          '--mount',
          '--propagation',
          'private',
          '--',
          'sh',
          '-c',
          script,
          'sh',
          mount.options.join(','),
          root,
        ],
        { encoding: 'utf8' },
      );
      expect([stdout, stderr]).toEqual(['base711\nkept\n', '']);
      expect(fs.readFileSync(path.join(spec.base, 'kept'), 'utf8')).toBe('base');
      expect(fs.readFileSync(path.join(spec.directory, 'tmp/rootfs/kept'), 'utf8')).toBe('changed\n');
      expect(fs.statSync(path.join(spec.directory, 'tmp/rootfs/deleted')).isCharacterDevice()).toBe(true);
      expect(fs.statSync(path.join(spec.directory, 'tmp/.rootfs-work/work')).mode & 0o777).toBe(0);
      await driver.release(spec, driver.plan(spec));
      expect(fs.readdirSync(spec.directory)).toEqual([]);
    },
  );

  it.runIf(isRoot)('can be mounted again after a volatile mount ended [needs: root]', async () => {
    const volatile = overlayfs({ volatile: true })({ logger: silentLogger });
    const root = path.join(scratch, 'root');
    fs.mkdirSync(root);
    for (const _round of [1, 2]) {
      await volatile.prepare(spec, volatile.plan(spec));
      const [{ options }] = volatile.mounts(spec, volatile.plan(spec)) as [Mount];
      const call = { type: 'overlay', source: 'overlay', target: root, flags: 0, data: options.join(',') };
      expect(tryMount(call, 'write')).toEqual({ ok: true });
    }
  });

  it('removes at a probe what a start that was killed has left of its own', async () => {
    const left = path.join(scratch, '.overlayfs-probe-abc123');
    fs.mkdirSync(path.join(left, 'base'), { recursive: true });
    await driver.probe(scratch);
    expect(fs.existsSync(left)).toBe(false);
  });

  it.runIf(isRoot)('probes by mounting, without a trace [needs: root]', async () => {
    expect(await driver.probe(scratch)).toEqual({ ok: true });
    expect(await overlayfs({ volatile: true })({ logger: silentLogger }).probe(scratch)).toEqual({
      ok: true,
      detail: 'volatile',
    });
    const broken = overlayfs({ mountOptions: ['no_such_option'] })({ logger: silentLogger });
    expect(await broken.probe(scratch)).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/fails at mount: EINVAL/),
    });
    expect(fs.readdirSync(scratch).sort()).toEqual(['base', 'container']);
    expect(execFileSync('cat', ['/proc/self/mounts'], { encoding: 'utf8' })).not.toContain(scratch);
    expect(await driver.probe(path.join(scratch, 'absent'))).toMatchObject({ ok: false });
  });
});
