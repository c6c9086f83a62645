/** A disk that fails once (EIO): nothing is reported that is not so, and the next try finds nothing in its way. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { ImageStore } from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { tar, writeLayout } from '../test/image-files.ts';
import { isRoot, openStore } from '../test/registries.ts';

/** Directories, by the end of their path, whose entries cannot be put on the disk. */
const failing = vi.hoisted(() => new Set<string>());
vi.mock('@warden/native', async (original) => {
  const native = await original<typeof import('@warden/native')>();
  const { WardenError } = await import('@warden/interface');
  return {
    ...native,
    syncDirectory: (directory: string): void => {
      if (failing.delete(directory.split('/').pop()!))
        throw new WardenError('NATIVE_FAILED', `sync-directory ${directory}: EIO`, {
          fields: { operation: 'sync-directory', object: directory, errno: 'EIO' },
        });
      native.syncDirectory(directory);
    },
  };
});

let scratch: string;
let directory: string;
let image: string;
let store: ImageStore;

beforeEach(() => {
  scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-images-'));
  directory = path.join(scratch, 'store');
  image = path.join(scratch, 'image');
  writeLayout(image, { layers: [tar([{ name: 'hello', content: 'hello' }])] });
  store = openStore(directory);
});
afterEach(() => {
  vi.restoreAllMocks();
  failing.clear();
  fs.rmSync(scratch, { recursive: true, force: true });
});

function importIt(): ReturnType<ImageStore['import']> {
  return store.import({ path: image, name: 'one' });
}

function madeThere(): string[] {
  return ['layers', 'staging'].flatMap((name) => fs.readdirSync(path.join(directory, name)));
}

/** The next call of `fs` fails. */
function failOnce(call: 'fsyncSync' | 'fdatasyncSync'): void {
  vi.spyOn(fs, call).mockImplementationOnce(() => {
    throw Object.assign(new Error(`EIO: i/o error, ${call}`), { code: 'EIO', errno: -5 });
  });
}

describe.runIf(isRoot)('the store of images on a disk that fails once [needs: root]', () => {
  it('a layer whose place is not on the disk is none: the next import makes it anew', async () => {
    await importIt();
    await store.remove('one');
    failing.add('layers');
    await expect(importIt()).rejects.toMatchObject({ code: 'NATIVE_FAILED', fields: { errno: 'EIO' } });
    expect(madeThere()).toEqual([]);
    expect(await store.list()).toEqual([]);
    expect((await importIt()).names).toEqual(['one:latest']);
  });

  it('a note of a layer that is not on the disk is told with its name, and nothing is left', async () => {
    failOnce('fdatasyncSync'); // the first thing that the daemon itself puts there
    await expect(importIt()).rejects.toMatchObject({
      code: 'NATIVE_FAILED',
      message: expect.stringMatching(/layer\.json/),
      fields: { operation: 'write', object: expect.stringMatching(/layer\.json$/), errno: 'EIO' },
    });
    expect(madeThere()).toEqual([]);
    expect((await importIt()).names).toEqual(['one:latest']);
  });

  it('an import whose index may not be on the disk is refused and taken back', async () => {
    await store.import({ path: image, name: 'other' });
    await store.remove('other'); // the spare is there from now on: the next change writes the index alone
    failing.add('store');
    await expect(importIt()).rejects.toMatchObject({ code: 'NATIVE_FAILED', fields: { errno: 'EIO' } });
    expect(await store.list()).toEqual([]);
    expect(madeThere()).toEqual([]);
    expect((await importIt()).names).toEqual(['one:latest']);
  });

  it('a removal whose index may not be on the disk keeps no layer that no image has', async () => {
    await importIt();
    failing.add('store');
    await expect(store.remove('one')).rejects.toMatchObject({ fields: { errno: 'EIO' } });
    expect(await store.list()).toEqual([]);
    expect(madeThere()).toEqual([]);
    expect((await importIt()).names).toEqual(['one:latest']);
  });

  it('a removal that could not be written has removed nothing', async () => {
    const info = await importIt();
    failOnce('fdatasyncSync');
    await expect(store.remove('one')).rejects.toMatchObject({
      fields: { operation: 'write', object: path.join(directory, 'index.json'), errno: 'EIO' },
    });
    expect(await store.list()).toEqual([info]);
    expect(madeThere()).toHaveLength(1);
    await store.remove('one');
    expect(madeThere()).toEqual([]);
  });

  it('what a pull has left and cannot be removed is told, and ends nobody', async () => {
    await importIt();
    const left = path.join(directory, 'downloads', 'left');
    fs.mkdirSync(path.dirname(left), { recursive: true });
    fs.writeFileSync(left, 'left');
    vi.spyOn(fs, 'renameSync').mockImplementationOnce(() => {
      throw Object.assign(new Error('EIO: i/o error, rename'), { code: 'EIO', errno: -5 });
    });
    await expect(store.collect()).rejects.toMatchObject({
      code: 'NATIVE_FAILED',
      fields: { operation: 'remove', object: left, errno: 'EIO' },
    });
    await store.collect();
    expect(fs.existsSync(left)).toBe(false);
  });

  it('the note is in its directory before the layer gets its place, and the place is before the index', async () => {
    const order: string[] = [];
    const rename = fs.renameSync;
    const sync = fs.fdatasyncSync;
    vi.spyOn(fs, 'fdatasyncSync').mockImplementation((descriptor) => {
      order.push(`sync ${path.basename(fs.readlinkSync(`/proc/self/fd/${descriptor}`))}`);
      sync(descriptor);
    });
    vi.spyOn(fs, 'renameSync').mockImplementation((from, to) => {
      order.push(`name ${path.relative(directory, String(to)).replace(/[0-9a-f]{16,}/, 'ID')}`);
      rename(from, to);
    });
    await importIt();
    expect(order.filter((step) => !step.includes('spare'))).toEqual([
      'sync layer.json.new',
      'name staging/ID/layer.json',
      'name layers/ID',
      'sync index.json.new',
      'name index.json',
    ]);
  });
});
