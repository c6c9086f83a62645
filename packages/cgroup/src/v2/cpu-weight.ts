/**
 * Shares of v1 as weight of v2, by the quadratic formula current runtimes use (spec drivers.md 2.4): 1024
 * shares are weight 100.
 */
const MIN_SHARES = 2;
const MAX_SHARES = 262_144;
const MIN_WEIGHT = 1;
const MAX_WEIGHT = 10_000;

/** 1 to 10000. */
export function weightOf(shares: bigint): number {
  const value = Number(shares);
  if (value <= MIN_SHARES) return MIN_WEIGHT;
  if (value >= MAX_SHARES) return MAX_WEIGHT;
  const log = Math.log2(value);
  return Math.ceil(10 ** ((log ** 2 + 125 * log) / 612 - 7 / 34));
}

/**
 * Shares that have this weight. Several may: the answer is the roundest of them in binary, which gives the
 * usual 512, 1024, 2048 back.
 */
export function sharesOf(weight: number): bigint {
  const lowest = firstWithWeight(weight);
  const highest = Math.max(lowest, firstWithWeight(weight + 1) - 1);
  for (let step = MAX_SHARES; ; step /= 2) {
    const round = Math.ceil(lowest / step) * step;
    if (round <= highest) return BigInt(round);
  }
}

/** The fewest shares with at least that weight. */
function firstWithWeight(weight: number): number {
  let [low, high] = [MIN_SHARES, MAX_SHARES + 1];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (middle > MAX_SHARES || weightOf(BigInt(middle)) >= weight) high = middle;
    else low = middle + 1;
  }
  return low;
}
