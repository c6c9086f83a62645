import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { inOwnNamespaces } from '../test/own-namespaces.ts';
import { closeDescriptor } from './descriptors.ts';
import { attachLoopDevice, growLoopDevice } from './loop-device.ts';
import {
  type MountCall,
  MS,
  mountFilesystem,
  openReadOnly,
  shutDownFilesystem,
  tryMount,
  tryMountBeside,
  unmount,
} from './mounts.ts';

const errno = (name: string): unknown =>
  expect.objectContaining({ fields: expect.objectContaining({ errno: name }) });
const mountTable = (): string => readFileSync('/proc/self/mountinfo', 'utf8');

let directory: string;
let target: string;
let tmpfs: MountCall;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'warden-native-'));
  target = join(directory, 'target');
  mkdirSync(target);
  tmpfs = { type: 'tmpfs', source: 'warden', target, flags: MS.NOSUID | MS.NODEV, data: 'size=64k' };
});
afterEach(() => rmSync(directory, { recursive: true }));

describe('arguments of mounts', () => {
  it('are checked', () => {
    expect(() => mountFilesystem({ ...tmpfs, target: '' })).toThrow(TypeError);
    expect(() => mountFilesystem({ ...tmpfs, flags: -1 })).toThrow(TypeError);
    expect(() => mountFilesystem({ ...tmpfs, data: 'x'.repeat(4096) })).toThrow(TypeError);
    expect(() => mountFilesystem({ ...tmpfs, type: null as never })).toThrow(TypeError);
    expect(() => tryMount(tmpfs, 'read' as never)).toThrow(TypeError);
    expect(() => unmount('')).toThrow(TypeError);
  });
});

describe.runIf(inOwnNamespaces)('shutDownFilesystem [needs: own namespaces]', () => {
  it('ends an ext4, more than once, and refuses what cannot be ended', () => {
    const image = join(directory, 'image');
    writeFileSync(image, '');
    truncateSync(image, 16 << 20);
    execFileSync('/sbin/mkfs.ext4', ['-q', image]);
    const device = attachLoopDevice(image);
    mountFilesystem({ type: 'ext4', source: device.path, target, flags: 0, data: '' });
    try {
      closeDescriptor(device.fd);
      writeFileSync(join(target, 'file'), 'content');
      shutDownFilesystem(target);
      shutDownFilesystem(target);
      expect(() => writeFileSync(join(target, 'file'), 'other')).toThrow('EIO');
    } finally {
      unmount(target);
    }
    mountFilesystem(tmpfs);
    try {
      expect(() => shutDownFilesystem(target)).toThrow(errno('ENOTTY'));
    } finally {
      unmount(target);
    }
    expect(() => shutDownFilesystem(join(directory, 'none'))).toThrow(errno('ENOENT'));
  });
});

describe.runIf(inOwnNamespaces)('openReadOnly [needs: own namespaces]', () => {
  it('shows the file, also after it was replaced, and lets nobody write it', () => {
    const file = join(directory, 'file');
    writeFileSync(file, 'content');
    const fd = openReadOnly(file);
    const seen = `/proc/self/fd/${fd}`;
    try {
      expect(() => writeFileSync(seen, '')).toThrow('EROFS');
      rmSync(file);
      expect(readFileSync(seen, 'utf8')).toBe('content');
      expect(mountTable()).not.toContain(file);
    } finally {
      closeDescriptor(fd);
    }
  });

  it('names a file that is not there', () => {
    expect(() => openReadOnly(join(directory, 'none'))).toThrow(errno('ENOENT'));
  });
});

describe.runIf(inOwnNamespaces)('mountFilesystem and unmount [needs: own namespaces]', () => {
  it('mounts with options, remounts and unmounts', () => {
    mountFilesystem(tmpfs);
    expect(mountTable()).toMatch(new RegExp(`${target} rw,nosuid,nodev.* - tmpfs warden rw,size=64k`));
    mountFilesystem({ type: '', source: '', target, flags: MS.REMOUNT | MS.BIND | MS.RDONLY, data: '' });
    expect(() => writeFileSync(join(target, 'file'), '')).toThrow('EROFS');
    expect(unmount(target)).toBe(true);
    expect(unmount(target)).toBe(false);
    expect(unmount(join(directory, 'none'))).toBe(false);
    expect(mountTable()).not.toContain(target);
  });

  it('detaches what is in use', () => {
    mountFilesystem(tmpfs);
    const cwd = process.cwd();
    process.chdir(target);
    expect(() => unmount(target)).toThrow(errno('EBUSY'));
    expect(unmount(target, { detach: true })).toBe(true);
    process.chdir(cwd);
    expect(mountTable()).not.toContain(target);
  });

  it('throws with the target as object', () => {
    expect(() => mountFilesystem({ ...tmpfs, type: 'nosuchfs' })).toThrow(
      expect.objectContaining({ fields: { operation: 'mount', object: target, errno: 'ENODEV' } }),
    );
  });
});

const TRIALS = [
  ['tryMount', async (...call: Parameters<typeof tryMount>) => tryMount(...call)],
  ['tryMountBeside', tryMountBeside],
] as const;

describe.runIf(inOwnNamespaces).each(TRIALS)('%s [needs: own namespaces]', (_name, attempt) => {
  it('tells success and leaves nothing', async () => {
    const before = mountTable();
    expect(await attempt(tmpfs)).toEqual({ ok: true });
    expect(await attempt(tmpfs, 'write')).toEqual({ ok: true });
    expect(mountTable()).toBe(before);
    expect(readdirSync(target)).toEqual([]);
  });

  it('tells which step failed', async () => {
    expect(await attempt({ ...tmpfs, type: 'nosuchfs' })).toEqual({
      ok: false,
      errno: 'ENODEV',
      step: 'mount',
    });
    expect(await attempt({ ...tmpfs, flags: MS.RDONLY }, 'write')).toEqual({
      ok: false,
      errno: 'EROFS',
      step: 'create',
    });
    expect(await attempt({ ...tmpfs, data: 'size=4k,nr_inodes=1' }, 'write')).toEqual({
      ok: false,
      errno: 'ENOSPC',
      step: 'create',
    });
    expect(await attempt(tmpfs)).toEqual({ ok: true });
  });

  it('leaves no child and no descriptor', async () => {
    await attempt(tmpfs, 'write'); // the threads of the pool are there from now on
    const before = readdirSync('/proc/self/fd').length;
    for (let i = 0; i < 50; i++) await attempt(tmpfs, 'write');
    expect(readdirSync('/proc/self/fd').length).toBe(before);
    expect(readFileSync(`/proc/self/task/${process.pid}/children`, 'latin1').trim()).toBe('');
  });
});

describe.runIf(inOwnNamespaces)('tryMountBeside [needs: own namespaces]', () => {
  it('leaves the thread to others, and its arguments where they are', async () => {
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    const trials = Array.from({ length: 20 }, (_, i) =>
      tryMountBeside({ ...tmpfs, type: i % 2 === 0 ? 'tmpfs' : `nosuchfs${i}` }),
    );
    for (let i = 0; i < 1_000; i++) Buffer.alloc(8_192, i); // what nobody held would be collected and written over
    const answers = await Promise.all(trials);
    clearInterval(timer);
    expect(answers).toEqual(
      answers.map((_, i) => (i % 2 === 0 ? { ok: true } : { ok: false, errno: 'ENODEV', step: 'mount' })),
    );
    expect(turns).toBeGreaterThan(0);
  });
});

describe.runIf(inOwnNamespaces && existsSync('/dev/loop-control'))(
  'loop devices [needs: own mounts, loops]',
  () => {
    it('attach, grow, and free themselves', () => {
      const image = join(directory, 'image');
      writeFileSync(image, '');
      truncateSync(image, 4 * 1024 * 1024);
      execFileSync('mkfs.ext4', ['-q', '-O', '^has_journal', image], {
        env: { PATH: '/usr/sbin:/sbin:/usr/bin:/bin' },
      });
      const device = attachLoopDevice(image);
      const size = (): number => Number(readFileSync(`/sys/block/${device.path.slice(5)}/size`, 'latin1'));
      expect(size()).toBe(8192);
      mountFilesystem({ type: 'ext4', source: device.path, target, flags: 0, data: '' });
      closeDescriptor(device.fd);
      writeFileSync(join(target, 'file'), 'content');
      truncateSync(image, 8 * 1024 * 1024);
      growLoopDevice(device.path);
      expect(size()).toBe(16384);
      expect(unmount(target)).toBe(true);
      expect(existsSync(`/sys/block/${device.path.slice(5)}/loop/backing_file`)).toBe(false);
      expect(() => attachLoopDevice(join(directory, 'none'))).toThrow(errno('ENOENT'));
    });
  },
);
