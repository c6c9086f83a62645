import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { neededFiles } from './elf.ts';

const NUMBERS = fc.oneof(
  fc.bigInt({ min: 0n, max: 600n }),
  fc.constantFrom(2n ** 31n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n),
);

/** A header of the right kind, and segments of the types that are looked at, which point anywhere. */
const FILES = fc
  .tuple(
    fc.array(fc.tuple(fc.integer({ min: 0, max: 4 }), NUMBERS, NUMBERS, NUMBERS), { maxLength: 6 }),
    fc.array(fc.tuple(fc.constantFrom(0n, 1n, 5n), NUMBERS), { maxLength: 6 }),
    fc.uint8Array({ maxLength: 200 }),
    NUMBERS,
    fc.integer({ min: 0, max: 0xffff }),
  )
  .map(([segments, entries, rest, first, count]) => {
    const head = Buffer.alloc(64 + 56 * segments.length + 16 * entries.length);
    head.set([0x7f, 0x45, 0x4c, 0x46, 2, 1]);
    head.writeBigUInt64LE(first < 100n ? 64n : first, 32);
    head.writeUInt16LE(56, 54);
    head.writeUInt16LE(count % 3 === 0 ? count : segments.length, 56);
    segments.forEach(([type, offset, address, bytes], index) => {
      const at = 64 + 56 * index;
      head.writeUInt32LE(type, at);
      head.writeBigUInt64LE(offset, at + 8);
      head.writeBigUInt64LE(address, at + 16);
      head.writeBigUInt64LE(bytes, at + 32);
    });
    entries.forEach(([tag, value], index) => {
      const at = 64 + 56 * segments.length + 16 * index;
      head.writeBigUInt64LE(tag, at);
      head.writeBigUInt64LE(value, at + 8);
    });
    return Buffer.concat([head, rest]);
  });

describe('neededFiles (property)', () => {
  it('never throws, and answers nothing that does not stand in the file', () => {
    fc.assert(
      fc.property(FILES, (file) => {
        const { interpreter, libraries } = neededFiles(file);
        expect(libraries.length).toBeLessThanOrEqual(64);
        for (const name of [...libraries, ...(interpreter === undefined ? [] : [interpreter])]) {
          expect(name).not.toBe('');
          expect(file.includes(Buffer.from(`${name}\0`, 'latin1'))).toBe(true);
        }
      }),
    );
  });

  it('takes any bytes', () => {
    fc.assert(fc.property(fc.uint8Array(), (bytes) => void neededFiles(Buffer.from(bytes))));
  });
});
