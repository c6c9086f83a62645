import type { ErrorCode } from '@warden/interface';
import { isWardenError } from '@warden/interface';
import { describe, expect, it } from 'vitest';
import { egressRule } from './net.ts';

function codeOf(action: () => unknown): ErrorCode | undefined {
  try {
    action();
  } catch (error) {
    return isWardenError(error) ? error.code : undefined;
  }
  return undefined;
}

describe('the name in an egress rule', () => {
  it.each([
    ['registry.example.org', 'registry.example.org'],
    ['Registry.Example.ORG.', 'registry.example.org'],
    ['*.example.org', '*.example.org'],
    ['_srv.a-b.example', '_srv.a-b.example'],
    ['intranet', 'intranet'],
    ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
    [`${'a'.repeat(63)}.example`, `${'a'.repeat(63)}.example`],
  ])('can be %s', (given, kept) => {
    expect(egressRule({ domain: given, port: 443 })).toEqual({
      protocol: 'tcp',
      log: false,
      domain: kept,
      ports: { first: 443, last: 443 },
    });
  });

  it.each([
    '',
    '.',
    '*',
    '*.',
    '**.example',
    'a.*.example',
    '*example.org',
    'a..b',
    '.example',
    '-a.example',
    'a-.example',
    'a b.example',
    'a\0.example',
    'bücher.example',
    '192.0.2.1',
    '*.1',
    `${'a'.repeat(64)}.example`,
    Array.from({ length: 64 }, () => 'abc').join('.'),
    "x' } ; flush ruleset",
  ])('cannot be %j', (domain) => {
    expect(codeOf(() => egressRule({ domain }))).toBe('INVALID_SPEC');
  });

  it('is enough for a rule, and goes with a network and ports', () => {
    expect(egressRule({ domain: 'a.test' })).toEqual({ protocol: 'tcp', log: false, domain: 'a.test' });
    expect(egressRule({ domain: 'a.test', network: '10.0.0.0/8', portRange: '80:90' })).toMatchObject({
      domain: 'a.test',
      network: { first: '10.0.0.0', last: '10.255.255.255' },
      ports: { first: 80, last: 90 },
    });
  });
});
