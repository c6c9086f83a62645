import { WardenError } from '@warden/interface';
import { describe, expect, it } from 'vitest';
import { assertComplete, assertWardenError } from './laws.ts';

describe('the law of errors', () => {
  const driver = {
    usage: async () => 1n,
    limits: () =>
      Promise.reject(new WardenError('UNSUPPORTED', 'limits: none', { fields: { operation: 'limits' } })),
  };

  it('tells the author which call did not fail, and by what it should have', async () => {
    await expect(assertWardenError(() => driver.usage(), ['UNSUPPORTED', 'INVALID_SPEC'])).rejects.toThrow(
      /^Missing expected rejection.*: .*driver\.usage\(\).* must fail, by UNSUPPORTED or INVALID_SPEC$/,
    );
  });

  it('takes an error of a code that is expected, and no other', async () => {
    await assertWardenError(() => driver.limits(), ['UNSUPPORTED']);
    await expect(assertWardenError(() => driver.limits(), ['INVALID_SPEC'])).rejects.toThrow(
      'code UNSUPPORTED, expected one of INVALID_SPEC: limits: none',
    );
  });
});

describe('the law of completeness', () => {
  const members = { methods: ['probe', 'plan'], supports: ['limits'] };
  const driver = { name: 'mine', supports: { limits: false }, probe() {}, plan() {} };

  it('takes a driver that has everything, and names what one lacks', () => {
    assertComplete(driver, members);
    const lacking = (change: object): unknown => assertComplete({ ...driver, ...change }, members);
    expect(() => lacking({ plan: undefined })).toThrow('the driver has no method plan');
    expect(() => lacking({ plan: 7 })).toThrow('the driver has no method plan');
    expect(() => lacking({ supports: {} })).toThrow('supports does not say limits');
    expect(() => lacking({ name: '' })).toThrow('the driver has no name');
  });
});
