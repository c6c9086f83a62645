import { remainingLeaks, type TestDaemon, type takeInventory } from '@warden/test-harness';
import { expect } from 'vitest';

/**
 * Ends the daemon of a test, the last one where there were several, removes its place, and expects that
 * nothing else is left than there was `before`. Lines about daemons are left out: then another one was
 * running.
 */
export async function endCleanly(
  daemon: TestDaemon,
  before: ReturnType<typeof takeInventory>,
): Promise<void> {
  const { place } = daemon;
  await daemon.stop();
  await daemon.kill();
  try {
    expect((await remainingLeaks(place, before)).filter((line) => !line.includes('wardend'))).toEqual([]);
  } finally {
    await place.remove();
  }
}
