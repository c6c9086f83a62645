/** Medians, and how sure a change is beside the change of something that should not have changed. */

/** The middle value. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** The value below which the share `q` of all lies. */
export function quantile(values: readonly number[], q: number): number {
  if (values.length === 0) throw new RangeError('no values');
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!;
}

/** Times of what is watched and of the floor, taken in turns. */
export interface Phase {
  readonly watched: readonly number[];
  readonly floor: readonly number[];
}

/**
 * How much slower the watched has become, after what the machine has become slower by; the bounds hold with
 * 95 % certainty.
 */
export interface Change {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

const RESAMPLES = 2_000;

/**
 * (median watched late ÷ early) ÷ (median floor late ÷ early). The bounds are a bootstrap's: the samples are
 * drawn again from themselves, and few or scattered ones give wide bounds.
 */
export function change(early: Phase, late: Phase): Change {
  const random = pseudoRandom();
  const again = (values: readonly number[]): number[] =>
    values.map(() => values[Math.floor(random() * values.length)]!);
  const ratio = (pick: (values: readonly number[]) => readonly number[]): number =>
    median(pick(late.watched)) /
    median(pick(early.watched)) /
    (median(pick(late.floor)) / median(pick(early.floor)));
  const ratios = Array.from({ length: RESAMPLES }, () => ratio(again));
  return { value: ratio((values) => values), low: quantile(ratios, 0.025), high: quantile(ratios, 0.975) };
}

/** Numbers in [0, 1) that are the same in every run. */
function pseudoRandom(): () => number {
  let state = 0x9e3779b9;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** Least-squares slope of `values` over `at`: growth per unit. */
export function slope(at: readonly number[], values: readonly number[]): number {
  const mean = (list: readonly number[]): number => list.reduce((sum, one) => sum + one, 0) / list.length;
  const [x, y] = [mean(at), mean(values)];
  const over = at.reduce((sum, one, i) => sum + (one - x) * (values[i]! - y), 0);
  const under = at.reduce((sum, one) => sum + (one - x) ** 2, 0);
  return under === 0 ? 0 : over / under;
}
