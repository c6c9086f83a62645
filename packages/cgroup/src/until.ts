import { setTimeout as delay } from 'node:timers/promises';

/** Looks again and again until `isReached`; answers false when that has not come to pass within the time. */
export async function until(isReached: () => boolean, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (!isReached()) {
    if (performance.now() > deadline) return false;
    await delay(2);
  }
  return true;
}
