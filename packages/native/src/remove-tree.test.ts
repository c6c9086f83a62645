import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { inOwnNamespaces } from '../test/own-namespaces.ts';
import { KeptEntries, removeTree, stripTree } from './remove-tree.ts';

const isRoot = process.getuid?.() === 0;
let scratch: string;
let root: string;

beforeEach(() => {
  scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-remove-'));
  root = path.join(scratch, 'tree');
  fs.mkdirSync(root);
});
afterEach(() => {
  execFileSync('rm', ['-rf', '--', scratch]);
});

describe('removing a tree', () => {
  it('succeeds when there is nothing', async () => {
    await removeTree(path.join(scratch, 'absent'));
  });

  it('removes links, not what they point to', async () => {
    const outside = path.join(scratch, 'outside');
    fs.mkdirSync(outside);
    fs.writeFileSync(path.join(outside, 'file'), 'kept');
    fs.symlinkSync(outside, path.join(root, 'link'));
    fs.symlinkSync(path.join(outside, 'file'), path.join(root, 'file'));
    await removeTree(root);
    expect(fs.readdirSync(scratch)).toEqual(['outside']);
    expect(fs.readFileSync(path.join(outside, 'file'), 'utf8')).toBe('kept');
  });

  it('removes a link in the place of the tree itself', async () => {
    const outside = path.join(scratch, 'outside');
    fs.mkdirSync(outside);
    fs.rmdirSync(root);
    fs.symlinkSync(outside, root);
    await removeTree(root);
    expect(fs.readdirSync(scratch)).toEqual(['outside']);
  });

  it('removes names that are no UTF-8', async () => {
    fs.mkdirSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0xff, 0xfe])]));
    fs.writeFileSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0xff, 0xfe, 0x2f, 0x80])]), '');
    await removeTree(root);
    expect(fs.existsSync(root)).toBe(false);
  });

  it('removes directories nested beyond the longest path', async () => {
    // 150 levels of 100 characters: almost four times what a system call takes as a path
    const script =
      'n=$(printf "%0100d" 0); for i in $(seq 150); do mkdir $n && cd -P $n || exit 1; done; : > file';
    const { status } = spawnSync('bash', ['-c', script], { cwd: root });
    expect(status).toBe(0);
    await removeTree(root);
    expect(fs.existsSync(root)).toBe(false);
  });

  it.runIf(isRoot)('removes directories without permissions and immutable files [needs: root]', async () => {
    fs.mkdirSync(path.join(root, 'closed/inner'), { recursive: true });
    fs.chmodSync(path.join(root, 'closed'), 0);
    fs.mkdirSync(path.join(root, 'directory/below'), { recursive: true });
    for (const name of ['immutable', 'appended', 'directory/file'])
      fs.writeFileSync(path.join(root, name), '');
    execFileSync('chattr', [
      '+i',
      path.join(root, 'immutable'),
      path.join(root, 'directory/file'),
      path.join(root, 'directory'),
    ]);
    execFileSync('chattr', ['+a', path.join(root, 'appended')]);
    await removeTree(root);
    expect(fs.existsSync(root)).toBe(false);
  });

  it.runIf(isRoot)(
    'moves what is deep past names that are taken, by what is immutable too [needs: root]',
    async () => {
      for (let i = 0; i < 8; i++) {
        fs.mkdirSync(path.join(root, `deep-${i}`, 'd/'.repeat(40)), { recursive: true });
        fs.mkdirSync(path.join(root, `.hoisted-${i}`));
        execFileSync('chattr', ['+i', path.join(root, `.hoisted-${i}`)]);
      }
      await removeTree(root);
      expect(fs.existsSync(root)).toBe(false);
    },
  );

  it.runIf(isRoot)("removes what is closed and deep without root's rights [needs: root]", () => {
    fs.mkdirSync(path.join(root, 'closed/inner'), { recursive: true });
    fs.writeFileSync(path.join(root, 'closed/file'), '');
    fs.mkdirSync(path.join(root, 'd/'.repeat(40)), { recursive: true });
    execFileSync('chown', ['-R', '65534', scratch]);
    for (const [name, mode] of [
      ['closed', 0],
      ['d/'.repeat(35), 0o500],
      ['.', 0o500],
    ] as const)
      fs.chmodSync(path.join(root, name), mode);
    const program = `
      import { removeTree } from ${JSON.stringify(path.resolve(import.meta.dirname, '../dist/index.js'))};
      await removeTree('absent'); // the library is loaded
      process.setuid(65534);
      await removeTree('tree');
    `;
    const { stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
      cwd: scratch,
      encoding: 'utf8',
    });
    expect(stderr).toBe('');
    expect(fs.readdirSync(scratch)).toEqual([]);
  });

  it.runIf(inOwnNamespaces)(
    'removes what is deep on a full disk, where nothing can be moved [needs: own namespaces]',
    async () => {
      const [image, mounted] = [path.join(scratch, 'image'), path.join(scratch, 'mounted')];
      fs.writeFileSync(image, '');
      fs.truncateSync(image, 8 << 20);
      execFileSync('mkfs.ext4', ['-q', '-b', '1024', '-m', '0', '-N', '8000', '-O', '^has_journal', image]);
      fs.mkdirSync(mounted);
      execFileSync('mount', ['-o', 'loop', image, mounted]);
      try {
        const deep = path.join(mounted, 'tree', 'd/'.repeat(32));
        fs.mkdirSync(deep, { recursive: true });
        // more names than the top has room for, and one that is deep itself
        for (let i = 0; i < 1_000; i++) fs.mkdirSync(path.join(deep, `${i}/d`), { recursive: true });
        fs.mkdirSync(path.join(deep, '0', 'd/'.repeat(100)), { recursive: true });
        // again when it is on the disk: what was set aside for the way there is free then
        for (const round of ['a', 'b', 'c']) {
          expect(() => {
            for (let i = 0; ; i++) fs.writeFileSync(path.join(mounted, `${round}-${i}`), '.'.repeat(1024));
          }).toThrow('ENOSPC');
          execFileSync('sync', ['-f', mounted]);
        }
        await removeTree(path.join(mounted, 'tree'));
        expect(fs.existsSync(path.join(mounted, 'tree'))).toBe(false);
      } finally {
        execFileSync('umount', [mounted]);
      }
    },
  );

  it('is no failure where somebody else removes there meanwhile', async () => {
    for (let i = 0; i < 40; i++) {
      fs.mkdirSync(path.join(root, `${i}/inner`), { recursive: true });
      for (let file = 0; file < 40; file++) fs.writeFileSync(path.join(root, `${i}/inner/${file}`), '');
    }
    expect(await Promise.allSettled([removeTree(root), removeTree(root)])).toEqual([
      { status: 'fulfilled', value: undefined },
      { status: 'fulfilled', value: undefined },
    ]);
    expect(fs.existsSync(root)).toBe(false);
  });

  it('takes two descriptors, waits for them if it must, and says so when they do not come', async () => {
    fs.mkdirSync(path.join(root, 'a/b/c/d/e'), { recursive: true });
    fs.writeFileSync(path.join(root, 'a/b/c/d/e/file'), '');
    fs.mkdirSync(path.join(scratch, 'other/a'), { recursive: true });
    const program = `
      import fs from 'node:fs';
      import { removeTree } from ${JSON.stringify(path.resolve(import.meta.dirname, '../dist/index.js'))};
      await removeTree('absent'); // the library is loaded
      const taken = [];
      try { for (;;) taken.push(fs.openSync('/dev/null')); } catch {}
      setTimeout(() => { fs.closeSync(taken.pop()); fs.closeSync(taken.pop()); }, 100);
      await removeTree('tree');
      taken.push(fs.openSync('/dev/null'), fs.openSync('/dev/null'));
      await removeTree('other').catch(({ code }) => process.stdout.write(code));
    `;
    const shell = 'ulimit -n 64; exec "$0" --input-type=module --eval "$1"';
    const { stdout, stderr } = spawnSync('bash', ['-c', shell, process.execPath, program], {
      cwd: scratch,
      encoding: 'utf8',
    });
    expect(stderr).toBe('');
    expect(stdout).toBe('EMFILE');
    expect(fs.readdirSync(scratch)).toEqual(['other']);
  });

  it('lets the event loop turn while it removes thousands of files', async () => {
    for (let i = 0; i < 2_000; i++) fs.writeFileSync(path.join(root, `file-${i}`), '');
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    await removeTree(root);
    clearInterval(timer);
    expect(fs.existsSync(root)).toBe(false);
    expect(turns).toBeGreaterThan(0);
  });
});

describe('stripping a tree', () => {
  const target = (): string => path.join(scratch, 'stripped');
  const inode = (name: string): bigint => fs.statSync(path.join(root, name), { bigint: true }).ino;
  const below = (directory: string): string[] =>
    (fs.readdirSync(directory, { recursive: true }) as string[]).sort();
  let kept: KeptEntries;

  beforeEach(() => {
    for (const [name, mode] of [
      ['bin', 0o755],
      ['run', 0o700],
      ['tmp', 0o755],
    ] as const)
      fs.mkdirSync(path.join(root, name), mode);
    fs.writeFileSync(path.join(root, 'bin/program'), '');
    kept = new KeptEntries([
      { path: 'bin', mode: 0o755 },
      { path: 'bin/program', inode: inode('bin/program') },
      { path: 'run', mode: 0o700 },
      { path: 'tmp', mode: 0o755 },
    ]);
  });

  it('leaves what is kept and nothing else, under another name', async () => {
    fs.mkdirSync(path.join(root, 'tmp/rootfs/bin'), { recursive: true });
    fs.mkdirSync(path.join(root, `tmp/${'d/'.repeat(60)}`), { recursive: true });
    for (const name of ['record', 'bin/other', 'run/socket', 'tmp/rootfs/bin/program', 'tmp/rootfs/run'])
      fs.writeFileSync(path.join(root, name), '');
    fs.symlinkSync('/etc', path.join(root, 'etc'));
    expect(await stripTree(root, kept, target())).toBe(true);
    expect(fs.readdirSync(scratch)).toEqual(['stripped']);
    expect(below(target())).toEqual(['bin', 'bin/program', 'run', 'tmp']);
  });

  it.each<[string, () => void]>([
    [
      'another file in the place',
      () => replace('bin/program', () => fs.writeFileSync(path.join(root, 'bin/program'), '')),
    ],
    [
      'a link to the file',
      () =>
        replace('bin/program', () =>
          fs.symlinkSync(path.join(scratch, 'kept'), path.join(root, 'bin/program')),
        ),
    ],
    ['another mode', () => fs.chmodSync(path.join(root, 'run'), 0o755)],
    ['a link to a directory', () => replace('tmp', () => fs.symlinkSync('run', path.join(root, 'tmp')))],
    ['nothing in the place', () => fs.rmdirSync(path.join(root, 'run'))],
    [
      'a directory that was long once',
      () => {
        for (let i = 0; i < 400; i++)
          fs.writeFileSync(path.join(root, `run/${String(i).padStart(200, '0')}`), '');
      },
    ],
  ])('takes no tree with %s', async (_, spoil) => {
    spoil();
    expect(await stripTree(root, kept, target())).toBe(false);
    expect(fs.existsSync(target())).toBe(false);
    await removeTree(root);
    expect(fs.existsSync(root)).toBe(false);
  });

  describe('with a file that is written over, and a directory that may be missing', () => {
    const file = (): string => path.join(root, 'bin/conf');
    const spare = path.join('tmp', 'spare');

    beforeEach(() => {
      fs.writeFileSync(file(), 'content', { mode: 0o640 });
      fs.chmodSync(file(), 0o640);
      fs.mkdirSync(path.join(root, spare, 'below'), { recursive: true });
      fs.chmodSync(path.join(root, spare), 0o755);
      kept = new KeptEntries([
        { path: 'bin', mode: 0o755 },
        { path: 'bin/program', inode: inode('bin/program') },
        { path: 'bin/conf', mode: 0o640, kind: 'file', isOptional: true },
        { path: 'tmp', mode: 0o755, kind: 'directory' },
        { path: spare, mode: 0o755, isOptional: true },
      ]);
    });

    it('leaves both', async () => {
      const before = inode('bin/conf');
      expect(await stripTree(root, kept, target())).toBe(true);
      expect(below(target())).toEqual(['bin', 'bin/conf', 'bin/program', 'tmp', spare]);
      expect(fs.statSync(path.join(target(), 'bin/conf'), { bigint: true }).ino).toBe(before);
    });

    it.each<[string, () => void]>([
      ['nothing in the place', () => fs.rmSync(file())],
      ['another mode', () => fs.chmodSync(file(), 0o644)],
      ['a link', () => replace('bin/conf', () => fs.symlinkSync('program', file()))],
      ['a directory', () => replace('bin/conf', () => fs.mkdirSync(file(), 0o640))],
      ['a second name', () => fs.linkSync(file(), path.join(scratch, 'other'))],
      ['a pipe', () => replace('bin/conf', () => execFileSync('mkfifo', ['-m', '640', file()]))],
      ['more than is to be read', () => fs.truncateSync(file(), 16_385)],
    ])('leaves no file that is %s, and takes the tree', async (_, spoil) => {
      spoil();
      expect(await stripTree(root, kept, target())).toBe(true);
      expect(below(target())).toEqual(['bin', 'bin/program', 'tmp', spare]);
    });

    it('leaves no directory that is another, and takes the tree', async () => {
      fs.chmodSync(path.join(root, spare), 0o700);
      expect(await stripTree(root, kept, target())).toBe(true);
      expect(below(target())).toEqual(['bin', 'bin/conf', 'bin/program', 'tmp']);
    });
  });

  it.runIf(isRoot)("takes no tree with somebody else's directory [needs: root]", async () => {
    fs.chownSync(path.join(root, 'tmp'), 65_534, 65_534);
    expect(await stripTree(root, kept, target())).toBe(false);
  });

  it('takes nothing where there is nothing, and tells when it cannot be moved', async () => {
    expect(await stripTree(path.join(scratch, 'absent'), kept, target())).toBe(false);
    await expect(stripTree(root, kept, path.join(scratch, 'absent/target'))).rejects.toMatchObject({
      code: 'ENOENT',
    });
    expect(below(root)).toEqual(['bin', 'bin/program', 'run', 'tmp']);
  });

  it('refuses what C has no room for', () => {
    expect(() => new KeptEntries([{ path: 'd'.repeat(112), mode: 0o755 }])).toThrow(TypeError);
    expect(
      () => new KeptEntries(Array.from({ length: 65 }, (_, at) => ({ path: String(at), mode: 0o755 }))),
    ).toThrow(TypeError);
  });

  function replace(name: string, make: () => void): void {
    fs.renameSync(path.join(root, name), path.join(scratch, 'kept'));
    make();
  }
});
