import { describe, expect, it } from 'vitest';
import { change, median, quantile, slope } from './statistics.ts';

/** Around `middle`, scattered by a fifth, the same in every run. */
function scattered(middle: number, count = 100): number[] {
  return Array.from({ length: count }, (_, at) => middle * (0.9 + ((at * 37) % 100) / 500));
}

describe('a change beside the floor', () => {
  it('is none on a machine that became slower for both', () => {
    const { value, low, high } = change(
      { watched: scattered(20), floor: scattered(5) },
      { watched: scattered(40), floor: scattered(10) },
    );
    expect(value).toBeCloseTo(1, 5);
    expect(low).toBeGreaterThan(0.9);
    expect(high).toBeLessThan(1.1);
  });

  it('is certain when the watched alone became slower by a quarter', () => {
    const { low } = change(
      { watched: scattered(20), floor: scattered(5) },
      { watched: scattered(25), floor: scattered(5) },
    );
    expect(low).toBeGreaterThan(1.1);
  });

  it('has wide bounds when there are few samples', () => {
    const few = { watched: [10, 20, 40], floor: [1, 2, 4] };
    const { low, high } = change(few, few);
    expect(low).toBeLessThan(0.6);
    expect(high).toBeGreaterThan(1.6);
  });
});

describe('medians and slopes', () => {
  it('are those of the sorted values', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(quantile([5, 1, 4, 2, 3], 0.95)).toBe(5);
    expect(() => median([])).toThrow(RangeError);
  });

  it('tell growth per unit', () => {
    expect(slope([0, 10, 20], [100, 105, 110])).toBeCloseTo(0.5, 10);
    expect(slope([1], [7])).toBe(0);
  });
});
