import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { copyTree } from './copy-tree.ts';

let directory: string;
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-copy-'));
});
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

describe('the copy of a directory', () => {
  it('keeps mode, times, links and hard links, and follows nothing', () => {
    const [source, target, outside] = ['source', 'target', 'outside'].map((name) =>
      path.join(directory, name),
    ) as [string, string, string];
    fs.mkdirSync(path.join(source, 'inner'), { recursive: true });
    fs.mkdirSync(outside);
    fs.writeFileSync(path.join(outside, 'secret'), 'secret');
    fs.writeFileSync(path.join(source, 'file'), 'content');
    fs.chmodSync(path.join(source, 'file'), 0o4751);
    fs.utimesSync(path.join(source, 'file'), 1_000, 2_000);
    fs.linkSync(path.join(source, 'file'), path.join(source, 'inner/same'));
    fs.symlinkSync(outside, path.join(source, 'link'));
    fs.chmodSync(path.join(source, 'inner'), 0o1777);
    copyTree(source, target);
    expect(fs.readdirSync(target).sort()).toEqual(['file', 'inner', 'link']);
    const facts = fs.statSync(path.join(target, 'file'));
    expect([facts.mode & 0o7777, facts.mtimeMs]).toEqual([0o4751, 2_000_000]);
    expect(fs.statSync(path.join(target, 'inner/same')).ino).toBe(facts.ino);
    expect(facts.ino).not.toBe(fs.statSync(path.join(source, 'file')).ino);
    expect(fs.statSync(path.join(target, 'inner')).mode & 0o7777).toBe(0o1777);
    expect(fs.readlinkSync(path.join(target, 'link'))).toBe(outside);
  });
});
