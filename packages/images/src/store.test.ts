import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import zlib from 'node:zlib';
import { type ImageStore, WardenError } from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Entry, gzip, sha256, tar, writeDockerArchive, writeLayout } from '../test/image-files.ts';
import { isRoot, openStore } from '../test/registries.ts';
import type { ImageStoreOptions } from './index.ts';

let scratch: string;
let directory: string;
let store: ImageStore;

function open(more: Partial<ImageStoreOptions> = {}): ImageStore {
  return openStore(directory, more);
}

beforeEach(() => {
  scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-images-'));
  directory = path.join(scratch, 'store');
  store = open();
});
afterEach(() => fs.rmSync(scratch, { recursive: true, force: true }));

let count = 0;
/** A layout of these layers; answers its directory. */
function layout(...layers: readonly (readonly Entry[])[]): string {
  const place = path.join(scratch, `layout-${count++}`);
  writeLayout(place, { layers: layers.map(tar) });
  return place;
}

/** Imports one layer and answers its tree. */
async function unpack(entries: readonly Entry[]): Promise<string> {
  await store.import({ path: layout(entries), name: 'one' });
  const [tree] = store.use('0123456789a', 'one').layers;
  return tree!;
}

/** Everything below the store but its fixed directories: what a failure may not leave. */
function leftovers(): string[] {
  return ['layers', 'staging', 'uses', 'flat'].flatMap((name) =>
    fs.existsSync(path.join(directory, name))
      ? fs.readdirSync(path.join(directory, name)).map((one) => `${name}/${one}`)
      : [],
  );
}

/** What somebody waits for until it is opened. */
function gate(): { readonly promise: Promise<void>; resolve(): void } {
  let resolve = (): void => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

const FILE: Entry = { name: 'etc/hello', content: 'hello', mode: 0o640, uid: 7, gid: 8 };

describe.runIf(isRoot)('the store of images [needs: root]', () => {
  it('imports an OCI layout: content, owners, modes and times, under a name', async () => {
    const setuid = { name: 'bin/su', content: 'x', mode: 0o4755 };
    const link = { name: 'bin/sh', type: '2', link: '/bin/su' };
    const hard = { name: 'bin/also', type: '1', link: 'bin/su' };
    const info = await store.import({
      path: layout([
        { name: './', type: '5', mode: 0o711 },
        { name: 'bin/', type: '5', mode: 0o1777 },
        FILE,
        setuid,
        link,
        hard,
      ]),
      name: 'Registry.example:5000/some/thing',
    });
    expect(info).toMatchObject({
      names: ['Registry.example:5000/some/thing:latest'],
      created: '2024-01-02T03:04:05Z',
      usedBy: [],
    });
    const [tree] = store.use('0123456789a', info.id).layers as [string];
    expect(fs.readFileSync(path.join(tree, 'etc/hello'), 'utf8')).toBe('hello');
    const facts = fs.statSync(path.join(tree, 'etc/hello'));
    expect([facts.uid, facts.gid, facts.mode & 0o7777, facts.mtimeMs]).toEqual([
      7, 8, 0o640, 1_000_000_000_000,
    ]);
    expect(fs.statSync(path.join(tree, 'bin/su')).mode & 0o7777).toBe(0o4755);
    expect(fs.statSync(path.join(tree, 'bin/also')).ino).toBe(fs.statSync(path.join(tree, 'bin/su')).ino);
    expect(fs.readlinkSync(path.join(tree, 'bin/sh'))).toBe('/bin/su');
    expect(fs.statSync(path.join(tree, 'bin')).mode & 0o7777).toBe(0o1777);
    expect([fs.statSync(tree).mode & 0o7777, fs.statSync(path.join(tree, 'bin')).mtimeMs]).toEqual([
      0o711, 1_000_000_000_000,
    ]);
    // its set-user-id programs are nothing for the users of the host
    expect(fs.statSync(directory).mode & 0o777).toBe(0o700);
  });

  it('imports a docker-archive and an OCI archive, compressed layers, and shares layers that are the same', async () => {
    const [base, top] = [tar([FILE]), tar([{ name: 'top', content: 'y' }])];
    const archive = path.join(scratch, 'docker.tar');
    writeDockerArchive(archive, [base, top], ['some/app:1']);
    const one = await store.import({ path: archive });
    expect(one.names).toEqual(['some/app:1']);
    const place = path.join(scratch, 'oci');
    writeLayout(place, { layers: [base], name: 'small', compress: gzip });
    const packed = path.join(scratch, 'oci.tar');
    expect(spawnSync('tar', ['-C', place, '-cf', packed, '.']).status).toBe(0);
    const two = await store.import({ path: packed });
    expect(two.names).toEqual(['small:latest']);
    expect(fs.readdirSync(path.join(directory, 'layers')).length).toBe(2);
    expect(two.layers).toEqual(one.layers.slice(0, 1));
    // the uppermost first
    expect(fs.readdirSync(store.use('0123456789a', 'some/app:1').layers[0]!)).toEqual(['top']);
  });

  it('finds one of several images by its name, as docker writes it: whole beside a tag, or only in the list', async () => {
    const place = path.join(scratch, 'several');
    const manifests = ['app', 'other'].map((name) => {
      writeLayout(place, { layers: [tar([{ name, content: name }])] });
      const [manifest] = JSON.parse(fs.readFileSync(path.join(place, 'index.json'), 'utf8')).manifests;
      const annotations = {
        'io.containerd.image.name': `docker.io/library/${name}:latest`,
        'org.opencontainers.image.ref.name': 'latest',
      };
      return { ...manifest, annotations };
    });
    fs.writeFileSync(path.join(place, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
    for (const reference of ['other', 'other:latest', 'docker.io/library/other:latest']) {
      const { names } = await store.import({ path: place, reference });
      expect(names).toEqual(['docker.io/library/other:latest']);
      const [layer] = store.use('0123456789a', names[0]!).layers;
      expect(fs.readdirSync(layer!)).toEqual(['other']);
    }
    await expect(store.import({ path: place, reference: 'latest' })).rejects.toThrow(
      'docker.io/library/app:latest, docker.io/library/other:latest',
    );
    await expect(store.import({ path: place, reference: 'absent' })).rejects.toThrow(
      /no image of the name absent/,
    );
    const archive = path.join(scratch, 'named.tar');
    // what is no name here is no reason not to find another one
    writeDockerArchive(archive, [tar([FILE])], ['<none>:<none>', 'app:1']);
    expect(
      (await store.import({ path: archive, reference: 'docker.io/library/app:1', name: 'one' })).names,
    ).toEqual(['one:latest']);
  });

  it.each([
    ['a text', '# a heading\n'.repeat(100)],
    ['zeros and text', `${'\0'.repeat(124)}some text`.padEnd(1024, 'x')],
  ])('says of %s that it is no archive', async (_what, content) => {
    const file = path.join(scratch, 'notes.md');
    fs.writeFileSync(file, content);
    await expect(store.import({ path: file, name: 'bad' })).rejects.toThrow(/this is no tar archive/);
    expect(leftovers()).toEqual([]);
  });

  it('marks what a layer deletes as overlayfs does, and what hides all below it', async () => {
    const tree = await unpack([
      { name: 'gone/.wh.file' },
      { name: 'opaque/.wh..wh..opq' },
      { name: 'opaque/new', content: 'n' },
      { name: 'again/', type: '5' },
      { name: '.wh.again' },
      { name: '.wh.first' },
      { name: 'first/', type: '5' },
      { name: '.wh..wh.plnk/', type: '5' },
    ]);
    const facts = fs.lstatSync(path.join(tree, 'gone/file'));
    expect([facts.isCharacterDevice(), facts.rdev]).toEqual([true, 0]);
    expect(fs.readdirSync(tree).sort()).toEqual(['again', 'first', 'gone', 'opaque']);
    // what the kernel makes of it
    const [lower, root] = ['lower', 'root'].map((name) => path.join(scratch, name)) as [string, string];
    for (const name of ['gone', 'opaque', 'again', 'first']) {
      fs.mkdirSync(path.join(lower, name), { recursive: true });
      fs.writeFileSync(path.join(lower, name, 'file'), '');
    }
    fs.mkdirSync(root);
    const script = 'mount -n -t overlay -o "lowerdir=$1:$2" overlay "$3" && cd "$3" && find . -type f';
    const shown = spawnSync(
      'unshare',
      ['--mount', '--propagation', 'private', '--', 'sh', '-c', script, 'sh', tree, lower, root],
      { encoding: 'utf8' },
    );
    expect([shown.stdout, shown.stderr]).toEqual(['./opaque/new\n', '']);
  });

  it('shows nothing below a layer whose root hides it, stacked or flat', async () => {
    const layers = [
      [{ name: 'low', content: 'l' }],
      [{ name: '.wh..wh..opq' }, { name: 'mid', content: 'm' }],
      [{ name: 'top', content: 't' }],
    ].map(tar);
    const place = path.join(scratch, 'opaque');
    writeLayout(place, { layers });
    const { bytes } = await store.import({ path: place, name: 'one' });
    const shown = (one: ImageStore): string[][] =>
      one.use('0123456789a', 'one').layers.map((layer) => fs.readdirSync(layer));
    expect(shown(store)).toEqual([['top'], ['mid']]);
    expect(shown(open())).toEqual([['top'], ['mid']]);
    // what is not seen lies on the disk all the same
    expect(bytes).toBe(3 * (4_096 + 512));
    fs.rmSync(directory, { recursive: true });
    const flat = open({ flatten: true });
    await flat.import({ path: place, name: 'one' });
    expect(shown(flat).map((names) => names.sort())).toEqual([['mid', 'top']]);
  });

  it('stands upon each layer once, the uppermost of those that are the same, with what all of them show', async () => {
    const mixed = [{ name: 'both/a', content: 'a' }, { name: '.wh.gone' }, { name: 'opaque/.wh..wh..opq' }];
    const between = ['both/a', 'both/m', 'gone', 'opaque/m'].map((name) => ({ name, content: 'm' }));
    const base = [{ name: '.wh.never' }, { name: 'gone', content: 'b' }, { name: 'opaque/b', content: 'b' }];
    const info = await store.import({ path: layout(base, [], mixed, between, [], mixed, []), name: 'twice' });
    expect(info.layers.length).toBe(7);
    const { layers } = store.use('0123456789a', 'twice');
    expect(layers.length).toBe(4);
    expect(fs.readdirSync(layers[0]!)).toEqual([]);
    const root = path.join(scratch, 'root');
    fs.mkdirSync(root);
    const shown = spawnSync(
      'unshare',
      [
        ...['--mount', '--propagation', 'private', '--', 'sh', '-c'],
        'mount -n -t overlay -o "lowerdir=$1" overlay "$2" && cd "$2" && find . -type f | sort && cat both/a',
        ...['sh', layers.join(':'), root],
      ],
      { encoding: 'utf8' },
    );
    expect([shown.stdout, shown.stderr]).toEqual(['./both/a\n./both/m\na', '']);
  });

  it('keeps every entry inside: absolute paths, links on the way, devices, entries that come twice', async () => {
    const outside = path.join(scratch, 'outside');
    fs.mkdirSync(outside);
    const tree = await unpack([
      { name: '/absolute', content: 'a' },
      { name: 'way', type: '2', link: outside },
      { name: 'way/in', content: 'b' },
      { name: 'up', type: '2', link: '../../../..' },
      { name: 'up/there', content: 'c' },
      { name: 'null', type: '3' },
      { name: 'pipe', type: '6' },
      { name: 'twice', content: 'first' },
      { name: 'twice', content: 'second' },
      { name: 'dir/', type: '5' },
      { name: 'dir/inner', content: 'd' },
      { name: 'dir', type: '2', link: 'absolute' },
    ]);
    expect(fs.readdirSync(tree).sort()).toEqual(['absolute', 'dir', 'pipe', 'twice', 'up', 'way']);
    expect(fs.readFileSync(path.join(tree, 'way/in'), 'utf8')).toBe('b');
    expect(fs.readFileSync(path.join(tree, 'twice'), 'utf8')).toBe('second');
    expect(fs.readlinkSync(path.join(tree, 'dir'))).toBe('absolute');
    expect(fs.readdirSync(outside)).toEqual([]);
  });

  const HOSTILE: readonly (readonly [string, readonly Entry[], RegExp])[] = [
    ['a path with ..', [{ name: 'a/../../etc/passwd', content: 'x' }], /upwards/],
    ['a hard link with ..', [{ name: 'x', type: '1', link: '../../../etc/passwd' }], /upwards/],
    ['a hard link to the host', [{ name: 'x', type: '1', link: '/etc/passwd' }], /ENOENT/],
    [
      'a hard link through a link',
      [
        { name: 'e', type: '2', link: '/etc' },
        { name: 'x', type: '1', link: 'e/passwd' },
      ],
      /ENOTDIR|ELOOP/,
    ],
    [
      'a hard link to a mark of deletion',
      [{ name: '.wh.gone' }, { name: 'x', type: '1', link: 'gone' }],
      /EINVAL/,
    ],
    ['a mark of deletion of ..', [{ name: 'a/.wh...' }], /without a name/],
    ['a mark of deletion of nothing', [{ name: 'a/.wh.' }], /without a name/],
    ['a size that is not there', [{ name: 'big', content: 'x', size: 100_000 }], /ends in the middle/],
    ['a name with a zero', [{ name: 'x', pax: { path: 'a\0b' } }], /zero/],
    ['a path longer than there can be', [{ name: 'x', pax: { path: 'a/'.repeat(3_000) } }], /ENAMETOOLONG/],
    ['a name longer than there can be', [{ name: 'x', pax: { path: 'a'.repeat(300) } }], /ENAMETOOLONG/],
    ['an unknown kind', [{ name: 'x', type: 'Z' }], /EOPNOTSUPP/],
    ['a sparse file', [{ name: 'x', pax: { 'GNU.sparse.major': '1' } }], /EOPNOTSUPP/],
    ['a number that is none', [{ name: 'x', pax: { size: '1e9' } }], /EBADMSG/],
    ['a root that is a link', [{ name: './', type: '2', link: '/' }], /EINVAL/],
  ];
  it.each(HOSTILE)('refuses %s, and nothing is left', async (_what, entries, message) => {
    await expect(store.import({ path: layout([FILE, ...entries]), name: 'bad' })).rejects.toThrow(message);
    expect([await store.list(), leftovers()]).toEqual([[], []]);
  });

  it('takes no attributes but capabilities and those of users', async () => {
    const capability = '\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0';
    const tree = await unpack([
      {
        name: 'ping',
        content: 'x',
        pax: {
          'SCHILY.xattr.security.capability': capability,
          'SCHILY.xattr.user.note': 'kept',
          'SCHILY.xattr.trusted.overlay.redirect': '/etc',
          'SCHILY.xattr.user.overlay.opaque': 'y',
          'SCHILY.xattr.security.selinux': 'x',
        },
      },
    ]);
    const script = 'import os,sys; print(sorted(os.listxattr(sys.argv[1])))';
    const { stdout } = spawnSync('python3', ['-c', script, path.join(tree, 'ping')], { encoding: 'utf8' });
    expect(stdout.trim()).toMatch(/^\['security.capability'(, 'user.note')?\]$/);
  });

  it('names a path that is not there once, and no text of Node behind it', async () => {
    const absent = path.join(scratch, 'no/such');
    await expect(store.import({ path: absent, name: 'one' })).rejects.toMatchObject({
      code: 'INVALID_SPEC',
      message: `open ${absent}: ENOENT`,
      fields: { operation: 'open', object: absent, errno: 'ENOENT' },
    });
  });

  it('bounds bytes and entries, also of what is small until it is uncompressed', async () => {
    store = open({ maxBytes: 1 << 20, maxEntries: 50 });
    const many = Array.from({ length: 60 }, (_one, at) => ({ name: `f${at}` }));
    await expect(store.import({ path: layout(many), name: 'many' })).rejects.toMatchObject({
      code: 'POOL_EXHAUSTED',
    });
    await expect(
      store.import({ path: layout([{ name: 'big', content: Buffer.alloc(2 << 20) }]), name: 'big' }),
    ).rejects.toMatchObject({
      code: 'POOL_EXHAUSTED',
    });
    const bomb = path.join(scratch, 'bomb');
    // zeros behind the end of the archive: they are in no file and have to be read all the same
    const layer = Buffer.concat([tar([FILE]), Buffer.alloc(90 << 20)]);
    writeLayout(bomb, { layers: [layer], compress: (one) => zlib.gzipSync(one, { level: 1 }) });
    await expect(store.import({ path: bomb, name: 'bomb' })).rejects.toMatchObject({
      code: 'POOL_EXHAUSTED',
    });
    expect([await store.list(), leftovers()]).toEqual([[], []]);
  });

  it('bounds the way to entries: what jumps between deep directories is refused, what is deep or has far links is not', async () => {
    const deep = (letter: string): string => `${letter}/`.repeat(1_900);
    const at = (name: string, more: Partial<Entry> = {}): Entry => ({
      name: 'pax',
      pax: { path: name },
      ...more,
    });
    const jumps = Array.from({ length: 1_500 }, (_one, index) => at(deep('ab'[index % 2]!), { type: '5' }));
    const bomb = path.join(scratch, 'bomb');
    writeLayout(bomb, { layers: [tar(jumps)], compress: gzip });
    await expect(store.import({ path: bomb, name: 'bomb' })).rejects.toMatchObject({
      code: 'INVALID_SPEC',
      message: expect.stringMatching(/^cannot walk more directories than a real image has/),
    });
    // entries that make nothing are entries, too
    const again = Array.from({ length: 60 }, () => ({ name: 'd/', type: '5' }));
    await expect(
      open({ maxEntries: 50 }).import({ path: layout(again), name: 'again' }),
    ).rejects.toMatchObject({ code: 'POOL_EXHAUSTED' });
    expect([await store.list(), leftovers()]).toEqual([[], []]);
    const far = (index: number): string => `x/${index % 7}/${'y/'.repeat(20)}${index}`;
    const tree = await unpack([
      ...Array.from({ length: 50 }, (_one, index) => at(`${deep('a')}${index}`)),
      ...Array.from({ length: 500 }, (_one, index) => ({ name: far(index), content: String(index) })),
      ...Array.from({ length: 500 }, (_one, index) => ({
        name: `z/${'w/'.repeat(20)}${index}`,
        type: '1',
        link: far(index),
      })),
      // what is remembered goes, and comes again
      { name: `x/6/${'y/'.repeat(20)}before`, content: 'b' },
      { name: 'x/6', content: 'a file' },
      { name: `x/6/${'y/'.repeat(20)}after`, content: 'a' },
    ]);
    expect(fs.readFileSync(path.join(tree, `z/${'w/'.repeat(20)}499`), 'utf8')).toBe('499');
    expect(fs.readdirSync(path.join(tree, 'x/6', 'y/'.repeat(20)))).toEqual(['after']);
    expect(fs.readdirSync(path.join(tree, 'a/'.repeat(1_900))).length).toBe(50);
    // Node itself gives up on a tree this deep; the store does not
    store.release('0123456789a');
    await store.remove('one');
    expect(leftovers()).toEqual([]);
  }, 60_000);

  it('counts what a layer takes on the disk: whole blocks of content, and directories', async () => {
    const small = Array.from({ length: 500 }, (_one, at) => ({ name: `d${at % 50}/f${at}`, content: 'x' }));
    const tree = await unpack([
      ...small,
      { name: 'blocks', content: Buffer.alloc(10_000) },
      { name: 'link', type: '2', link: 'blocks' },
    ]);
    const { stdout } = spawnSync('du', ['-s', '-B1', '--apparent-size', tree], { encoding: 'utf8' });
    const counted = (await store.list())[0]!.bytes;
    const blocks = 500 * 4_096 + 50 * 4_096 + 12_288;
    expect(counted).toBe(blocks + (500 + 50 + 1 + 1) * 512);
    expect(counted).toBeGreaterThan(Number.parseInt(stdout, 10));
    // its bytes alone, and its names, would fit in
    store = open({ maxBytes: blocks / 2, directory: path.join(scratch, 'little') });
    await expect(store.import({ path: layout(small), name: 'small' })).rejects.toMatchObject({
      code: 'POOL_EXHAUSTED',
    });
    const upper = path.join(scratch, 'upper');
    fs.mkdirSync(path.join(upper, 'd'), { recursive: true });
    fs.writeFileSync(path.join(upper, 'd/one'), 'x');
    fs.writeFileSync(path.join(upper, 'd/more'), Buffer.alloc(200_000, 1));
    store = open();
    const base = store.use('0123456789a', 'one');
    const info = await store.capture({
      name: 'snap',
      id: '0123456789a',
      base,
      upper,
      idMap: [],
      user: { name: 'vcap', uid: 10_001 },
    });
    expect(info.bytes - counted).toBe(4_096 + 4_096 + 200_704 + 3 * 512);
  });

  it('believes no digest, no size and no document', async () => {
    const place = path.join(scratch, 'forged');
    const cases: readonly (readonly [RegExp, (layer: Buffer) => void])[] = [
      [
        /does not have its digest/,
        (layer) =>
          fs.writeFileSync(
            path.join(place, 'blobs/sha256', sha256(layer).slice(7)),
            tar([{ ...FILE, content: 'HELLO' }]),
          ),
      ],
      [
        /descriptor says/,
        (layer) => fs.appendFileSync(path.join(place, 'blobs/sha256', sha256(layer).slice(7)), 'x'),
      ],
      [
        /is a link/,
        (layer) => {
          const blob = path.join(place, 'blobs/sha256', sha256(layer).slice(7));
          fs.rmSync(blob);
          fs.symlinkSync('/etc/passwd', blob);
        },
      ],
    ];
    for (const [message, forge] of cases) {
      fs.rmSync(place, { recursive: true, force: true });
      const layer = tar([FILE]);
      writeLayout(place, { layers: [layer] });
      forge(layer);
      await expect(store.import({ path: place, name: 'forged' })).rejects.toThrow(message);
    }
    const documents: readonly (readonly [RegExp, object])[] = [
      [/lists 1 layers, the manifest 0/, { manifest: (one: object) => ({ ...one, layers: [] }) }],
      [
        /no digest/,
        {
          manifest: (one: object) => ({
            ...one,
            layers: [{ digest: 'sha256:../../../etc/passwd', size: 1 }],
          }),
        },
      ],
      [/this host is linux/, { config: (one: object) => ({ ...one, architecture: 's390x' }) }],
      [/version 1/, { manifest: (one: object) => ({ ...one, schemaVersion: 1 }) }],
      // nothing that could be turned into text
      [/version an object/, { manifest: (one: object) => ({ ...one, schemaVersion: { toString: 1 } }) }],
      [
        /linux\/an object, this host/,
        { config: (one: object) => ({ ...one, architecture: { toString: 1 } }) },
      ],
      [
        /no digest: a list/,
        { manifest: (one: object) => ({ ...one, layers: [{ digest: ['sha256:'], size: 1 }] }) },
      ],
      [
        /does not have its digest/,
        {
          config: (one: object) => ({
            ...one,
            rootfs: { type: 'layers', diff_ids: [sha256(Buffer.from('other'))] },
          }),
        },
      ],
    ];
    for (const [message, change] of documents) {
      fs.rmSync(place, { recursive: true, force: true });
      writeLayout(place, { layers: [tar([FILE])], ...change });
      await expect(store.import({ path: place, name: 'forged' })).rejects.toThrow(message);
    }
    await expect(store.import({ path: scratch, name: 'x' })).rejects.toThrow(/neither an OCI layout/);
    await expect(store.import({ path: '/dev/zero', name: 'x' })).rejects.toThrow(/no regular file/);
    // a file by its kind, of which nothing can be read
    await expect(store.import({ path: '/proc/self/mem', name: 'x' })).rejects.toMatchObject({
      code: 'INVALID_SPEC',
      message: '/proc/self/mem is no archive: it has 0 bytes',
    });
    expect([await store.list(), leftovers()]).toEqual([[], []]);
  });

  it('reads nothing beside the directory or archive of an image, whatever its documents name and whatever links are in it', async () => {
    const layer = tar([FILE]);
    const [outside, archive] = [path.join(scratch, 'outside'), path.join(scratch, 'archive')];
    fs.mkdirSync(outside);
    fs.mkdirSync(archive);
    fs.writeFileSync(path.join(outside, 'backup.tar'), layer);
    const config = JSON.stringify({
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      os: 'linux',
      rootfs: { type: 'layers', diff_ids: [sha256(layer)] },
    });
    for (const place of [outside, archive]) fs.writeFileSync(path.join(place, 'config.json'), config);
    fs.symlinkSync(outside, path.join(archive, 'linked'));
    fs.symlinkSync('../outside/backup.tar', path.join(archive, 'layer.tar'));
    const packed = path.join(scratch, 'packed.tar');
    const cases: readonly (readonly [string, string, RegExp])[] = [
      ['config.json', '../outside/backup.tar', /at a place outside itself: \.\.\/outside\/backup\.tar/],
      ['config.json', 'x/../../outside/backup.tar', /at a place outside itself/],
      ['config.json', path.join(outside, 'backup.tar'), /at a place outside itself/],
      ['../outside/config.json', 'layer', /at a place outside itself/],
      ['config.json', '', /at a place outside itself/],
      ['config.json', 'linked/backup.tar', /archive\/linked is a link, or no directory|archive has no/],
      ['config.json', 'layer.tar', /archive\/layer\.tar is a link|archive has no/],
    ];
    for (const [Config, Layer, message] of cases) {
      const manifest = JSON.stringify([{ Config, RepoTags: ['x:1'], Layers: [Layer] }]);
      fs.writeFileSync(path.join(archive, 'manifest.json'), manifest);
      expect(spawnSync('tar', ['-C', archive, '-cf', packed, '.']).status).toBe(0);
      for (const place of [archive, packed])
        await expect(store.import({ path: place }), `${place}: ${Layer}`).rejects.toMatchObject({
          code: 'INVALID_SPEC',
          message: expect.stringMatching(message),
        });
    }
    const place = layout([FILE]);
    fs.renameSync(path.join(place, 'blobs'), path.join(scratch, 'elsewhere'));
    fs.symlinkSync(path.join(scratch, 'elsewhere'), path.join(place, 'blobs'));
    await expect(store.import({ path: place, name: 'x' })).rejects.toMatchObject({
      code: 'INVALID_SPEC',
      message: expect.stringContaining(`${place}/blobs is a link`),
    });
    expect([await store.list(), leftovers()]).toEqual([[], []]);
    // a link to the image itself is the client's own word
    fs.rmSync(path.join(place, 'blobs'));
    fs.renameSync(path.join(scratch, 'elsewhere'), path.join(place, 'blobs'));
    fs.symlinkSync(place, path.join(scratch, 'link'));
    const before = fs.readdirSync('/proc/self/fd').length;
    await store.import({ path: path.join(scratch, 'link'), name: 'x' });
    expect(fs.readdirSync('/proc/self/fd').length).toBeLessThanOrEqual(before);
  });

  it('refuses a configuration that is nested too deeply for the index, before it unpacks anything', async () => {
    const nested = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}`;
    for (const [depth, isFine] of [
      [60, true],
      [70, false],
      [200_000, false],
    ] as const) {
      const place = path.join(scratch, `deep-${depth}`);
      fs.rmSync(directory, { recursive: true, force: true });
      store = open();
      writeLayout(place, {
        layers: [tar([FILE])],
        configText: (text) => text.replace('["A=b"]', nested(depth)),
      });
      const imported = store.import({ path: place, name: 'deep' });
      if (isFine) await imported;
      else {
        await expect(imported, String(depth)).rejects.toMatchObject({
          code: 'INVALID_SPEC',
          message: expect.stringContaining('nested more than 64 levels deep'),
        });
        expect([await store.list(), leftovers()]).toEqual([[], []]);
      }
    }
  });

  it('says what it cannot do: zstd before Node.js 22.15, an archive compressed as a whole', async () => {
    const place = path.join(scratch, 'zstd');
    writeLayout(place, { layers: [tar([FILE])], compress: () => Buffer.from('28b52ffd00', 'hex') });
    if (!('createZstdDecompress' in zlib))
      await expect(store.import({ path: place, name: 'z' })).rejects.toMatchObject({
        code: 'UNSUPPORTED',
        message: expect.stringContaining('zstd'),
      });
    const whole = path.join(scratch, 'whole.tar.gz');
    fs.writeFileSync(whole, zlib.gzipSync(tar([FILE])));
    await expect(store.import({ path: whole, name: 'z' })).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  });

  const zstd =
    (zlib as { zstdCompressSync?: (bytes: Buffer) => Buffer }).zstdCompressSync ??
    ((bytes: Buffer): Buffer => Buffer.concat([Buffer.from('28b52ffd', 'hex'), bytes]));
  it.each([
    ['in one piece', 700, tar([FILE])],
    ['in several', 200_000, tar([{ name: 'hello', content: randomBytes(600_000) }])],
  ])(
    'takes zstd of several frames, as of zstd:chunked, %s, or says which Node.js does',
    async (_how, size, layer) => {
      const place = path.join(scratch, 'frames');
      const parts = Array.from({ length: Math.ceil(layer.length / size) }, (_, at) =>
        zstd(layer.subarray(at * size, (at + 1) * size)),
      );
      // the last one is to be skipped
      const blob = Buffer.concat([...parts, Buffer.from('502a4d180100000078', 'hex')]);
      writeLayout(place, { layers: [layer], compress: () => blob });
      const imported = store.import({ path: place, name: 'z' });
      if (Number(process.versions.node.split('.')[0]) >= 24)
        expect((await imported).layers).toEqual([sha256(layer)]);
      else
        await expect(imported).rejects.toMatchObject({
          code: 'UNSUPPORTED',
          message: expect.stringContaining('createZstdDecompress' in zlib ? 'several frames' : 'zstd'),
        });
    },
  );

  it('removes no image that a container uses; a name goes, the content when nobody has it any more', async () => {
    const place = layout([FILE]);
    const { id } = await store.import({ path: place, name: 'one' });
    await store.import({ path: place, name: 'two:v2' });
    store.use('0123456789a', 'one');
    expect(await store.remove('two:v2')).toEqual({ images: [], bytes: 0 });
    await expect(store.remove('one')).rejects.toMatchObject({
      code: 'BAD_STATE',
      message: 'the image one is used by 1 container',
      fields: { operation: 'remove image', object: 'one', containers: ['0123456789a'] },
    });
    await expect(store.remove('absent')).rejects.toMatchObject({
      message: 'image absent not found',
      fields: { object: 'absent', advice: expect.stringContaining('warden image ls') },
    });
    // another daemon knows it, too
    store = open();
    await store.recover(new Set(['0123456789a']));
    await expect(store.remove(id)).rejects.toMatchObject({ code: 'BAD_STATE' });
    expect((await store.list())[0]).toMatchObject({ usedBy: ['0123456789a'] });
    store.release('0123456789a');
    expect(await store.remove('one')).toMatchObject({ images: [id] });
    expect([await store.list(), leftovers()]).toEqual([[], []]);
  });

  it('removes no image while a note of a container cannot be read, which may be of any', async () => {
    const { id } = await store.import({ path: layout([FILE]), name: 'one' });
    for (const [at, note] of ['', '{"image":', '[]', '{"image":7}'].entries()) {
      const container = `0123456789${at}`;
      fs.writeFileSync(path.join(directory, 'uses', container), note);
      store = open();
      await store.recover(new Set([container]));
      await expect(store.remove('one')).rejects.toMatchObject({
        code: 'BAD_STATE',
        fields: { containers: [container] },
      });
      store.release(container);
    }
    expect(await store.remove('one')).toMatchObject({ images: [id] });
  });

  it('lets none of the users of the host in, whatever its directory was before', async () => {
    fs.mkdirSync(directory, { mode: 0o755 });
    fs.chmodSync(directory, 0o755);
    await store.import({ path: layout([FILE]), name: 'one' });
    expect(fs.statSync(directory).mode & 0o777).toBe(0o700);
  });

  it('waits for nobody at a pipe in the place of a blob or an archive, and reads no endless document', async () => {
    const place = layout([FILE]);
    const blobs = path.join(place, 'blobs/sha256');
    const pipe = path.join(scratch, 'pipe.tar');
    for (const file of [...fs.readdirSync(blobs).map((name) => path.join(blobs, name)), pipe]) {
      fs.rmSync(file, { force: true });
      expect(spawnSync('mkfifo', [file]).status).toBe(0);
    }
    for (const one of [place, pipe])
      await expect(store.import({ path: one, name: 'one' })).rejects.toMatchObject({
        code: 'INVALID_SPEC',
        message: expect.stringMatching(/is no regular file$/),
      });
    const large = layout([FILE]);
    fs.appendFileSync(path.join(large, 'index.json'), ' '.repeat(4 << 20));
    await expect(store.import({ path: large, name: 'one' })).rejects.toThrow(
      /^index\.json is too large for what it is: \d+ bytes$/,
    );
    expect(leftovers()).toEqual([]);
  });

  it('leaves no layer of an import whose second one is damaged', async () => {
    const place = layout([FILE], [{ name: 'other', content: 'x'.repeat(2_000) }]);
    const blobs = path.join(place, 'blobs/sha256');
    const second = sha256(tar([{ name: 'other', content: 'x'.repeat(2_000) }])).slice(7);
    const content = fs.readFileSync(path.join(blobs, second));
    content[1_000]! ^= 1;
    fs.writeFileSync(path.join(blobs, second), content);
    await expect(store.import({ path: place, name: 'one' })).rejects.toThrow(/does not have its digest/);
    expect([await store.list(), leftovers()]).toEqual([[], []]);
  });

  it('never takes a name for an id, and gives no image a name that looks like one', async () => {
    const { id } = await store.import({ path: layout([FILE]), name: 'one' });
    const other = layout([{ name: 'other', content: 'o' }]);
    const named = path.join(scratch, 'named.tar');
    writeDockerArchive(named, [tar([{ name: 'other', content: 'o' }])], [id]);
    const base = store.use('0123456789a', id);
    for (const name of [id, id.slice(7), `${id.slice(7)}:latest`, 'sha256:1', `app@${id}`]) {
      await expect(store.import({ path: other, name }), name).rejects.toMatchObject({ code: 'INVALID_SPEC' });
      const spec = { name, id: '0123456789a', base, upper: scratch, idMap: [], user: { name: 'u', uid: 1 } };
      await expect(store.capture(spec), name).rejects.toMatchObject({ code: 'INVALID_SPEC' });
    }
    await expect(store.import({ path: named })).rejects.toMatchObject({
      code: 'INVALID_SPEC',
      message: expect.stringContaining('say another name'),
    });
    // an index of before may have one
    await store.import({ path: other, name: 'two' });
    const file = path.join(directory, 'index.json');
    const body = fs.readFileSync(file, 'utf8').slice(9).replace('"two:latest"', JSON.stringify(id));
    fs.writeFileSync(file, `${zlib.crc32(body).toString(16).padStart(8, '0')}\n${body}`);
    store = open();
    expect([store.use('0123456789b', id).image, store.use('0123456789b', id.slice(7)).image]).toEqual([
      id,
      id,
    ]);
  });

  it('collects images that lost their names, once no container has them', async () => {
    const first = await store.import({ path: layout([FILE]), name: 'app' });
    store.use('0123456789a', 'app');
    const second = await store.import({ path: layout([{ name: 'new', content: 'n' }]), name: 'app' });
    expect((await store.collect()).images).toEqual([]);
    store.release('0123456789a');
    expect(await store.collect()).toMatchObject({ images: [first.id] });
    expect((await store.list()).map(({ id }) => id)).toEqual([second.id]);
  });

  it('starts with what is whole, whatever was half made or on its way out', async () => {
    const { id } = await store.import({ path: layout([FILE]), name: 'whole' });
    fs.mkdirSync(path.join(directory, 'staging/half/fs'), { recursive: true });
    fs.mkdirSync(path.join(directory, 'layers/0123456789abcdef0123456789abcdef/fs'), { recursive: true });
    fs.writeFileSync(path.join(directory, 'uses/00000000000'), '');
    store = open();
    await store.recover(new Set());
    expect((await store.list()).map((one) => one.id)).toEqual([id]);
    expect(leftovers().length).toBe(1);
    // one that cannot be read takes nothing away, and says so
    fs.appendFileSync(path.join(directory, 'index.json'), 'x');
    store = open();
    await store.recover(new Set());
    await expect(store.list()).rejects.toThrow(/damaged/);
    expect(leftovers().length).toBe(1);
    // nor does it hold the containers
    fs.writeFileSync(path.join(directory, 'uses/0123456789a'), JSON.stringify({ image: id }));
    store = open();
    store.release('0123456789a');
    store.release('0123456789b');
    expect(fs.readdirSync(path.join(directory, 'uses'))).toEqual([]);
  });

  it('touches nothing of an index that a newer daemon wrote, which has it again', async () => {
    const { id } = await store.import({ path: layout([FILE]), name: 'one' });
    const file = path.join(directory, 'index.json');
    const before = fs.readFileSync(file, 'utf8');
    const body = before.slice(before.indexOf('\n') + 1).replace('"version":1', '"version":2');
    fs.writeFileSync(file, `${zlib.crc32(body).toString(16).padStart(8, '0')}\n${body}`);
    const kept = leftovers();
    store = open();
    await store.recover(new Set());
    await expect(store.list()).rejects.toThrow(/has version 2, .* start the daemon that wrote it/);
    await expect(store.import({ path: layout([FILE]), name: 'two' })).rejects.toThrow(/has version 2/);
    expect(leftovers()).toEqual(kept);
    fs.writeFileSync(file, before);
    store = open();
    await store.recover(new Set());
    expect((await store.list()).map((one) => one.id)).toEqual([id]);
  });

  it.each(['EIO', 'EMFILE'])(
    'removes nothing while the note of a layer cannot be read (%s)',
    async (code) => {
      const info = await store.import({ path: layout([FILE]), name: 'one' });
      const before = leftovers();
      const read = fs.readFileSync;
      vi.spyOn(fs, 'readFileSync').mockImplementation(((file: string, ...more: [never]) => {
        if (String(file).endsWith('layer.json')) throw Object.assign(new Error(code), { code });
        return read(file, ...more);
      }) as never);
      const next = open();
      await next.recover(new Set());
      await expect(next.list()).rejects.toMatchObject({
        code: 'NATIVE_FAILED',
        fields: { operation: 'read', errno: code },
      });
      expect(leftovers()).toEqual(before);
      vi.restoreAllMocks();
      expect(await next.list()).toEqual([info]);
    },
  );

  it('tells of no image that the disk does not have: a flush fails once, at each of them', async () => {
    let calls = 0;
    const sync = fs.fdatasyncSync;
    const count = vi.spyOn(fs, 'fdatasyncSync').mockImplementation((descriptor) => {
      calls += 1;
      sync(descriptor);
    });
    await store.import({ path: layout([FILE]), name: 'one' });
    await store.remove('one');
    count.mockRestore();
    expect(calls).toBeGreaterThan(0);
    for (let at = 1; at <= calls; at++) {
      let left = at;
      const spy = vi.spyOn(fs, 'fdatasyncSync').mockImplementation((descriptor) => {
        if (--left === 0) throw Object.assign(new Error('EIO: i/o error'), { code: 'EIO' });
        sync(descriptor);
      });
      const outcome = await store
        .import({ path: layout([FILE]), name: 'one' })
        .catch((error: unknown) => error);
      spy.mockRestore();
      if (left > 0) continue; // the one of the removal
      expect(outcome).toMatchObject({ code: 'NATIVE_FAILED', fields: { errno: 'EIO' } });
      expect([await store.list(), leftovers()]).toEqual([[], []]);
      expect(await open().list()).toEqual([]);
    }
    await store.import({ path: layout([FILE]), name: 'one' });
    expect((await open().list()).map(({ names }) => names)).toEqual([['one:latest']]);
  });

  it("touches nothing of a directory that is another daemon's", async () => {
    await store.import({ path: layout([FILE]), name: 'one' });
    store.use('0123456789a', 'one');
    const claim = (): never => {
      throw new WardenError('ALREADY_EXISTS', 'taken');
    };
    const other = open({ claim });
    await other.recover(new Set());
    await expect(other.list()).rejects.toThrow('taken');
    await expect(other.remove('one')).rejects.toThrow('taken');
    expect((await store.list())[0]!.usedBy).toEqual(['0123456789a']);
    store = open();
    expect((await store.list())[0]!.usedBy).toEqual(['0123456789a']);
  });

  it('is flat for a driver that cannot stack', async () => {
    store = open({ flatten: true });
    const lower = [
      { name: 'kept', content: 'k' },
      { name: 'gone', content: 'g' },
      { name: 'd/old', content: 'o' },
      { name: 'e/old', content: 'o' },
    ];
    const upper = [
      { name: '.wh.gone' },
      { name: 'd/.wh..wh..opq' },
      { name: 'd/new', content: 'n', uid: 5, mode: 0o4711 },
      { name: 'e', type: '2', link: 'd' },
    ];
    await store.import({ path: layout(lower, upper), name: 'flat' });
    const { layers } = store.use('0123456789a', 'flat');
    expect(layers.length).toBe(1);
    const tree = layers[0]!;
    expect([fs.readdirSync(tree).sort(), fs.readdirSync(path.join(tree, 'd'))]).toEqual([
      ['d', 'e', 'kept'],
      ['new'],
    ]);
    expect(fs.statSync(path.join(tree, 'd/new'))).toMatchObject({ uid: 5, mode: 0o104711 });
    const other = open();
    await other.import({ path: layout([FILE]), name: 'stacked' });
    expect(() => open({ flatten: true }).use('0123456789b', 'stacked')).toThrow(/import it again/);
  });

  it('is not flat beyond the room that is left for all of its layers together', async () => {
    const size = 1 << 20;
    store = open({ flatten: true, maxBytes: 3.5 * size });
    const layers = ['a', 'b'].map((name) => [{ name, content: Buffer.alloc(size, name) }]);
    await expect(store.import({ path: layout(...layers), name: 'flat' })).rejects.toMatchObject({
      code: 'POOL_EXHAUSTED',
    });
    expect([await store.list(), leftovers()]).toEqual([[], []]);
  });

  it('is given up while it is made flat, and nothing of it is left', async () => {
    const giveUp = new AbortController();
    const reached: string[] = [];
    const pass = async (name: string): Promise<void> => {
      reached.push(name);
      // the first place is the layer's, the second that of the one directory
      if (reached.filter((one) => one === 'image-import.staging').length === 2) giveUp.abort();
    };
    store = open({ flatten: true, failpoints: { pass, passSync: () => {}, forProgram: () => undefined } });
    const importing = store.import({ path: layout([FILE]), name: 'flat' }, { signal: giveUp.signal });
    await expect(importing).rejects.toMatchObject({ code: 'ABORTED' });
    expect([giveUp.signal.aborted, await store.list(), leftovers()]).toEqual([true, [], []]);
  });

  it('tells why an import failed, whatever becomes of what it leaves', async () => {
    const passSync = (): void => {
      fs.writeFileSync(path.join(directory, 'index.json'), 'damaged meanwhile');
      throw new WardenError('NATIVE_FAILED', 'the index cannot be written');
    };
    store = open({ failpoints: { pass: () => undefined, passSync, forProgram: () => undefined } });
    const importing = store.import({ path: layout([FILE]), name: 'one' });
    await expect(importing).rejects.toThrow('the index cannot be written');
  });

  it('keeps a writable layer with the owners and marks that it has inside', async () => {
    const passwd = 'root:x:0:0::/:/bin/sh\nvcap:x:1500:1500::/home/vcap:/bin/sh\n';
    await store.import({
      path: layout([
        { name: 'etc/passwd', content: passwd },
        { name: 'etc/group', content: 'root:x:0:\nvcap:x:1500:\n' },
      ]),
      name: 'base',
    });
    const base = store.use('0123456789a', 'base');
    const upper = path.join(scratch, 'upper');
    fs.mkdirSync(path.join(upper, 'etc'), { recursive: true });
    fs.writeFileSync(path.join(upper, 'etc/passwd'), passwd.replaceAll('1500', '10001'));
    for (const [name, owner] of [
      ['by-root', 200_000],
      ['by-user', 10_001],
      ['by-other', 200_033],
      ['by-nobody-here', 7],
    ] as const) {
      fs.writeFileSync(path.join(upper, name), name);
      fs.chownSync(path.join(upper, name), owner, owner);
    }
    spawnSync('mknod', [path.join(upper, 'deleted'), 'c', '0', '0']);
    spawnSync('mknod', [path.join(upper, 'device'), 'c', '1', '3']);
    const idMap = [
      { inside: 0, outside: 200_000, count: 10_001 },
      { inside: 10_001, outside: 10_001, count: 1 },
      { inside: 10_002, outside: 210_002, count: 55_534 },
    ];
    const info = await store.capture({
      name: 'snap',
      id: '0123456789a',
      base,
      upper,
      idMap,
      user: { name: 'vcap', uid: 10_001 },
    });
    expect(info.layers.length).toBe(2);
    const [tree] = store.use('0123456789b', 'snap').layers as [string, string];
    expect(fs.readFileSync(path.join(tree, 'etc/passwd'), 'utf8')).toBe(passwd);
    const owner = (name: string): number => fs.lstatSync(path.join(tree, name)).uid;
    expect(['by-root', 'by-user', 'by-other', 'by-nobody-here'].map(owner)).toEqual([0, 1500, 33, 65_534]);
    expect(fs.lstatSync(path.join(tree, 'deleted')).isCharacterDevice()).toBe(true);
    expect(fs.existsSync(path.join(tree, 'device'))).toBe(false);
  });

  it("keeps capabilities of files that the container's root has given, and of nobody else", async () => {
    await store.import({ path: layout([FILE]), name: 'base' });
    const base = store.use('0123456789a', 'base');
    const upper = path.join(scratch, 'upper');
    fs.mkdirSync(upper);
    // the last field is the number, on the disk, of the root of the namespace in which it was set
    const script =
      'import os,struct,sys; os.setxattr(sys.argv[1], "security.capability", struct.pack("<6I", 0x03000001, 1 << 10, 0, 0, 0, int(sys.argv[2])))';
    for (const [name, root] of [
      ['by-root', 200_000],
      ['by-user', 10_001],
      ['by-other', 200_033],
      ['by-a-stranger', 7],
    ] as const) {
      fs.writeFileSync(path.join(upper, name), name);
      expect(spawnSync('python3', ['-c', script, path.join(upper, name), String(root)]).status).toBe(0);
    }
    const { layers } = await store.capture({
      name: 'snap',
      id: '0123456789a',
      base,
      upper,
      idMap: [
        { inside: 0, outside: 200_000, count: 10_001 },
        { inside: 10_001, outside: 10_001, count: 1 },
      ],
      user: { name: 'vcap', uid: 10_001 },
    });
    const [tree] = store.use('0123456789b', 'snap').layers as [string, string];
    const list =
      'import os,sys; print([os.getxattr(one, "security.capability").hex() if os.listxattr(one) else "" for one in sys.argv[1:]])';
    const names = ['by-root', 'by-user', 'by-other', 'by-a-stranger'].map((name) => path.join(tree, name));
    const { stdout } = spawnSync('python3', ['-c', list, ...names], { encoding: 'utf8' });
    expect(stdout.trim()).toBe(`['0100000200040000${'0'.repeat(24)}', '', '', '']`);
    const note = path.join(directory, 'layers', layers[1]!.slice(7, 39), 'layer.json');
    expect(JSON.parse(fs.readFileSync(note, 'utf8'))).toMatchObject({ skipped: 3 });
  });

  it('gives up when it is told to, and leaves nothing', async () => {
    const controller = new AbortController();
    const importing = store.import(
      { path: layout([FILE, { name: 'big', content: Buffer.alloc(8 << 20) }]), name: 'late' },
      { signal: controller.signal, onProgress: () => controller.abort() },
    );
    await expect(importing).rejects.toMatchObject({ code: 'ABORTED' });
    expect([await store.list(), leftovers()]).toEqual([[], []]);
  });

  it('gives up in the queue, at once, and before it begins, also when nothing is missing', async () => {
    const place = layout([FILE]);
    await store.import({ path: place, name: 'one' });
    const held = gate();
    const reached = gate();
    const pass = (name: string): Promise<void> | undefined => {
      if (name !== 'image-import.staging') return undefined;
      reached.resolve();
      return held.promise;
    };
    store = open({ failpoints: { pass, passSync: () => {}, forProgram: () => undefined } });
    const first = store.import({ path: layout([{ name: 'first', content: 'f' }]), name: 'first' });
    await reached.promise;
    const controller = new AbortController();
    const waiting = store.import({ path: place, name: 'two' }, { signal: controller.signal });
    const third = store.import({ path: place, name: 'three' });
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'ABORTED' });
    held.resolve();
    await Promise.all([first, third]);
    await expect(
      store.import({ path: place, name: 'four' }, { signal: AbortSignal.abort() }),
    ).rejects.toMatchObject({ code: 'ABORTED' });
    expect((await store.list()).flatMap(({ names }) => names).sort()).toEqual([
      'first:latest',
      'one:latest',
      'three:latest',
    ]);
  });

  it('has its turn before anything stands still for a capture', async () => {
    const { id } = await store.import({ path: layout([FILE]), name: 'base' });
    const base = store.use('0123456789a', 'base');
    const upper = path.join(scratch, 'upper');
    fs.mkdirSync(upper);
    const steps: string[] = [];
    const spec = {
      ...{ name: 'snap', id: '0123456789a', base, upper },
      ...{ idMap: [{ inside: 0, outside: 0, count: 65_536 }], user: { name: 'vcap', uid: 1 } },
    };
    const before = store
      .import({ path: layout([{ name: 'big', content: Buffer.alloc(8 << 20) }]), name: 'big' })
      .then(() => steps.push('imported'));
    const captured = store.capture(spec, {
      whileStill: async (action) => {
        steps.push('still');
        const info = await action();
        steps.push('goes on');
        return info;
      },
    });
    await Promise.all([before, captured]);
    expect(steps).toEqual(['imported', 'still', 'goes on']);
    expect((await captured).layers.length).toBe(2);
    // what comes in between is as good as never asked for
    const whileStill = (): never => {
      throw new WardenError('BAD_STATE', 'destroyed');
    };
    await expect(store.capture({ ...spec, name: 'none' }, { whileStill })).rejects.toThrow('destroyed');
    const signal = AbortSignal.abort();
    await expect(store.capture({ ...spec, name: 'none' }, { signal })).rejects.toMatchObject({
      code: 'ABORTED',
    });
    expect((await store.list()).map(({ names }) => names[0])).toEqual([
      'base:latest',
      'big:latest',
      'snap:latest',
    ]);
    expect(id).toBe(base.image);
  });

  describe('on a full disk', () => {
    /** As long as there are more layers than these the index cannot be written. */
    let most = 0;
    let isFull = false;
    const passSync = (name: string): void => {
      if (name !== 'image-index.write' || !isFull) return;
      if (fs.readdirSync(path.join(directory, 'layers')).length <= most) return;
      throw new WardenError('NATIVE_FAILED', 'write: ENOSPC', { fields: { errno: 'ENOSPC' } });
    };
    const openFull = (): void => {
      store = open({ failpoints: { pass: () => undefined, passSync, forProgram: () => undefined } });
    };

    it('removes and collects images, whose layers go first', async () => {
      const base = [FILE];
      const kept = await store.import({ path: layout(base), name: 'kept' });
      await store.import({ path: layout(base, [{ name: 'big', content: 'b' }]), name: 'big' });
      await store.import({ path: layout([{ name: 'old', content: 'o' }]), name: 'again' });
      await store.import({ path: layout([{ name: 'new', content: 'n' }]), name: 'again' });
      [isFull, most] = [true, 3];
      openFull();
      expect((await store.remove('big')).bytes).toBeGreaterThan(0);
      most = 2;
      openFull();
      expect((await store.collect()).images.length).toBe(1);
      store = open();
      expect((await store.list()).map(({ names }) => names)).toEqual([['again:latest'], ['kept:latest']]);
      expect(
        fs.readFileSync(path.join(store.use('0123456789a', kept.id).layers[0]!, 'etc/hello'), 'utf8'),
      ).toBe('hello');
      // where that gives nothing back, nothing has changed
      most = 0;
      store = open();
      await store.import({ path: layout(base), name: 'kept:2' });
      openFull();
      await expect(store.remove('kept:2')).rejects.toMatchObject({ fields: { errno: 'ENOSPC' } });
      expect((await store.list()).find(({ id }) => id === kept.id)!.names).toEqual(['kept:2', 'kept:latest']);
    });

    it('removes what gives nothing back: one name of several, on a disk without a block', async () => {
      fs.mkdirSync(directory);
      const mount = ['-t', 'tmpfs', '-o', 'size=8m', 'warden-images', directory];
      expect(spawnSync('mount', mount).status).toBe(0);
      try {
        store = open();
        const { id } = await store.import({ path: layout([FILE]), name: 'one' });
        for (const name of ['two', 'three', 'four']) await store.import({ path: layout([FILE]), name });
        const filler = fs.openSync(path.join(directory, 'filler'), 'w');
        expect(() => {
          for (;;) fs.writeSync(filler, Buffer.alloc(4096, 1));
        }).toThrow(/ENOSPC/);
        fs.closeSync(filler);
        const there = async (): Promise<unknown> => (await store.list()).map((one) => [one.id, one.names]);
        // each removal leaves the room for the next one
        for (const name of ['two', 'three']) expect((await store.remove(name)).images).toEqual([]);
        store = open();
        await store.recover(new Set());
        expect(await there()).toEqual([[id, ['four:latest', 'one:latest']]]);
        // what could not be removed again is not added
        await expect(store.import({ path: layout([FILE]), name: 'x'.repeat(200) })).rejects.toMatchObject({
          fields: { errno: 'ENOSPC' },
        });
        expect(await there()).toEqual([[id, ['four:latest', 'one:latest']]]);
        expect((await store.remove(id)).images).toEqual([id]);
        expect([await there(), leftovers()]).toEqual([[], []]);
      } finally {
        expect(spawnSync('umount', ['-l', directory]).status).toBe(0);
      }
    });

    it('leaves nothing of an import', async () => {
      [isFull, most] = [false, 0];
      openFull();
      await store.import({ path: layout([FILE]), name: 'kept' });
      const before = leftovers();
      isFull = true;
      await expect(
        store.import({ path: layout([FILE], [{ name: 'big', content: 'b' }]), name: 'kept' }),
      ).rejects.toMatchObject({ fields: { errno: 'ENOSPC' } });
      expect(leftovers()).toEqual(before);
      expect((await store.list()).map(({ names }) => names)).toEqual([['kept:latest']]);
    });

    it('a removal that was cut off when its layers were gone is finished', async () => {
      const [one, two] = [
        await store.import({ path: layout([FILE], [{ name: 'one', content: '1' }]), name: 'one' }),
        await store.import({ path: layout([{ name: 'two', content: '2' }], []), name: 'two' }),
      ];
      store.use('0123456789a', 'two');
      for (const layer of [one.layers[1]!, two.layers[1]!])
        fs.rmSync(path.join(directory, 'layers', layer.slice(7, 39)), { recursive: true });
      store = open();
      await store.recover(new Set(['0123456789a']));
      expect((await store.list()).map(({ id }) => id)).toEqual([two.id]);
      // what a container stands on is not removed
      expect(leftovers()).toEqual([`layers/${two.layers[0]!.slice(7, 39)}`, 'uses/0123456789a']);
      await store.import({ path: layout([FILE], [{ name: 'one', content: '1' }]), name: 'one' });
    });
  });

  it('is as it was when a step fails', async () => {
    for (const at of [
      'image-import.staging',
      'image-import.unpack',
      'image-import.note',
      'image-import.layer',
      'image-import.index',
      'image-index.write',
    ]) {
      fs.rmSync(directory, { recursive: true, force: true });
      const fail = (name: string): void => {
        if (name === at) throw new WardenError('NATIVE_FAILED', `failed at ${at}`);
      };
      store = open({
        failpoints: { pass: async (name) => fail(name), passSync: fail, forProgram: () => undefined },
      });
      await expect(store.import({ path: layout([FILE]), name: 'x' }), at).rejects.toThrow(`failed at ${at}`);
      store = open();
      await store.recover(new Set());
      expect([await store.list(), leftovers()], at).toEqual([[], []]);
    }
  });
});
