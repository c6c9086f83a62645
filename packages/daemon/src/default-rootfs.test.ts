import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { defaultRootfsPrograms, makeDefaultRootfs } from './default-rootfs.ts';
import { neededFiles } from './elf.ts';

const PROGRAMS = ['/bin/busybox', '/bin/bash-static'];
const missing = PROGRAMS.filter((program) => !fs.existsSync(program));

let directory: string;
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-rootfs-'));
});
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

describe.skipIf(missing.length > 0)(
  `the default root file system${missing.length > 0 ? ` [needs: ${missing.join(' and ')}]` : ''}`,
  () => {
    it('is whole, small and made once', () => {
      const target = path.join(directory, 'rootfs');
      makeDefaultRootfs(target);
      const made = fs.statSync(target).ino;
      expect(
        spawnSync(path.join(target, 'bin/bash'), ['-c', 'echo works'], { encoding: 'utf8' }).stdout,
      ).toBe('works\n');
      expect(fs.readlinkSync(path.join(target, 'bin/ls'))).toBe('/bin/busybox');
      expect(fs.statSync(path.join(target, 'tmp')).mode & 0o7777).toBe(0o1777);
      makeDefaultRootfs(target);
      expect(fs.statSync(target).ino).toBe(made);
      expect(fs.readdirSync(directory)).toEqual(['rootfs']);
    });
  },
);

describe('the programs of the default root file system', () => {
  const place = (name: string, content: Buffer): string => {
    const at = path.join(directory, name);
    fs.writeFileSync(at, content);
    return at;
  };
  const STATIC = Buffer.from('any program that names no dynamic linker');
  const DYNAMIC = fs.readFileSync(process.execPath); // Node is linked dynamically wherever it runs

  it('are the first that need no libraries', () => {
    expect(neededFiles(DYNAMIC).interpreter).toMatch(/^\/.*ld/);
    const dynamic = place('busybox-dynamic', DYNAMIC);
    const busybox = place('busybox', STATIC);
    const bash = place('bash', STATIC);
    expect(
      defaultRootfsPrograms(
        { places: [path.join(directory, 'nothing'), dynamic, busybox], packageName: 'busybox-static' },
        { places: [bash], packageName: 'bash-static' },
      ),
    ).toEqual({ busybox, bash });
  });

  it('are asked for by their packages when one is missing', () => {
    const nothing = { places: [path.join(directory, 'nothing')], packageName: 'bash-static' };
    const busybox = { places: [place('busybox', STATIC)], packageName: 'busybox-static' };
    expect(() => defaultRootfsPrograms(busybox, nothing)).toThrow(
      expect.objectContaining({
        code: 'UNSUPPORTED',
        message: expect.stringMatching(/needs bash-static: apt-get install bash-static, or name another/),
      }),
    );
  });

  it('are refused when they need a dynamic linker, which the root would not have', () => {
    const dynamic = place('busybox', DYNAMIC);
    const busybox = { places: [dynamic], packageName: 'busybox-static', note: ', which takes the place' };
    expect(() => defaultRootfsPrograms(busybox)).toThrow(
      expect.objectContaining({
        code: 'UNSUPPORTED',
        message: expect.stringContaining(`cannot be made of ${dynamic}, which is linked dynamically (`),
        fields: expect.objectContaining({ object: dynamic, package: 'busybox-static' }),
      }),
    );
  });
});
