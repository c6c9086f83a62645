import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { closeDescriptor } from './descriptors.ts';
import {
  allocateFile,
  copySparseFile,
  lockFile,
  openInside,
  rereadFile,
  spreadDirectories,
  syncDirectory,
  umask,
} from './files.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'warden-native-'));
});
afterEach(() => rmSync(directory, { recursive: true }));
const errno = (name: string): unknown =>
  expect.objectContaining({ fields: expect.objectContaining({ errno: name }) });

describe('spreadDirectories', () => {
  it('gives the hint where the file system takes it, again and again', () => {
    const takesHint = spreadDirectories(directory);
    expect(spreadDirectories(directory)).toBe(takesHint);
    if (takesHint) expect(execFileSync('lsattr', ['-d', directory], { encoding: 'utf8' })).toMatch(/^\S*T/);
  });

  it('finds out that a file system takes none, and what is no directory', () => {
    expect(spreadDirectories('/proc/self')).toBe(false);
    expect(() => spreadDirectories(join(directory, 'absent'))).toThrow(errno('ENOENT'));
    writeFileSync(join(directory, 'file'), '');
    expect(() => spreadDirectories(join(directory, 'file'))).toThrow(errno('ENOTDIR'));
  });
});

describe('openInside and rereadFile', () => {
  it('open a file by links that are the root’s, and read all of it', async () => {
    mkdirSync(join(directory, 'usr/bin'), { recursive: true });
    symlinkSync('/usr/bin', join(directory, 'bin'));
    const content = Buffer.alloc(100_000, 'x');
    writeFileSync(join(directory, 'usr/bin/program'), content);
    const fd = openInside(directory, '/bin/program')!;
    syncDirectory(directory);
    expect(await rereadFile(fd)).toBe(content.length);
    expect(readFileSync(fd)).toEqual(content);
    closeDescriptor(fd);
  });

  it('find nothing outside, and no file that is none', async () => {
    symlinkSync('/etc/passwd', join(directory, 'out'));
    symlinkSync('loop', join(directory, 'loop'));
    for (const name of ['out', '../../etc/passwd', 'loop', 'absent', 'absent/file'])
      expect(openInside(directory, name)).toBeUndefined();
    expect(() => openInside(directory, '/')).toThrow(errno('EINVAL'));
    await expect(rereadFile(2 ** 30)).rejects.toThrow(errno('EBADF'));
  });
});

describe('lockFile', () => {
  it('lets one hold the lock, until the descriptor is closed', () => {
    const path = join(directory, 'lock');
    const first = lockFile(path)!;
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(lockFile(path)).toBeUndefined();
    closeDescriptor(first);
    const second = lockFile(path)!;
    expect(second).toBeTypeOf('number');
    closeDescriptor(second);
    expect(() => lockFile(join(directory, 'no', 'lock'))).toThrow(errno('ENOENT'));
    expect(() => lockFile(7 as never)).toThrow(TypeError);
  });
});

describe('syncDirectory', () => {
  it('syncs directories only', () => {
    syncDirectory(directory);
    writeFileSync(join(directory, 'file'), '');
    expect(() => syncDirectory(join(directory, 'file'))).toThrow(errno('ENOTDIR'));
    expect(() => syncDirectory(join(directory, 'none'))).toThrow(errno('ENOENT'));
  });
});

describe('umask', () => {
  it('answers the mask before', () => {
    const before = umask(0o027);
    expect(umask(before)).toBe(0o027);
    expect(() => umask(0o1000)).toThrow(TypeError);
  });
});

describe('copySparseFile', () => {
  it('copies content and keeps holes', () => {
    const source = join(directory, 'source');
    const target = join(directory, 'target');
    const size = 64 * 1024 * 1024;
    const fd = openSync(source, 'w');
    writeSync(fd, 'head', 0);
    writeSync(fd, 'tail', size - 8 * 1024 * 1024);
    closeSync(fd);
    truncateSync(source, size);
    copySparseFile(source, target);
    const status = statSync(target);
    expect(status.size).toBe(size);
    expect(status.blocks).toBeLessThan(1024);
    expect(readFileSync(target).equals(readFileSync(source))).toBe(true);
    expect(() => copySparseFile(source, target)).toThrow(errno('EEXIST'));
    expect(existsSync(target)).toBe(true);
    expect(() => copySparseFile(join(directory, 'none'), join(directory, 'other'))).toThrow(errno('ENOENT'));
    expect(existsSync(join(directory, 'other'))).toBe(false);
  });
});

describe('allocateFile', () => {
  it('grows and shrinks the space of a file', () => {
    const path = join(directory, 'file');
    allocateFile(path, 1_000_000n);
    expect(statSync(path)).toMatchObject({ size: 1_000_000 });
    expect(statSync(path).blocks * 512).toBeGreaterThanOrEqual(1_000_000);
    allocateFile(path, 0n);
    expect(statSync(path)).toMatchObject({ size: 0, blocks: 0 });
    expect(() => allocateFile(path, 2n ** 63n)).toThrow(errno('EFBIG'));
    expect(() => allocateFile(path, 1n << 60n)).toThrow();
    expect(statSync(path)).toMatchObject({ size: 0, blocks: 0 });
    expect(() => allocateFile(path, 5 as never)).toThrow(TypeError);
  });
});
