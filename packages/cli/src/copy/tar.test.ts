import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { extractTree, replaceFile } from './extract.ts';
import { readTar } from './tar-reader.ts';
import { bytesOf, treeSize, writeTar } from './tar-writer.ts';

let place: string;
beforeEach(() => {
  place = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-tar-'));
});
afterEach(() => fs.rmSync(place, { recursive: true, force: true }));

const silent = { onBytes: () => undefined, onSkipped: () => undefined };
const arrival = { mode: 0o755, onBytes: () => undefined };
async function* pieces(bytes: Uint8Array, size = bytes.length || 1): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of source) parts.push(part);
  return Buffer.concat(parts);
}
const isRoot = process.geteuid!() === 0;
/** Somebody whom modes bind. */
const OTHER = isRoot ? 65_534 : process.geteuid!();
async function asOther(action: () => Promise<void>): Promise<void> {
  if (!isRoot) return action();
  process.seteuid!(OTHER);
  try {
    await action();
  } finally {
    process.seteuid!(0);
  }
}

/** What is below a directory: names, kinds, modes, times, targets of links. */
function facts(root: string): readonly string[] {
  const found = execFileSync('find', [root, '-printf', '%P %y %l %Ts %m\\0'], { encoding: 'latin1' });
  // the mode of a link means nothing
  return found
    .split('\0')
    .map((line) => line.replace(/^(.* l .*) \S+$/, '$1'))
    .sort();
}

/** The same facts and the same contents. */
function expectEqual(copy: string, tree: string): void {
  expect(facts(copy)).toEqual(facts(tree));
  execFileSync('diff', ['-r', '--no-dereference', copy, tree]);
}

function makeTree(): string {
  const tree = path.join(place, 'tree');
  fs.mkdirSync(path.join(tree, 'a', 'b'.repeat(120)), { recursive: true });
  fs.writeFileSync(path.join(tree, 'a', 'b'.repeat(120), 'deep'), 'x'.repeat(1000));
  fs.writeFileSync(path.join(tree, 'ümläut'), Buffer.alloc(512, 7));
  fs.writeFileSync(bytesOf(`${tree}/\udcff`), '');
  fs.writeFileSync(path.join(tree, 'program'), '#!/bin/sh\n', { mode: 0o750 });
  fs.symlinkSync('t'.repeat(200), path.join(tree, 'link'));
  fs.mkdirSync(path.join(tree, 'closed'), { mode: 0o500 });
  fs.utimesSync(path.join(tree, 'a'), 1000, 1000);
  execFileSync('mkfifo', [path.join(tree, 'pipe')]);
  return tree;
}

describe('a tree', () => {
  it('becomes an archive that tar understands, without pipes', async () => {
    const tree = makeTree();
    const skipped: string[] = [];
    let bytes = 0;
    const watch = {
      onBytes: (count: number) => {
        bytes += count;
      },
      onSkipped: (name: string) => void skipped.push(name),
    };
    const archive = await collect(writeTar(tree, 'named', watch));
    fs.mkdirSync(path.join(place, 'out'));
    execFileSync('tar', ['-xpf', '-', '-C', path.join(place, 'out')], { input: archive });
    expect(skipped).toEqual(['named/pipe']);
    expect(bytes).toBe(treeSize(tree));
    fs.rmSync(path.join(tree, 'pipe'));
    fs.utimesSync(tree, 5, 5);
    fs.utimesSync(path.join(place, 'out/named'), 5, 5);
    expectEqual(path.join(place, 'out/named'), tree);
  });

  it.each([1, 7, 512, 100_000])(
    'is the same when it is unpacked here, from pieces of %i bytes',
    async (size) => {
      const tree = makeTree();
      fs.rmSync(path.join(tree, 'pipe'));
      const archive = await collect(writeTar(tree, '.', silent));
      await extractTree(pieces(archive, size), path.join(place, 'copy'), arrival);
      expectEqual(path.join(place, 'copy'), tree);
      expect(fs.readdirSync(place).sort()).toEqual(['copy', 'tree']);
    },
  );

  it('of tar itself is understood too', async () => {
    const tree = makeTree();
    fs.rmSync(path.join(tree, 'pipe'));
    const archive = execFileSync('tar', ['-C', tree, '--format=pax', '-cf', '-', '.']);
    await extractTree(pieces(archive), path.join(place, 'copy'), arrival);
    expectEqual(path.join(place, 'copy'), tree);
  });
});

interface Entry {
  readonly name: string;
  readonly type?: string;
  readonly target?: string;
  readonly content?: string;
  readonly mode?: string;
}

/** An archive as somebody hostile writes it. */
function archiveOf(...entries: readonly Entry[]): Buffer {
  const blocks = entries.flatMap(({ name, type = '0', target = '', content = '', mode = '0000777' }) => {
    const head = Buffer.alloc(512);
    head.write(name, 0, 100);
    head.write(mode, 100);
    head.write(content.length.toString(8).padStart(11, '0'), 124);
    head.write('00000000000', 136);
    head.write(`        ${type}`, 148);
    head.write(target, 157, 100);
    head.write('ustar\x0000', 257);
    const sum = head.reduce((total, byte) => total + byte, 0);
    head.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    const body = Buffer.alloc(Math.ceil(content.length / 512) * 512);
    body.write(content);
    return [head, body];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

describe('a hostile archive', () => {
  it.each([
    ['a name that leads out', [{ name: '../out' }]],
    ['a name that leads out in the middle', [{ name: 'a/../../out' }]],
    ['an absolute name', [{ name: '/tmp/warden-tar-absolute' }]],
    [
      'a file through a link',
      [
        { name: 'a', type: '2', target: '..' },
        { name: 'a/out', content: 'x' },
      ],
    ],
    [
      'a directory in the place of a link',
      [
        { name: 'a', type: '2', target: '..' },
        { name: 'a', type: '5' },
      ],
    ],
    ['a file that comes twice', [{ name: 'a' }, { name: 'a' }]],
    [
      'a file over a link',
      [
        { name: 'a', type: '2', target: '../out' },
        { name: 'a', content: 'x' },
      ],
    ],
    ['a hard link', [{ name: 'a', type: '1', target: '/etc/passwd' }]],
    ['a device', [{ name: 'a', type: '3' }]],
    ['a directory with content', [{ name: 'a', type: '5', content: 'x' }]],
    [
      'records larger than any name',
      [{ name: 'x', type: 'x', content: `70015 comment=${'x'.repeat(70_000)}\n` }, { name: 'a' }],
    ],
    [
      'a way deeper than trees are read',
      [{ name: 'x', type: 'x', content: `511 path=${'d/'.repeat(250)}f\n` }, { name: 'a' }],
    ],
    ['a root that is a link', [{ name: '.', type: '2', target: '/etc' }]],
    ['too many directories', [{ name: 'd/'.repeat(49) }, { name: 'x', type: 'x', content: '' }]],
  ])('with %s puts nothing anywhere', async (what, entries) => {
    const unpacked = extractTree(pieces(archiveOf(...entries)), path.join(place, 'copy'), arrival);
    if (what !== 'too many directories') {
      // before the kernel has to refuse it
      await expect(unpacked).rejects.toMatchObject({
        code: ['twice', 'over', 'in the place'].some((word) => what.includes(word))
          ? 'EEXIST'
          : 'INVALID_SPEC',
      });
      expect(fs.readdirSync(place)).toEqual([]);
    } else await unpacked;
    expect(fs.existsSync('/tmp/warden-tar-absolute')).toBe(false);
  });

  it('gives nothing the rights of who unpacks it: set-user-id and set-group-id bits are left out', async () => {
    const program = { name: 'program', content: 'x', mode: '0006755' };
    const shared = { name: 'shared', type: '5', mode: '0007777' };
    await extractTree(pieces(archiveOf(program, shared)), path.join(place, 'copy'), arrival);
    const modes = ['program', 'shared'].map(
      (name) => fs.statSync(path.join(place, 'copy', name)).mode & 0o7777,
    );
    expect(modes).toEqual([0o755, 0o1777]);
  });

  it('cut or changed anywhere is refused or understood, and nothing is left of a refused one', async () => {
    const tree = makeTree();
    fs.rmSync(path.join(tree, 'pipe'));
    const whole = await collect(writeTar(tree, '.', silent));
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1025), fc.nat(255), fc.boolean(), async (at, byte, isCut) => {
        const bytes = isCut ? whole.subarray(0, at) : Buffer.from(whole);
        if (!isCut) bytes[at] = byte;
        const target = path.join(place, 'copy');
        const failed = await extractTree(pieces(bytes), target, arrival).catch((error: Error) => error);
        if (isCut) expect(failed).toBeInstanceOf(Error);
        expect(fs.readdirSync(place).sort()).toEqual(failed ? ['tree'] : ['copy', 'tree']);
        fs.rmSync(target, { recursive: true, force: true });
      }),
      { numRuns: 60 },
    );
  });

  it('never makes the reader take more than it asked for', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 2048 }), async (bytes) => {
        const read = async (): Promise<number> => {
          let count = 0;
          for await (const entry of readTar(pieces(bytes, 100))) count += entry.name.length;
          return count;
        };
        // at random it has no checksum that is right
        if (bytes.length < 512 || bytes.subarray(0, 512).some((byte) => byte !== 0))
          await expect(read()).rejects.toThrow('the archive is damaged');
      }),
    );
  });
});

describe('on this host', () => {
  it('a tree replaces nothing', async () => {
    fs.mkdirSync(path.join(place, 'copy'));
    await expect(
      extractTree(pieces(archiveOf({ name: 'a' })), path.join(place, 'copy'), arrival),
    ).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
    });
    expect(fs.readdirSync(place)).toEqual(['copy']);
  });

  it('a tree that comes too late says so, and leaves nothing that its owner may not enter', async () => {
    fs.chownSync(place, OTHER, OTHER);
    const target = path.join(place, 'copy');
    const archive = archiveOf(
      { name: 'closed', type: '5', mode: '0000500' },
      { name: 'closed/inner', type: '5', mode: '0000000' },
      { name: 'closed/file', content: 'x' },
    );
    await asOther(async () => {
      const late = { ...arrival, onBytes: () => fs.mkdirSync(target) };
      await expect(extractTree(pieces(archive), target, late)).rejects.toMatchObject({
        code: 'ALREADY_EXISTS',
      });
    });
    expect(fs.readdirSync(place)).toEqual(['copy']);
  });

  it('a file shows the old content or the new, and a link is replaced, not followed', async () => {
    const file = path.join(place, 'file');
    fs.writeFileSync(file, 'old');
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('ne');
      throw new Error('cut');
    }
    await expect(replaceFile(file, 0o600, broken())).rejects.toThrow('cut');
    expect(fs.readFileSync(file, 'utf8')).toBe('old');
    fs.symlinkSync('file', path.join(place, 'link'));
    await replaceFile(path.join(place, 'link'), 0o4755, pieces(Buffer.from('new')));
    expect(fs.readFileSync(file, 'utf8')).toBe('old');
    expect(fs.readFileSync(path.join(place, 'link'), 'utf8')).toBe('new');
    expect(fs.lstatSync(path.join(place, 'link')).mode & 0o7777).toBe(0o755);
    expect(fs.readdirSync(place).sort()).toEqual(['file', 'link']);
  });

  it('a named pipe is written into, also through a link, and stays', async () => {
    const pipe = path.join(place, 'pipe');
    execFileSync('mkfifo', [pipe]);
    fs.symlinkSync('pipe', path.join(place, 'link'));
    for (const name of ['pipe', 'link']) {
      const [read] = await Promise.all([
        fs.promises.readFile(pipe, 'utf8'),
        replaceFile(path.join(place, name), 0o644, pieces(Buffer.from('content'), 3)),
      ]);
      expect(read).toBe('content');
    }
    expect(fs.lstatSync(pipe).isFIFO()).toBe(true);
    expect(fs.readlinkSync(path.join(place, 'link'))).toBe('pipe');
  });

  it('nothing in /proc, where the links of /dev lead, is replaced: the file behind is written', async () => {
    const file = path.join(place, 'file');
    fs.writeFileSync(file, 'what was there before');
    const descriptor = fs.openSync(file, 'r+');
    try {
      await replaceFile(`/proc/self/fd/${descriptor}`, 0o600, pieces(Buffer.from('new')));
      expect(fs.readFileSync(descriptor, 'utf8')).toBe('new');
    } finally {
      fs.closeSync(descriptor);
    }
    expect(fs.readdirSync(place)).toEqual(['file']);
  });

  it('a terminal is refused', async () => {
    // by a link: what fails here replaces no device of the host
    const terminal = path.join(place, 'terminal');
    fs.symlinkSync('/dev/ptmx', terminal);
    await expect(replaceFile(terminal, 0o600, pieces(Buffer.from('x')))).rejects.toMatchObject({
      code: 'INVALID_SPEC',
      message: `${terminal} is a terminal`,
    });
    expect(fs.readlinkSync(terminal)).toBe('/dev/ptmx');
  });
});
