import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ControlOperation, controlFiles, controlFilesOnThread } from './control-files.ts';

let directory: string;
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-control-'));
  fs.mkdirSync(path.join(directory, 'inner'));
  fs.writeFileSync(path.join(directory, 'above'), 'of the one above\n');
  fs.writeFileSync(path.join(directory, 'inner/limit'), '1234\n');
  fs.writeFileSync(path.join(directory, 'inner/empty'), '');
});
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

const inner = (): string => path.join(directory, 'inner');
const descriptors = (): number => fs.readdirSync('/proc/self/fd').length;

describe.each([
  ['at once', async (path: string, all: readonly ControlOperation[]) => controlFiles(path, all)],
  ['on a thread', controlFilesOnThread],
])('control files %s', (_how, call) => {
  it('are read and written in order, and what fails keeps nothing else from being done', async () => {
    const before = descriptors();
    const answers = await call(inner(), [
      ['limit'],
      ['none'],
      ['limit', '-1'],
      ['none', '1'],
      ['limit'],
      ['empty'],
      ['../above'],
      ['.'],
    ]);
    expect(answers).toEqual([
      { text: '1234\n' },
      { errno: 'ENOENT' },
      { text: '' },
      { errno: 'ENOENT' },
      { text: '-134\n' }, // nobody cuts a control file off
      { text: '' },
      { text: 'of the one above\n' },
      { errno: 'EISDIR' },
    ]);
    expect(descriptors()).toBe(before);
  });

  it('may be none', async () => {
    expect(await call(inner(), [])).toEqual([]);
  });

  it('are read whole or not at all, and the next ones still are', async () => {
    fs.writeFileSync(path.join(inner(), 'large'), 'x'.repeat(40_000));
    fs.writeFileSync(path.join(inner(), 'long'), 'y'.repeat(20_000));
    expect(await call(inner(), [['long'], ['large'], ['limit']])).toEqual([
      { text: 'y'.repeat(20_000) },
      { errno: 'EOVERFLOW' },
      { text: '1234\n' },
    ]);
  });

  it('that are too many are told', async () => {
    const all = Array.from({ length: 10_000 }, (): ControlOperation => ['limit']);
    await expect(call(inner(), all)).rejects.toMatchObject({ fields: { errno: 'EOVERFLOW' } });
  });

  it('of a directory that is not there are told, and wrong use is a TypeError', async () => {
    expect(await call(path.join(directory, 'gone'), [['limit'], ['limit', '1']])).toEqual([
      { errno: 'ENOENT' },
      { errno: 'ENOENT' },
    ]);
    const long = 'n'.repeat(4_095);
    expect(await call(inner(), [[long], ['limit'], [long, '1']])).toEqual([
      { errno: 'ENAMETOOLONG' },
      { text: '1234\n' },
      { errno: 'ENAMETOOLONG' },
    ]);
    await expect(call(`/${long.slice(1)}`, [['limit']])).rejects.toMatchObject({
      code: 'NATIVE_FAILED',
      fields: { operation: 'control-files', errno: 'ENAMETOOLONG' },
    });
    await expect(call(inner(), [['limit', '']])).rejects.toThrow(TypeError);
    await expect(call(inner(), [['a\0b']])).rejects.toThrow(TypeError);
    await expect(call(inner(), [['limit', '1\x002']])).rejects.toThrow(TypeError);
    await expect(call(inner(), [['']])).rejects.toThrow(TypeError);
  });
});
