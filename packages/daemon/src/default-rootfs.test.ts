import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeDefaultRootfs } from './default-rootfs.ts';

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
