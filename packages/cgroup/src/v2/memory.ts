/** The v2 memory controller in the wire's terms (spec drivers.md 2.5, 2.6). */
import fs from 'node:fs';
import path from 'node:path';
import { type MemoryStat, type OutOfMemoryWatch, WardenError } from '@warden/interface';
import {
  errnoOf,
  fileError,
  parseKeyed,
  readControl,
  writeControl,
  writeControlSlowly,
} from '../kernel-file.ts';
import { limitTooSmall } from '../limit-too-small.ts';
import { UNLIMITED_MEMORY } from '../limits.ts';

/** `max` is no limit. */
function parseLimit(text: string): bigint {
  return text === 'max' ? UNLIMITED_MEMORY : BigInt(text);
}

/** Whether the kernel counts swap. */
export function countsSwap(group: string): boolean {
  return fs.existsSync(path.join(group, 'memory.swap.max'));
}

export function readMemoryLimit(group: string): bigint {
  try {
    return parseLimit(readControl(group, 'memory.max'));
  } catch (cause) {
    throw fileError('read memory limit', group, cause);
  }
}

/**
 * Memory as asked for, no swap on top: that is memory and memory+swap of the same size. A limit below what
 * stays in use is refused, as v1's kernel does; v2's would kill for it, and a container whose processes are
 * gone is not what was asked for. Errors: text `Failed setting memory limit`.
 */
export async function writeMemoryLimit(group: string, bytes: bigint): Promise<bigint> {
  const isUnlimited = bytes >= UNLIMITED_MEMORY;
  try {
    const before = readControl(group, 'memory.max');
    // what is in force already, after a restart for instance, is no question any more
    const used = bytes < parseLimit(before) ? unreclaimable(group) : 0n;
    if (used > bytes) throw limitTooSmall(group, bytes, { used });
    await writeControlSlowly(group, 'memory.max', isUnlimited ? 'max' : bytes);
    try {
      writeControl(group, 'memory.swap.max', isUnlimited ? 'max' : '0');
    } catch (error) {
      // ENOENT: a kernel that does not count swap
      if (errnoOf(error) !== 'ENOENT') {
        await writeControlSlowly(group, 'memory.max', before).catch(() => {}); // the first error is what matters
        throw error;
      }
    }
    return readMemoryLimit(group);
  } catch (cause) {
    if (cause instanceof WardenError) throw cause;
    throw fileError('set memory limit', group, cause, 'Failed setting memory limit');
  }
}

/** After a look that failed. */
const RETRY_MS = 500;

/** Without swap no pressure makes these less; kernels that do not count one of them leave it out. */
const UNRECLAIMABLE = [
  'anon',
  'shmem',
  'kernel_stack',
  'pagetables',
  'percpu',
  'sock',
  'slab_unreclaimable',
] as const;

/** At least so many bytes stay in use whatever the kernel reclaims. */
function unreclaimable(group: string): bigint {
  const values = parseKeyed(readOptional(group, 'memory.stat') ?? '');
  return UNRECLAIMABLE.reduce((sum, key) => sum + (values.get(key) ?? 0n), 0n);
}

const COPIED = [
  'pgfault',
  'pgmajfault',
  'inactive_anon',
  'active_anon',
  'inactive_file',
  'active_file',
  'unevictable',
] as const;
const TOTALS = ['cache', 'rss', 'mapped_file', 'pgpgin', 'pgpgout', 'swap', ...COPIED] as const;

/**
 * v1's keys from v2's file; totals are the same, because v2 counts what is below. Errors: text
 * `Failed getting memory usage`.
 */
export function readMemoryStat(group: string, root: string): MemoryStat {
  try {
    const values = parseKeyed(readControl(group, 'memory.stat'));
    const get = (key: string): bigint => values.get(key) ?? 0n;
    const own: Record<string, bigint> = {
      cache: get('file'),
      rss: get('anon'),
      mapped_file: get('file_mapped'),
      pgpgin: 0n, // v2 does not count them
      pgpgout: 0n,
      swap: readSwap(group),
      ...Object.fromEntries(COPIED.map((key) => [key, get(key)])),
    };
    const limits = limitsUpwards(group, root);
    return {
      ...own,
      ...Object.fromEntries(TOTALS.map((key) => [`total_${key}`, own[key]!])),
      hierarchical_memory_limit: limits.memory,
      hierarchical_memsw_limit: limits.memoryAndSwap,
    };
  } catch (cause) {
    throw fileError('read memory.stat', group, cause, 'Failed getting memory usage');
  }
}

function readSwap(group: string): bigint {
  return BigInt(readOptional(group, 'memory.swap.current') ?? 0);
}

function readOptional(group: string, file: string): string | undefined {
  try {
    return readControl(group, file);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** The tightest limits of the group and its ancestors; the root has none. */
function limitsUpwards(group: string, root: string): { memory: bigint; memoryAndSwap: bigint } {
  let memory = UNLIMITED_MEMORY;
  let memoryAndSwap = UNLIMITED_MEMORY;
  for (let at = group; at.startsWith(`${root}${path.sep}`); at = path.dirname(at)) {
    const own = parseLimit(readOptional(at, 'memory.max') ?? 'max');
    const swap = parseLimit(readOptional(at, 'memory.swap.max') ?? 'max');
    if (own < memory) memory = own;
    if (own + swap < memoryAndSwap) memoryAndSwap = own + swap;
  }
  return { memory, memoryAndSwap };
}

/** How often the kernel killed somebody in the group; `undefined` when the group is gone. */
export function killCount(group: string): bigint | undefined {
  try {
    return parseKeyed(readControl(group, 'memory.events')).get('oom_kill') ?? 0n;
  } catch (error) {
    if (['ENOENT', 'ENODEV'].includes(errnoOf(error))) return undefined;
    throw error;
  }
}

/**
 * Calls `listener` once per kill. The kernel modifies the file, which inotify tells; where that has nothing
 * left to give to this user, the file is looked at now and then. A missing file is no kill. `before` is a
 * count from which on kills are told.
 */
export function watchKills(group: string, listener: () => void, before?: bigint): OutOfMemoryWatch {
  const atFirst = killCount(group);
  if (atFirst === undefined)
    throw fileError(
      'watch out-of-memory kills',
      group,
      Object.assign(new Error('no such group'), { code: 'ENOENT' }),
    );
  let seen = before ?? atFirst;
  let isOpen = true;
  const check = (): void => {
    const now = isOpen ? killCount(group) : undefined;
    if (now === undefined) return;
    const from = seen;
    seen = now;
    for (let told = from; isOpen && told < now; told++) listener();
  };
  let timer: NodeJS.Timeout | undefined;
  // what cannot be looked at, as without a free descriptor, is looked at later: nobody hears of a failure here
  const look = (): void => {
    clearTimeout(timer);
    try {
      check();
    } catch {
      timer = setTimeout(look, RETRY_MS).unref();
    }
  };
  const watch = watchFile(path.join(group, 'memory.events'), look);
  look(); // kills since `before`, and between the first look and the watch
  return {
    check,
    close: () => {
      isOpen = false;
      clearTimeout(timer);
      watch.close();
    },
  };
}

/** Never throws: an instance of inotify is one of a user's 128, and a watch one of its thousands. */
function watchFile(file: string, look: () => void): { close(): void } {
  let timer: NodeJS.Timeout | undefined;
  let watcher: fs.FSWatcher | undefined;
  const lookNowAndThen = (): void => {
    timer ??= setInterval(look, RETRY_MS).unref();
  };
  try {
    watcher = fs.watch(file, { persistent: false }, look);
    watcher.on('error', () => {
      watcher?.close();
      lookNowAndThen();
    });
  } catch {
    lookNowAndThen();
  }
  return {
    close: () => {
      clearInterval(timer);
      watcher?.close();
    },
  };
}
