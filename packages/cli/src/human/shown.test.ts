import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ShownStream, shown, shownLines } from './shown.ts';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8');

describe('text that is not trusted', () => {
  it.each([
    ['plain ümläut 漢字', 'plain ümläut 漢字'],
    ['\x1b]0;title\x07', '\\x1b]0;title\\x07'],
    ['a\nb\tc', 'a\\x0ab\\x09c'],
    ['\u202eevil', '\\u202eevil'],
    ['\u009b31m', '\\x9b31m'],
    ['\udcff', '\\xff'],
    ['\u{e0001}', '\\u{e0001}'],
  ])('%j gives no orders', (given, expected) => {
    expect(shown(given)).toBe(expected);
  });

  it('keeps lines where there are several', () => {
    expect(shownLines('a\n\tb\x1b[2J\r')).toBe('a\n\tb\\x1b[2J\\x0d');
  });

  it('is the same in whatever pieces it comes, and never a control character', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.array(fc.nat(7), { maxLength: 10 }), (bytes, cuts) => {
        const whole = new ShownStream();
        const expected = text(whole.take(bytes)) + text(whole.end());
        const stream = new ShownStream();
        let [at, pieces] = [0, ''];
        for (const length of [...cuts, bytes.length]) {
          pieces += text(stream.take(bytes.subarray(at, at + length)));
          at += length;
        }
        expect(pieces + text(stream.end())).toBe(expected);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: it is what is looked for
        expect(expected).not.toMatch(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/);
      }),
    );
  });

  it('knows characters and line ends that are cut', () => {
    const stream = new ShownStream();
    const pieces = [[0xe6, 0xbc], [0xa2, 0x0d], [0x0a, 0xff], [0xf0, 0x9f, 0x98], [0x80]].map((piece) =>
      text(stream.take(Uint8Array.from(piece))),
    );
    expect(pieces).toEqual(['', '漢', '\n\\xff', '', '😀']);
    expect(text(stream.take(Uint8Array.of(0xf0, 0x9f)))).toBe('');
    expect(text(stream.end())).toBe('\\xf0\\x9f');
  });
});
