/** Shares of v1 as weight of v2, by the quadratic formula current runtimes use (spec drivers.md 2.4): 1024 shares are weight 100. */
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
