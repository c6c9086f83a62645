import { describe, expect, it } from 'vitest';
import {
  addressBytes,
  formatAddress,
  mergeRanges,
  networkOf,
  parseAddress,
  parseRange,
  withoutReserved,
} from './ipv4-address.ts';

describe('parseAddress', () => {
  it('takes dotted quads', () => {
    expect(parseAddress('10.254.0.1')).toBe(0x0afe0001);
    expect(parseAddress('255.255.255.255')).toBe(0xffffffff);
    expect(formatAddress(0x0afe0001)).toBe('10.254.0.1');
    expect(addressBytes(0xcb007101).toString('hex')).toBe('cb007101');
  });

  it.each([
    '',
    '1.2.3',
    '1.2.3.256',
    '01.2.3.4',
    '1.2.3.4 ',
    '1.2.3.4\n',
    '0/0; flush ruleset',
    '::1',
    '1.2.3.-4',
  ])('refuses %j', (text) => {
    expect(() => parseAddress(text)).toThrow(expect.objectContaining({ code: 'INVALID_SPEC' }));
  });
});

describe('parseRange', () => {
  it.each([
    ['1.2.3.4', '1.2.3.4', '1.2.3.4'],
    ['10.254.3.9/22', '10.254.0.0', '10.254.3.255'],
    ['0.0.0.0/0', '0.0.0.0', '255.255.255.255'],
    ['1.1.1.1-1.1.2.0', '1.1.1.1', '1.1.2.0'],
  ])('reads %s', (text, first, last) => {
    const range = parseRange(text);
    expect([formatAddress(range.first), formatAddress(range.last)]).toEqual([first, last]);
  });

  it.each([
    '1.2.3.4/33',
    '1.2.3.4/',
    '1.2.3.4/-1',
    '1.2.3.4-1.2.3.3',
    '1.2.3.4-',
    '-1.2.3.4',
    '1.2.3.4 -j ACCEPT',
  ])('refuses %j', (text) => {
    expect(() => parseRange(text)).toThrow(expect.objectContaining({ code: 'INVALID_SPEC' }));
  });
});

describe('reserved ranges', () => {
  const reserved = [parseRange('169.254.0.0/16'), parseRange('100.100.100.200')];
  const cut = (text: string): string[] =>
    withoutReserved(parseRange(text), reserved).map(
      ({ first, last }) => `${formatAddress(first)}-${formatAddress(last)}`,
    );

  it.each([
    ['10.0.0.0/8', ['10.0.0.0-10.255.255.255']],
    ['169.254.169.254', ['169.254.169.254-169.254.169.254']],
    ['169.254.0.0/16', ['169.254.0.0-169.254.255.255']],
    ['169.254.0.0/15', ['169.255.0.0-169.255.255.255']],
    ['169.253.0.0-169.254.0.0', ['169.253.0.0-169.253.255.255']],
    ['169.254.255.255-169.255.0.0', ['169.255.0.0-169.255.0.0']],
    [
      '0.0.0.0/0',
      ['0.0.0.0-100.100.100.199', '100.100.100.201-169.253.255.255', '169.255.0.0-255.255.255.255'],
    ],
    ['100.100.100.200-169.254.0.0', ['100.100.100.201-169.253.255.255']],
  ])('are cut out of %s, unless it lies within one of them', (text, parts) => {
    expect(cut(text)).toEqual(parts);
  });
});

describe('mergeRanges', () => {
  it('joins what overlaps or touches', () => {
    const texts = ['10.0.2.0/24', '10.0.0.0/24', '10.0.0.128-10.0.1.255', '192.0.2.1', '10.0.0.5'];
    expect(mergeRanges(texts.map(parseRange))).toEqual([
      parseRange('10.0.0.0-10.0.2.255'),
      parseRange('192.0.2.1'),
    ]);
  });

  it('finds the block of an address', () => {
    expect(networkOf(parseAddress('10.254.0.6'), 30)).toEqual(parseRange('10.254.0.4-10.254.0.7'));
    expect(networkOf(parseAddress('203.0.113.9'), 0)).toEqual(parseRange('0.0.0.0/0'));
  });
});
