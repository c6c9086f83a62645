// Medians, spreads, and how sure a ratio of two medians is.

/** The value below which the share `q` of all lies. */
export function quantile(values, q) {
  if (values.length === 0) throw new RangeError('no values');
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
}

/** The middle value, or the mean of the two in the middle. */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** Number, median and spread. */
export function summary(values) {
  return {
    n: values.length,
    median: median(values),
    p10: quantile(values, 0.1),
    p90: quantile(values, 0.9),
  };
}

/** Numbers in [0, 1) that are the same in every run. */
function* pseudoRandom() {
  for (let state = 0x9e3779b9; ; ) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    yield (state >>> 0) / 2 ** 32;
  }
}

const RESAMPLES = 1_000;

/**
 * median(over) / median(under) with the bounds within which it lies with 95 % certainty (bootstrap: the
 * samples are drawn again from themselves). Few or scattered samples give wide bounds, which is how a busy
 * machine shows.
 */
export function ratio(over, under) {
  const random = pseudoRandom();
  const again = (values) => values.map(() => values[Math.floor(random.next().value * values.length)]);
  const ratios = Array.from({ length: RESAMPLES }, () => median(again(over)) / median(again(under)));
  return {
    value: median(over) / median(under),
    low: quantile(ratios, 0.025),
    high: quantile(ratios, 0.975),
  };
}
