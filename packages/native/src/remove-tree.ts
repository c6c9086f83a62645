/**
 * Removes what a container wrote, which may be meant to resist (native/lib/remove.c): on a thread, because each file may wait for the disk, and
 * in one call, because there are thousands of them.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { checkPath } from './argument-checks.ts';
import { callOnThread } from './load-library.ts';
import { errnoName } from './native-failure.ts';

/** Of the four threads that Node has, these at most: the others are for what somebody waits for. */
const AT_ONCE = 2;
const LONGEST_NAME = 256;

/** A daemon that has no descriptor left may get some back in a moment, and what was to be undone for want of them must not stay. */
const NO_DESCRIPTOR: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE']);
const WAITS_MS = [10, 50, 250, 1_000];

const waiting: (() => void)[] = [];
let running = 0;

/**
 * Removes `root` and everything below it; nothing there is success. Nobody else may make anything below it meanwhile; whoever removes there is no trouble. Errors: as those of `node:fs`, with
 * `code`, `syscall` and `path`.
 */
export async function removeTree(root: string): Promise<void> {
  const path = checkPath(root);
  const failedName = Buffer.alloc(LONGEST_NAME);
  if (running >= AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve));
  else running += 1;
  try {
    let result = 0;
    for (const wait of [...WAITS_MS, undefined]) {
      result = await callOnThread('warden_remove_tree', path, failedName, LONGEST_NAME);
      if (wait === undefined || result >= 0 || !NO_DESCRIPTOR.has(errnoName(-result))) break;
      await delay(wait);
    }
    if (result < 0) throw removalFailure(root, failedName, errnoName(-result));
  } finally {
    // its place goes to the next one
    const next = waiting.shift();
    if (next === undefined) running -= 1;
    else next();
  }
}

function removalFailure(root: string, failedName: Buffer, code: string): NodeJS.ErrnoException {
  const name = failedName.toString('utf8', 0, failedName.indexOf(0));
  return Object.assign(new Error(`${code}: cannot remove ${name} of ${root}`), {
    code,
    syscall: 'remove',
    path: root,
  });
}
