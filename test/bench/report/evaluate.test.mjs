import { describe, expect, test } from 'vitest';
import { Samples } from '../lib/samples.mjs';
import { compare, evaluate, isMet, restlessness } from './evaluate.mjs';
import { rows } from './rows.mjs';

const lower = { id: 'a', over: 'x', under: 'y', most: 3 };
const higher = { id: 'b', over: 'x', under: 'y', least: 2 };
const at = (value, half = 0.05, n = 10) => ({ value, low: value - half, high: value + half, n });

function samplesOf(values) {
  const samples = new Samples();
  for (const [name, all] of Object.entries(values)) for (const value of all) samples.add(name, value);
  return samples;
}

describe('evaluate', () => {
  test('a ratio is that of the medians, an absolute value is scaled', () => {
    const samples = samplesOf({ x: [10, 20, 30], y: [5, 5, 5] });
    expect(evaluate(lower, samples).value).toBe(4);
    expect(evaluate({ over: 'x', scale: 0.1, isAbsolute: true }, samples).value).toBe(2);
  });

  test('what was not measured has no value and meets nothing', () => {
    expect(evaluate(lower, samplesOf({ x: [1] }))).toBeUndefined();
    expect(isMet(lower, undefined)).toBeUndefined();
  });

  test('targets are met from their side', () => {
    expect(isMet(lower, at(3))).toBe(true);
    expect(isMet(lower, at(3.1))).toBe(false);
    expect(isMet(higher, at(2))).toBe(true);
    expect(isMet(higher, at(1.9))).toBe(false);
    expect(isMet({ over: 'x' }, at(1))).toBeUndefined();
  });
});

describe('the comparison with the baseline', () => {
  test('up to a quarter worse is as before, in both directions', () => {
    expect(compare(lower, at(2.49), 2)).toBe('as before');
    expect(compare(higher, at(8.01), 10)).toBe('as before');
  });

  test('more than a quarter worse fails when it is certain', () => {
    expect(compare(lower, at(2.6), 2)).toBe('worse');
    expect(compare(higher, at(7.5), 10)).toBe('worse');
  });

  test('scattered samples are uncertain, not worse', () => {
    expect(compare(lower, at(2.6, 0.5), 2)).toBe('uncertain');
    expect(compare(higher, at(7.5, 1), 10)).toBe('uncertain');
  });

  test('a few samples are uncertain, however close together', () => {
    expect(compare(lower, at(2.6, 0.05, 4), 2)).toBe('uncertain');
    expect(compare(lower, at(2.6, 0.05, 5), 2)).toBe('worse');
  });

  test('better is never worse', () => {
    expect(compare(lower, at(0.5), 2)).toBe('as before');
    expect(compare(higher, at(50), 10)).toBe('as before');
  });

  test('absolute values and rows without a baseline are not compared', () => {
    expect(compare({ ...lower, isAbsolute: true }, at(99), 1)).toBe('not compared');
    expect(compare(lower, at(99), undefined)).toBe('not compared');
  });
});

describe('the restless machine', () => {
  test('a floor that scatters, or a queue before the processors', () => {
    const steady = samplesOf({ 'floor create': [10, 10, 11, 11, 12, 12, 12, 13, 13, 14] });
    const wild = samplesOf({ 'floor create': [10, 10, 11, 11, 12, 12, 60, 70, 80, 90] });
    expect(restlessness(steady, 0.5, 2)).toBeUndefined();
    expect(restlessness(wild, 0.5, 2)).toMatch('scatter');
    expect(restlessness(steady, 5, 2)).toMatch('waited');
  });
});

describe('the table of rows', () => {
  test.each([true, false])('no two rows have one name (short form: %s)', (isShort) => {
    const ids = rows(isShort).map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test('absolute values have no second side, ratios have one', () => {
    for (const row of rows(false)) expect(row.under === undefined, row.id).toBe(row.isAbsolute === true);
  });
});
