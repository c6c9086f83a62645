import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { resolveInside } from './resolve-inside.ts';

let root: string;
beforeEach(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-inside-'));
  fs.mkdirSync(path.join(root, 'usr/sbin'), { recursive: true });
});
afterEach(() => fs.rmSync(root, { recursive: true, force: true }));

describe('a path in a root file system', () => {
  it.each([
    ['usr/sbin', 'nothing'],
    ['relative', 'usr/sbin'],
    ['absolute', '/usr/sbin'],
    ['beyond', '../../../usr/../usr/./sbin'],
    ['usr/up', '../usr//sbin'],
  ])('%s, linked to %s, stays inside', (name, target) => {
    if (target !== 'nothing') fs.symlinkSync(target, path.join(root, name));
    expect(resolveInside(root, name)).toBe(path.join(root, 'usr/sbin'));
  });

  it('may lead to nothing or to itself', () => {
    fs.symlinkSync('loop', path.join(root, 'loop'));
    fs.symlinkSync('/etc', path.join(root, 'etc'));
    expect(['absent', 'loop', 'etc'].map((name) => resolveInside(root, name))).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });
});
