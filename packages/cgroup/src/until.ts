import { setTimeout as delay } from 'node:timers/promises';
import { WardenError } from '@warden/interface';
import { processesOf } from './kernel-file.ts';

/** Looks again and again until `isReached`; answers false when that has not come to pass within the time. */
async function until(isReached: () => boolean, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (!isReached()) {
    if (performance.now() > deadline) return false;
    await delay(2);
  }
  return true;
}

/** Waits until the group stands still; one that does not is thawed again. Errors: `TIMEOUT`. */
export async function untilStill(
  group: string,
  { isStill, thaw, timeoutMs }: { isStill(): boolean; thaw(): void; readonly timeoutMs: number },
): Promise<void> {
  if (await until(isStill, timeoutMs)) return;
  thaw();
  throw new WardenError('TIMEOUT', `the group does not stand still within ${timeoutMs} ms`, {
    fields: { operation: 'freeze cgroup', object: group },
  });
}

/**
 * Waits until nobody is in the group or below; whoever still is goes to `end`, each time. Errors: `TIMEOUT`
 * with the remaining pids.
 */
export async function untilEmpty(
  group: string,
  { end, timeoutMs }: { end(pids: readonly number[]): void; readonly timeoutMs: number },
): Promise<void> {
  let pids: readonly number[] = [];
  const isEmpty = (): boolean => {
    pids = processesOf(group);
    if (pids.length > 0) end(pids);
    return pids.length === 0;
  };
  if (await until(isEmpty, timeoutMs)) return;
  throw new WardenError('TIMEOUT', `processes survive SIGKILL for ${timeoutMs} ms: ${pids.join(' ')}`, {
    fields: { operation: 'kill cgroup', object: group, pids },
  });
}
