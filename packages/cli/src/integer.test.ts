import { describe, expect, it } from 'vitest';
import { parseInteger } from './integer.ts';

describe('parseInteger', () => {
  it.each([
    ['0', 0n],
    ['-1', -1n],
    ['+7', 7n],
    ['1_000', 1000n],
    ['0x1F', 31n],
    ['0b101', 5n],
    ['017', 15n],
    ['0o17', 15n],
    ['-0x10', -16n],
  ])('takes the literal %s: decimal, sign, _ between digits, 0x, 0b, 0 and 0o [cli 3.1]', (text, value) => {
    expect(parseInteger(text, 'int32', '--number')).toBe(value);
  });

  it.each(['', 'a', '1.0', '08', '1__0', '_1', '1_', '0x', '1 2', '--1'])(
    'refuses %j with the text of Integer() [cli 3.1]',
    (text) => {
      expect(() => parseInteger(text, 'int32', '--number')).toThrow(`invalid value for Integer(): "${text}"`);
    },
  );

  it.each([
    ['-1', 'uint32'],
    ['4294967296', 'uint32'],
    ['18446744073709551616', 'uint64'],
    ['2147483648', 'int32'],
  ] as const)('says that %s is out of the range of %s, `of of` included [cli 3.1]', (text, type) => {
    expect(() => parseInteger(text, type, '--number')).toThrow(`Value of of range: ${text}`);
  });

  it('takes the whole range of 64 bits [cli 3.1]', () => {
    expect(parseInteger('18446744073709551615', 'uint64', '--number')).toBe(2n ** 64n - 1n);
  });
});
