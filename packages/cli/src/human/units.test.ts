import { describe, expect, it } from 'vitest';
import { ageText, parseDuration, parsePairs, parseSize, parseWhole, sizeText } from './units.ts';

describe('sizes and times', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [1536n, '1.5 KiB'],
    [1024 ** 2 - 1, '1.0 MiB'],
    [200 * 1024 ** 2, '200 MiB'],
    [2n ** 63n, '8.0 EiB'],
  ])('writes %s bytes as %s', (bytes, expected) => {
    expect(sizeText(bytes)).toBe(expected);
  });

  it.each([
    ['1000', 1000n],
    ['64m', 67_108_864n],
    ['1.5K', 1536n],
    ['2GiB', 2_147_483_648n],
    ['3kb', 3072n],
  ])('reads the size %s', (text, expected) => {
    expect(parseSize(text, '--memory')).toBe(expected);
  });

  it.each([
    ['30', 30_000],
    ['500ms', 500],
    ['1.5s', 1500],
    ['5m', 300_000],
    ['2h', 7_200_000],
    ['1d', 86_400_000],
  ])('reads the time %s', (text, expected) => {
    expect(parseDuration(text, '--timeout')).toBe(expected);
  });

  it('refuses what is none, and names the flag', () => {
    for (const text of ['', '-1', '1x', '1e9', '9999999t', 'm'])
      expect(() => parseSize(text, '--memory')).toThrow('--memory: ');
    for (const text of ['', '0', '-1', '25d', '1y'])
      expect(() => parseDuration(text, '--timeout')).toThrow('--timeout: ');
    for (const text of ['', '1.5', '0', '11', '0x5'])
      expect(() => parseWhole(text, '-n', [1, 10])).toThrow('-n: ');
    for (const text of ['', 'a', '=b']) expect(() => parsePairs([text], '--env')).toThrow('--env: ');
  });

  it('takes any name of a pair, and the last value', () => {
    expect({ ...parsePairs(['__proto__=1', 'a=b=c', 'a='], '--env') }).toEqual({ ['__proto__']: '1', a: '' });
  });

  it.each([
    [0, '0 s'],
    [119_000, '119 s'],
    [120_000, '2 min'],
    [7_200_000, '2 h'],
    [172_800_000, '2 d'],
  ])('writes %s ms as %s', (ms, expected) => {
    expect(ageText(ms)).toBe(expected);
  });
});
