/** Waits for what happens by itself. */
import { setTimeout as delay } from 'node:timers/promises';

/** Looks until `isTrue`. Throws after `withinMs`, which is generous: the machine may be busy. */
export async function until(isTrue: () => boolean | Promise<boolean>, withinMs = 30_000): Promise<void> {
  const deadline = Date.now() + withinMs;
  while (!(await isTrue())) {
    if (Date.now() > deadline) throw new Error(`not within ${withinMs} ms: ${isTrue}`);
    await delay(20);
  }
}
