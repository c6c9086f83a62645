/**
 * Removes what a container wrote, which may be meant to resist (native/lib/remove.c): on a thread, because
 * each file may wait for the disk, and in one call, because there are thousands of them.
 */
import { constants } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { encodeBytes, type ReusableEntry } from '@warden/interface';
import { checkPath } from './argument-checks.ts';
import { callOnThread } from './load-library.ts';
import { errnoName } from './native-failure.ts';

/** Of the four threads that Node has, these at most: the others are for what somebody waits for. */
const AT_ONCE = 2;
const LONGEST_NAME = 256;

/**
 * A daemon that has no descriptor left may get some back in a moment, and what was to be undone for want of
 * them must not stay.
 */
const NO_DESCRIPTOR: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE']);
const WAITS_MS = [10, 50, 250, 1_000];

const waiting: (() => void)[] = [];
let running = 0;

/**
 * Removes `root` and everything below it; nothing there is success. Nobody else may make anything below it
 * meanwhile; whoever removes there is no trouble. Errors: as those of `node:fs`, with `code`, `syscall` and
 * `path`.
 */
export async function removeTree(root: string): Promise<void> {
  const path = checkPath(root);
  const failedName = Buffer.alloc(LONGEST_NAME);
  await removing(root, failedName, () => callOnThread('warden_remove_tree', path, failedName, LONGEST_NAME));
}

/** `struct warden_kept` of native/lib/warden_native.h. */
const KEPT_BYTES = 128;
const KEPT_PATH = 16;
const MOST_KEPT = 64;

/** Entries for {@link stripTree}, checked and as C takes them. A directory comes before what is in it. */
export class KeptEntries {
  /** How many. */
  readonly count: number;
  /** One `struct warden_kept` for each. */
  readonly bytes: Buffer;

  /** Errors: `TypeError` for too many, and for a path that is too long. */
  constructor(entries: readonly ReusableEntry[]) {
    if (entries.length > MOST_KEPT) throw new TypeError(`more than ${MOST_KEPT} entries to keep`);
    this.count = entries.length;
    this.bytes = Buffer.alloc(KEPT_BYTES * entries.length);
    entries.forEach((entry, at) => {
      const path = encodeBytes(entry.path);
      if (path.length >= KEPT_BYTES - KEPT_PATH || path.includes(0))
        throw new TypeError(`${entry.path} cannot be kept`);
      const struct = this.bytes.subarray(at * KEPT_BYTES, (at + 1) * KEPT_BYTES);
      const words = new Uint32Array(struct.buffer, struct.byteOffset + 8, 2);
      if ('inode' in entry) new BigUint64Array(struct.buffer, struct.byteOffset, 1)[0] = entry.inode;
      else words[0] = (entry.kind === 'file' ? constants.S_IFREG : constants.S_IFDIR) | entry.mode;
      words[1] = entry.isOptional === true ? 1 : 0;
      struct.set(path, KEPT_PATH);
    });
  }
}

/**
 * Removes everything below `root` but `kept`, and moves what is left to `target`, whose parent is there. What
 * is not as it has to be is not kept; false when that is anything that is not optional: then `root` is where
 * it was, with whatever is left. Errors and conditions: as {@link removeTree}.
 */
export async function stripTree(root: string, kept: KeptEntries, target: string): Promise<boolean> {
  const path = checkPath(root);
  const failedName = Buffer.alloc(LONGEST_NAME);
  const { bytes, count } = kept;
  const result = await removing(root, failedName, () =>
    callOnThread('warden_strip_tree', path, bytes, count, checkPath(target), failedName, LONGEST_NAME),
  );
  return result === 1;
}

/** Runs `remove` when there is room for it, and again when descriptors were missing. */
async function removing(root: string, failedName: Buffer, remove: () => Promise<number>): Promise<number> {
  if (running >= AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve));
  else running += 1;
  try {
    let result = 0;
    for (const wait of [...WAITS_MS, undefined]) {
      result = await remove();
      if (wait === undefined || result >= 0 || !NO_DESCRIPTOR.has(errnoName(-result))) break;
      await delay(wait);
    }
    if (result < 0) throw removalFailure(root, failedName, errnoName(-result));
    return result;
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
