/**
 * How much longer than on a machine of today something may take: `WARDEN_TEST_PATIENCE`, a factor, for
 * emulated ones.
 */
const FACTOR = Number(process.env.WARDEN_TEST_PATIENCE ?? 1);

/** A deadline in milliseconds, stretched. */
export function patience(ms: number): number {
  return ms * FACTOR;
}
