import { describe, expect, it } from 'vitest';
import { sharesOf, weightOf } from './cpu-weight.ts';

describe('the weight of shares (spec drivers.md 2.4)', () => {
  it.each([
    [0n, 1],
    [2n, 1],
    [100n, 17],
    [256n, 35],
    [512n, 59],
    [1_024n, 100],
    [2_048n, 174],
    [10_240n, 639],
    [262_144n, 10_000],
    [1n << 64n, 10_000],
  ])('%i shares are weight %i', (shares, weight) => {
    expect(weightOf(shares)).toBe(weight);
  });

  it('is answered as shares that have it, for every weight', () => {
    for (let weight = 1; weight <= 10_000; weight++) expect(weightOf(sharesOf(weight))).toBe(weight);
  });

  it.each([2n, 256n, 512n, 1_024n, 2_048n, 262_144n])('gives %i shares back', (shares) => {
    expect(sharesOf(weightOf(shares))).toBe(shares);
  });
});
