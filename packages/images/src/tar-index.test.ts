import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { WardenError } from '@warden/interface';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Entry, tar } from '../test/image-files.ts';
import { type IndexedEntry, indexTar } from './tar-index.ts';

let file: string;
beforeEach(() => {
  file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'warden-tar-')), 'archive');
});
afterEach(() => fs.rmSync(path.dirname(file), { recursive: true }));

async function index(archive: Buffer): Promise<ReadonlyMap<string, IndexedEntry>> {
  fs.writeFileSync(file, archive);
  const handle = await fs.promises.open(file);
  try {
    return await indexTar(handle, archive.length);
  } finally {
    await handle.close();
  }
}

const extended = (content: string): readonly Entry[] => [
  { name: 'pax', type: 'x', content },
  { name: 'short', content: 'x' },
];

describe('the index of an archive', () => {
  it('has the names and lengths that extended headers give', async () => {
    const found = await index(tar([{ name: 'short', content: 'x', pax: { path: 'a/long', size: '1' } }]));
    expect([...found]).toEqual([['a/long', { offset: 1_536, size: 1 }]]);
  });

  // from a fraction the next record would begin where the last one ends: for ever
  it.each([
    '3.5 ',
    '3.5 \n',
    '1e1 path=a\n',
    '0xa path=a\n',
    ' 9 path=a\n',
    '-9 path=a\n',
    '99 path=a\n',
    'path=a\n',
  ])('is refused for the extended header %j', async (content) => {
    await expect(index(tar(extended(content)))).rejects.toMatchObject({ code: 'INVALID_SPEC' });
  });

  it('is made, or refused, whatever the extended headers are', async () => {
    const text = fc.array(fc.constantFrom(...'0123456789. e=xpathsize\n-'), { maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(text, async (characters) => {
        const found = await index(tar(extended(characters.join('')))).catch((error: unknown) => error);
        expect(found instanceof Map || found instanceof WardenError).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it('is made, or refused, whatever a byte of the archive becomes', async () => {
    const whole = tar([
      { name: 'one', content: 'x', pax: { path: 'long/one' } },
      { name: 'two', type: '1', link: 'one' },
    ]);
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), fc.nat(255), async (at, byte) => {
        const damaged = Buffer.from(whole);
        damaged[at] = byte;
        const found = await index(damaged).catch((error: unknown) => error);
        expect(found instanceof Map || found instanceof WardenError).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});
