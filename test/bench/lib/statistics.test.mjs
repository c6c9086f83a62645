import { expect, test } from 'vitest';
import { median, quantile, ratio, summary } from './statistics.mjs';

test('the median of an even number is between the two in the middle', () => {
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([9])).toBe(9);
});

test('quantiles are values that were measured', () => {
  const values = Array.from({ length: 100 }, (_, i) => i);
  expect(quantile(values, 0.1)).toBe(10);
  expect(quantile(values, 0.9)).toBe(90);
  expect(quantile([5], 0.9)).toBe(5);
  expect(() => quantile([], 0.5)).toThrow('no values');
  expect(summary(values)).toEqual({ n: 100, median: 49.5, p10: 10, p90: 90 });
});

test('a ratio is surer with steadier samples, and one outlier does not move it', () => {
  const steady = Array.from({ length: 50 }, (_, i) => 100 + (i % 3));
  const scattered = Array.from({ length: 50 }, (_, i) => 100 + 10 * (i % 30));
  const sure = ratio(steady, steady);
  const unsure = ratio(scattered, steady);
  expect(sure.value).toBe(1);
  expect(sure.high - sure.low).toBeLessThan(0.05);
  expect(unsure.high - unsure.low).toBeGreaterThan(0.2);
  expect(unsure.low).toBeLessThanOrEqual(unsure.value);
  expect(unsure.high).toBeGreaterThanOrEqual(unsure.value);
  expect(ratio([...steady, 1e9], steady).value).toBeCloseTo(1, 1);
  expect(ratio(scattered, steady)).toEqual(unsure);
});
