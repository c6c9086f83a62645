/** Removing groups: the innermost first, again while processes are still dying. */
import fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { WardenError } from '@warden/interface';
import { errnoOf, innerGroups } from './kernel-file.ts';

/** A dead process leaves its group only when it is reaped and its last reference in the kernel is gone. */
const PATIENCE_MS = 5_000;
const FIRST_WAIT_MS = 1;
const LONGEST_WAIT_MS = 50;
/** So long the dead may take; who is there longer may be alive. */
const DYING_MS = 200;

/**
 * Removes the group with everything inside. Nothing there is success. `onBusy` is called again and again
 * while somebody stays in there. Errors: `NATIVE_FAILED` with text `Failed to delete <path>` after five
 * seconds.
 */
export async function removeGroup(group: string, onBusy: () => void = () => {}): Promise<void> {
  if (!fs.existsSync(group)) return; // as after it was retired: an error for each would cost more than this look
  const begun = performance.now();
  const deadline = begun + PATIENCE_MS;
  for (let wait = FIRST_WAIT_MS; ; wait = Math.min(wait * 2, LONGEST_WAIT_MS)) {
    const failure = tryRemove(group);
    if (failure === undefined) return;
    if (errnoOf(failure) !== 'EBUSY' || performance.now() > deadline) {
      throw new WardenError('NATIVE_FAILED', `Failed to delete ${group}`, {
        cause: failure,
        fields: { operation: 'remove cgroup', object: group, errno: errnoOf(failure) },
      });
    }
    if (performance.now() > begun + DYING_MS) onBusy();
    await delay(wait);
  }
}

function tryRemove(group: string): unknown {
  try {
    fs.rmdirSync(group);
    return undefined;
  } catch (error) {
    return ['EBUSY', 'ENOTEMPTY'].includes(errnoOf(error)) ? tryRemoveWhole(group) : whatFailed(error);
  }
}

/** Groups inside keep it. */
function tryRemoveWhole(group: string): unknown {
  try {
    for (const inner of innerGroups(group)) {
      const failure = tryRemove(inner);
      if (failure !== undefined) return failure;
    }
    fs.rmdirSync(group);
    return undefined;
  } catch (error) {
    return whatFailed(error);
  }
}

function whatFailed(error: unknown): unknown {
  return errnoOf(error) === 'ENOENT' ? undefined : error;
}
