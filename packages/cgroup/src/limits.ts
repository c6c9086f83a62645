/** Numbers both versions share. */

/** What v1 answers for a group that was never limited; v2's `max` is answered with it too (DECISIONS). */
export const UNLIMITED_MEMORY = 9_223_372_036_854_771_712n;
export const DEFAULT_SHARES = 1_024n;
const MIN_SHARES = 2n;
const MAX_SHARES = 262_144n;

/** Shares as the kernel would keep them. */
export function clampShares(shares: bigint): bigint {
  if (shares < MIN_SHARES) return MIN_SHARES;
  return shares > MAX_SHARES ? MAX_SHARES : shares;
}
