import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { WardenError } from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findingOfRootfs } from './rootfs-finding.ts';

let directory: string;
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-rootfs-finding-'));
});
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

const shell = (root: string, name: string): string => {
  fs.mkdirSync(path.join(root, 'bin'), { recursive: true });
  fs.writeFileSync(path.join(root, 'bin', name), '');
  return root;
};

describe('the doctor, of the root file system [operations health]', () => {
  it('finds a shell in the one that is configured', () => {
    expect(findingOfRootfs(shell(directory, 'sh'))).toEqual({
      subject: `root file system ${directory}`,
      ok: true,
      found: 'has /bin/sh',
    });
  });

  it('warns of one without a shell, with which a daemon starts, and of none, with which it does not', () => {
    expect(findingOfRootfs(directory)).toMatchObject({
      ok: false,
      found: 'has no /bin/sh',
      advice: expect.stringContaining(`warden rootfs build ${directory}`),
      isNeeded: false,
    });
    const nowhere = path.join(directory, 'nowhere');
    expect(findingOfRootfs(nowhere)).toMatchObject({ ok: false, found: 'no directory', isNeeded: true });
  });

  it('tells that the default one is there, or what it will be made of', () => {
    const programs = (): { busybox: string; bash: string } => ({ busybox: '/b/busybox', bash: '/b/bash' });
    expect(findingOfRootfs(undefined, directory, programs)).toMatchObject({
      ok: true,
      found: 'to be made of /b/busybox and /b/bash',
    });
    expect(fs.readdirSync(directory)).toEqual([]);
    expect(findingOfRootfs(undefined, shell(directory, 'bash'), programs)).toMatchObject({
      ok: true,
      found: 'has /bin/bash',
    });
  });

  it('says what to install when the default one cannot be made', () => {
    const programs = (): never => {
      throw new WardenError('UNSUPPORTED', 'needs bash-static: apt-get install bash-static');
    };
    expect(findingOfRootfs(undefined, directory, programs)).toEqual({
      subject: `root file system ${directory}`,
      ok: false,
      found: 'cannot be made',
      advice: 'needs bash-static: apt-get install bash-static',
      isNeeded: true,
    });
  });
});
