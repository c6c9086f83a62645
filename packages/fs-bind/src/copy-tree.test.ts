import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { copyTree } from './copy-tree.ts';

let directory: string;
let source: string;
let target: string;
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-copy-'));
  source = path.join(directory, 'source');
  target = path.join(directory, 'target');
  fs.mkdirSync(source);
});
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

describe('the copy of a directory', () => {
  it('writes no holes: a file that is mostly one takes no more than its data', async () => {
    const name = Buffer.concat([Buffer.from(`${source}/lastlog`), Buffer.of(0xff)]); // a name is bytes
    const descriptor = fs.openSync(name, 'w', 0o640);
    fs.writeSync(descriptor, 'data', 8 << 20);
    fs.ftruncateSync(descriptor, 64 << 20);
    fs.closeSync(descriptor);
    await copyTree(source, target);
    const copy = Buffer.concat([Buffer.from(`${target}/lastlog`), Buffer.of(0xff)]);
    const { size, blocks, mode } = fs.statSync(copy);
    expect([size, mode & 0o7777]).toEqual([64 << 20, 0o640]);
    expect(blocks * 512).toBeLessThan(1 << 20);
    expect(fs.readFileSync(copy).equals(fs.readFileSync(name))).toBe(true);
  });

  it('keeps mode, times, links and hard links, and follows nothing', async () => {
    const outside = path.join(directory, 'outside');
    fs.mkdirSync(path.join(source, 'inner'));
    fs.mkdirSync(outside);
    fs.writeFileSync(path.join(outside, 'secret'), 'secret');
    fs.writeFileSync(path.join(source, 'file'), 'content');
    fs.chmodSync(path.join(source, 'file'), 0o4751);
    fs.utimesSync(path.join(source, 'file'), 1_000, 2_000);
    fs.linkSync(path.join(source, 'file'), path.join(source, 'inner/same'));
    fs.symlinkSync(outside, path.join(source, 'link'));
    fs.lutimesSync(path.join(source, 'link'), 3_000, 4_000);
    fs.chmodSync(path.join(source, 'inner'), 0o1777);
    fs.utimesSync(path.join(source, 'inner'), 5_000, 6_000);
    await copyTree(source, target);
    expect(fs.readdirSync(target).sort()).toEqual(['file', 'inner', 'link']);
    const facts = fs.statSync(path.join(target, 'file'));
    expect([facts.mode & 0o7777, facts.mtimeMs]).toEqual([0o4751, 2_000_000]);
    expect(fs.statSync(path.join(target, 'inner/same')).ino).toBe(facts.ino);
    expect(facts.ino).not.toBe(fs.statSync(path.join(source, 'file')).ino);
    const inner = fs.statSync(path.join(target, 'inner'));
    expect([inner.mode & 0o7777, inner.mtimeMs]).toEqual([0o1777, 6_000_000]);
    expect(fs.readlinkSync(path.join(target, 'link'))).toBe(outside);
    expect(fs.lstatSync(path.join(target, 'link')).mtimeMs).toBe(4_000_000);
  });

  it('has the content of large files and the names that are no UTF-8', async () => {
    const large = Buffer.alloc(5 << 20, 'warden');
    fs.writeFileSync(path.join(source, 'large'), large);
    fs.writeFileSync(Buffer.concat([Buffer.from(`${source}/`), Buffer.from([0xff, 0xfe])]), 'odd');
    await copyTree(source, target);
    expect(fs.readFileSync(path.join(target, 'large')).equals(large)).toBe(true);
    expect(
      fs.readFileSync(Buffer.concat([Buffer.from(`${target}/`), Buffer.from([0xff, 0xfe])]), 'utf8'),
    ).toBe('odd');
  });

  it('leaves pipes behind', async () => {
    execFileSync('mkfifo', [path.join(source, 'pipe')]);
    await copyTree(source, target);
    expect(fs.readdirSync(target)).toEqual([]);
  });

  it.runIf(process.getuid?.() === 0)(
    'keeps owners, also of links, and leaves devices behind [needs: root]',
    async () => {
      fs.writeFileSync(path.join(source, 'file'), '');
      fs.chownSync(path.join(source, 'file'), 1_234, 5_678);
      fs.symlinkSync('file', path.join(source, 'link'));
      fs.lchownSync(path.join(source, 'link'), 1, 2);
      execFileSync('mknod', [path.join(source, 'null'), 'c', '1', '3']);
      await copyTree(source, target);
      const owners = ['file', 'link'].map((name) => {
        const { uid, gid } = fs.lstatSync(path.join(target, name));
        return [uid, gid];
      });
      expect(owners).toEqual([
        [1_234, 5_678],
        [1, 2],
      ]);
      expect(fs.existsSync(path.join(target, 'null'))).toBe(false);
    },
  );

  it('refuses a target that exists', async () => {
    fs.mkdirSync(target);
    await expect(copyTree(source, target)).rejects.toMatchObject({ code: 'EEXIST' });
  });
});
