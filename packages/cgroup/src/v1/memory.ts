/**
 * The v1 memory controller: a pair of limits that must be written in the right order, statistics, and the
 * notification of kills.
 */
import fs from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { MEMORY_STAT_KEYS, type MemoryStat, type OutOfMemoryWatch } from '@warden/interface';
import {
  type ControlAnswer,
  type ControlOperation,
  closeDescriptor,
  controlFiles,
  controlFilesOnThread,
  makeEventFd,
  readDescriptor,
  watchDescriptor,
} from '@warden/native';
import {
  errnoOf,
  fileError,
  innerGroups,
  type OpenControls,
  parseKeyed,
  pickKeyed,
  readControl,
  writeControl,
  writeControlSlowly,
} from '../kernel-file.ts';
import { limitTooSmall } from '../limit-too-small.ts';

const MEMORY = 'memory.limit_in_bytes';
const MEMORY_AND_SWAP = 'memory.memsw.limit_in_bytes';
const MEMORY_USAGE = 'memory.usage_in_bytes';
const KERNEL_MEMORY_USAGE = 'memory.kmem.usage_in_bytes';
const MEMORY_AND_SWAP_USAGE = 'memory.memsw.usage_in_bytes';
const OOM_CONTROL = 'memory.oom_control';
const PROCESSES = 'cgroup.procs';
const KEYS: ReadonlySet<string> = new Set(MEMORY_STAT_KEYS);

/**
 * What ext4 has not written yet of directories that are gone: one to six pages after most lives, and writing
 * them takes half a minute to begin.
 */
const UNWRITTEN_BYTES = 8n * 4096n;

/**
 * What may be charged to a group that is used again, of directories that the file system has not written yet:
 * it holds nobody's data.
 */
const MOST_PAGES_LEFT_BYTES = 16n * 4096n;
/**
 * With the kernel's own objects, most of which go within moments, as those of a network namespace that is
 * being ended.
 */
const MOST_LEFT_BYTES = 64n * 4096n;
/** The kernel charges 64 pages ahead for each processor that needs one (`MEMCG_CHARGE_BATCH`). */
const CHARGED_AHEAD_BYTES = 64n * 4096n;
/** Those of four processors at most. */
const MOST_RESERVED_BYTES = 4n * CHARGED_AHEAD_BYTES;

/** The kernel signals first and kills then, which takes longer where it logs to a slow console. */
const FIRST_CHECK_MS = 5;
const LONGEST_KILL_MS = 640;

/** Whether the kernel counts swap, so that memory and swap together can be limited. */
export function countsSwap(group: string): boolean {
  return fs.existsSync(path.join(group, MEMORY_AND_SWAP));
}

/** The limit in force. */
export function readMemoryLimit(group: string): bigint {
  try {
    return BigInt(readControl(group, MEMORY));
  } catch (cause) {
    throw fileError('read memory limit', group, cause);
  }
}

/**
 * Sets both limits and answers what the kernel made of it (whole pages). The kernel keeps memory at or below
 * memory+swap, so raising begins with the latter. A failure half-way puts the first one back. Errors: text
 * `Failed setting memory limit`; a limit below what is in use says so.
 */
export async function writeMemoryLimit(group: string, bytes: bigint): Promise<bigint> {
  const files = countsSwap(group) ? [MEMORY, MEMORY_AND_SWAP] : [MEMORY];
  try {
    const isRaise = bytes > BigInt(readControl(group, MEMORY));
    const [first, second] = (isRaise ? files.reverse() : files) as [string, string?];
    const before = readControl(group, first);
    await writeControlSlowly(group, first, bytes);
    if (second !== undefined) {
      try {
        await writeControlSlowly(group, second, bytes);
      } catch (error) {
        await writeControlSlowly(group, first, before).catch(() => {}); // the first error is what matters
        throw error;
      }
    }
    return readMemoryLimit(group);
  } catch (cause) {
    // all it could reclaim is reclaimed by now: what is in use is what stays
    if (errnoOf(cause) === 'EBUSY') throw limitTooSmall(group, bytes, { used: usageOf(group), cause });
    throw fileError('set memory limit', group, cause, 'Failed setting memory limit');
  }
}

/** Memory, with swap where that is counted; `undefined` when it cannot be read any more. */
function usageOf(group: string): bigint | undefined {
  try {
    return BigInt(readControl(group, countsSwap(group) ? MEMORY_AND_SWAP_USAGE : MEMORY_USAGE));
  } catch {
    return undefined;
  }
}

/** What {@link readMemoryStat} reads. */
export const MEMORY_STAT = 'memory.stat';

/** Without what was counted before, of a group that is used again. Errors: text `Failed getting memory usage`. */
export function readMemoryStat(
  group: string,
  { open, spent }: { readonly open?: OpenControls; readonly spent?: Spent | undefined } = {},
): MemoryStat {
  try {
    const stat = pickKeyed(open?.read(MEMORY_STAT) ?? readControl(group, MEMORY_STAT), KEYS);
    return spent === undefined ? stat : without(stat, spent);
  } catch (cause) {
    throw fileError('read memory.stat', group, cause, 'Failed getting memory usage');
  }
}

/** What the kernel counts in a group and never sets back, in the order of {@link Spent}. */
const EVENTS = ['pgpgin', 'pgpgout', 'pgfault', 'pgmajfault'] as const;
/** Of `memory.stat`, what pages are charged. */
const PAGE_KEYS: ReadonlySet<string> = new Set(['cache', 'rss', 'swap']);
const EVENT_KEYS: ReadonlySet<string> = new Set(EVENTS.flatMap((key) => [key, `total_${key}`]));

/** How far these counts are, as a text that a state can hold. */
export type Spent = string;

/** `undefined`: there were groups inside, whose counts go another way. */
function spentOf(statistics: string): Spent | undefined {
  const stat = pickKeyed(statistics, EVENT_KEYS);
  const isWhole = EVENTS.every((key) => stat[key] !== undefined && stat[key] === stat[`total_${key}`]);
  return isWhole ? EVENTS.map((key) => stat[key]).join(' ') : undefined;
}

function without(stat: MemoryStat, spent: Spent): MemoryStat {
  const rest: Record<string, bigint> = { ...stat };
  const before = spent.split(' ').map(BigInt);
  EVENTS.forEach((event, at) => {
    for (const key of [event, `total_${event}`]) {
      const now = rest[key];
      if (now !== undefined) rest[key] = now > before[at]! ? now - before[at]! : 0n;
    }
  });
  return rest;
}

/**
 * Gives the pages back that are charged to the group, so that it does not live on in the kernel because of
 * them when it is removed.
 *
 * What the kernel's own objects occupy goes to the group above with the removal, and cannot be reclaimed
 * before. `memory.force_empty` does not know that and looks 16 times through all there is, in 12 passes each,
 * while anything is charged (`mem_cgroup_force_empty`). A limit of nothing does so once when nothing can be
 * had, and the second time what was reserved for other processors has come back. What then is left waits in
 * the batches of other processors, which only `memory.force_empty` fetches, or is a page or two of the file
 * system's that is not written yet and that nobody gets.
 */
export async function emptyMemory(group: string): Promise<void> {
  try {
    // somebody else who has been put in there would be killed for want of memory
    for (let attempt = 0; attempt < 2 && !hasProcesses(group); attempt++) {
      if (await reclaimAll(group)) return;
    }
    await writeControlSlowly(group, 'memory.force_empty', '0');
  } catch {
    // it only costs the kernel some memory for a while
  }
}

/** What `memory.stat` says of files: `cache` counts shared memory, too, which no file's pages are. */
const FILE_KEYS: ReadonlySet<string> = new Set(['cache', 'shmem']);

/**
 * Whether pages of files are charged to a group in which nobody is, and more than a file system leaves there
 * of its directories. Usage counts what the kernel has charged ahead for each processor, and statistics may
 * be some seconds old and be of files that are gone: each is believed where the other one may be true.
 * Errors: those of `fs`, `NATIVE_FAILED`.
 */
export async function holdsFiles(group: string): Promise<boolean> {
  if (innerGroups(group).length > 0) return false;
  const looks: readonly ControlOperation[] = [
    [PROCESSES],
    [MEMORY_USAGE],
    [KERNEL_MEMORY_USAGE],
    [MEMORY_STAT],
  ];
  const [processes, memory, kernelMemory, statistics] = (await controlFilesOnThread(group, looks)).map(
    textOf,
  );
  if (processes !== '' || statistics === undefined) return false;
  const { cache = 0n, shmem = 0n } = pickKeyed(statistics, FILE_KEYS);
  const charged = pagesOf(memory, kernelMemory) - shmem;
  const reserved = BigInt(availableParallelism()) * CHARGED_AHEAD_BYTES;
  return (
    charged > MOST_PAGES_LEFT_BYTES + reserved ||
    (charged > MOST_PAGES_LEFT_BYTES && cache - shmem > MOST_PAGES_LEFT_BYTES)
  );
}

/**
 * Takes back what is charged to a group in which nobody is above so many bytes: what was read longest ago,
 * first. What the kernel cannot take is left. Errors: `NATIVE_FAILED`.
 */
export async function shrinkMemory(group: string, bytes: bigint): Promise<void> {
  await controlFilesOnThread(group, [[MEMORY, String(bytes)]]);
}

/** What sets a group back to what a new one is: the wider limit first. */
const CHANGES: readonly ControlOperation[] = [
  [MEMORY_AND_SWAP, '-1'],
  [MEMORY, '-1'],
  ...['', 'memsw.', 'kmem.', 'kmem.tcp.'].flatMap((kind): ControlOperation[] => [
    [`memory.${kind}max_usage_in_bytes`, '0'],
    [`memory.${kind}failcnt`, '0'],
  ]),
];

/**
 * What an operator may have set, and nobody else does. It is looked at and not set back: a limit of TCP, once
 * it is written, makes the kernel count, and the kernel complains in its log of those that it no longer
 * knows. Without a limit all of these are as the memory limit then is, which depends on the kernel.
 */
const OPERATORS_LIMITS = [
  'memory.soft_limit_in_bytes',
  'memory.kmem.limit_in_bytes',
  'memory.kmem.tcp.limit_in_bytes',
];
const MOVES_CHARGES = 'memory.move_charge_at_immigrate';
/** What a new group has from the one above, where an operator may have changed it since. */
const INHERITED = ['memory.swappiness', OOM_CONTROL, 'cgroup.clone_children', 'notify_on_release'];

/** The same file of the group above. */
function above(file: string): string {
  return `../${file}`;
}

/** What tells whether a group whose limits have been set back is as a new one. */
const LOOKED_AT: readonly ControlOperation[] = [
  PROCESSES,
  MEMORY,
  MOVES_CHARGES,
  ...OPERATORS_LIMITS,
  ...INHERITED,
  ...INHERITED.map(above),
].map((file) => [file]);

/**
 * Sets a group back to what a new one is. False: that cannot be had, since somebody is in there, too much is
 * left, an operator has set something that nothing here does, or the kernel has killed somebody there, which
 * it does not forget. Errors: those of `fs`, `NATIVE_FAILED`.
 */
export async function makeAsNew(group: string): Promise<boolean> {
  if (innerGroups(group).length > 0) return false;
  const looks: readonly ControlOperation[] = [
    [MEMORY_USAGE],
    [KERNEL_MEMORY_USAGE],
    [MEMORY_AND_SWAP_USAGE],
    [MEMORY_STAT],
  ];
  // all at once, whatever is found: who is in there still does not stay in a group that nobody gets
  const answers = await controlFilesOnThread(group, [...looks, ...CHANGES, ...LOOKED_AT]);
  const changes = answers.slice(looks.length, -LOOKED_AT.length);
  return (
    isLittle(answers.map(textOf)) && changes.every(isChanged) && isAsNew(answers.slice(-LOOKED_AT.length))
  );
}

/**
 * Whether what is charged may stay for the next container. Usage counts what the kernel has charged ahead for
 * processors as well. Where it is above what may stay, and would not be without that, the statistics decide,
 * which may be behind by as much: so that what stays is bound by usage in any case. Without a count of the
 * kernel's own objects these cannot be told from what is charged ahead.
 */
function isLittle([memory, kernelMemory, memoryAndSwap, statistics]: readonly (
  | string
  | undefined
)[]): boolean {
  if (memory === undefined || statistics === undefined) return false;
  const all = memoryAndSwap ?? memory;
  const pages = pagesOf(all, kernelMemory);
  if (pages <= MOST_PAGES_LEFT_BYTES) return BigInt(all) <= MOST_LEFT_BYTES;
  const { cache = 0n, rss = 0n, swap = 0n } = pickKeyed(statistics, PAGE_KEYS);
  return (
    kernelMemory !== undefined &&
    pages <= MOST_PAGES_LEFT_BYTES + MOST_RESERVED_BYTES &&
    BigInt(kernelMemory) <= MOST_LEFT_BYTES &&
    cache + rss + swap <= MOST_PAGES_LEFT_BYTES
  );
}

/** A kernel that does not count swap, or the kernel's own objects, has fewer files. */
function isChanged(answer: ControlAnswer): boolean {
  return 'text' in answer || answer.errno === 'ENOENT';
}

/**
 * What a group that was made as new has counted so far; `undefined`: it is no longer as new. Errors:
 * `NATIVE_FAILED`.
 */
export function spentOfSpare(group: string): Spent | undefined {
  if (innerGroups(group).length > 0) return undefined;
  const answers = controlFiles(group, [...LOOKED_AT, [MEMORY_STAT]]);
  const statistics = textOf(answers.at(-1)!);
  return statistics !== undefined && isAsNew(answers) ? spentOf(statistics) : undefined;
}

/** `answers` begins with those to {@link LOOKED_AT}. */
function isAsNew(answers: readonly ControlAnswer[]): boolean {
  const found = new Map(LOOKED_AT.map(([file], at) => [file, textOf(answers[at]!)]));
  const limit = found.get(MEMORY);
  return (
    found.get(PROCESSES) === '' &&
    limit !== undefined &&
    killsIn(found.get(OOM_CONTROL) ?? '') === 0n &&
    (found.get(MOVES_CHARGES) ?? '0') === '0' &&
    OPERATORS_LIMITS.every((file) => (found.get(file) ?? limit) === limit) &&
    INHERITED.every((file) => found.get(file) !== undefined && found.get(file) === found.get(above(file)))
  );
}

/** `undefined`: this kernel has no such file, or it cannot be read. */
function textOf(answer: ControlAnswer): string | undefined {
  return 'text' in answer ? answer.text.trimEnd() : undefined;
}

function hasProcesses(group: string): boolean {
  return readControl(group, PROCESSES) !== '' || innerGroups(group).some(hasProcesses);
}

/**
 * Whether nothing is charged any more but the kernel's own objects and what is not written yet. Errors:
 * `NATIVE_FAILED`.
 */
async function reclaimAll(group: string): Promise<boolean> {
  const answers = await controlFilesOnThread(group, [[MEMORY, '0'], [MEMORY_USAGE], [KERNEL_MEMORY_USAGE]]);
  const [isEmpty, memory, kernelMemory] = answers.map(textOf);
  return isEmpty !== undefined || pagesOf(memory, kernelMemory) <= UNWRITTEN_BYTES;
}

/** Bytes that are charged beside the kernel's own objects. A kernel that does not tell these apart counts both. */
function pagesOf(memory: string | undefined, kernelMemory: string | undefined): bigint {
  return BigInt(memory ?? 0) - BigInt(kernelMemory ?? 0);
}

/**
 * How often the kernel killed somebody in the group or below (`oom_kill`, Linux 4.13); `undefined` when the
 * group is gone.
 */
export function killCount(group: string): bigint | undefined {
  try {
    // v1 counts a kill in the victim's own group only
    const own = killsIn(readControl(group, OOM_CONTROL));
    return innerGroups(group).reduce((sum, inner) => sum + (killCount(inner) ?? 0n), own);
  } catch (error) {
    if (['ENOENT', 'ENODEV'].includes(errnoOf(error))) return undefined;
    throw error;
  }
}

function killsIn(outOfMemory: string): bigint {
  return parseKeyed(outOfMemory).get('oom_kill') ?? 0n;
}

/**
 * Calls `listener` once per kill. An eventfd (kernel: cgroup-v1/memory.rst 9) tells that there may have been
 * one; the counters decide, because the kernel signals before it kills, again and again while memory is
 * short, when the group is removed, and, when a limit above is hit, every group below that limit. `before` is
 * a count from which on kills are told.
 */
export function watchKills(group: string, listener: () => void, before?: bigint): OutOfMemoryWatch {
  let seen = before ?? killCount(group);
  const event = registerEvent(group);
  const counter = Buffer.alloc(8);
  let timer: NodeJS.Timeout | undefined;
  let isOpen = true;
  const check = (): void => {
    if (!isOpen) return;
    const now = killCount(group) ?? seen;
    const from = seen;
    seen = now; // it sinks when a group inside is removed
    for (let told = from ?? 0n; isOpen && told < (now ?? 0n); told++) listener();
  };
  // what cannot be looked at, as without a free descriptor, is looked at later: nobody hears of a failure here
  const hasLooked = (): boolean => {
    try {
      check();
      return true;
    } catch {
      return false;
    }
  };
  const checkAgain = (wait: number): void => {
    timer = setTimeout(() => {
      const isLate = hasLooked() && wait >= LONGEST_KILL_MS;
      if (isOpen && !isLate) checkAgain(Math.min(wait * 2, LONGEST_KILL_MS));
    }, wait);
  };
  const watch = watchDescriptor(event, { readable: true }, () => {
    if (readDescriptor(event, counter) !== counter.length) return;
    hasLooked();
    clearTimeout(timer);
    if (isOpen) checkAgain(FIRST_CHECK_MS);
  });
  hasLooked(); // kills since `before`, and between the first look and the registration
  return {
    check,
    close: () => {
      if (!isOpen) return;
      isOpen = false;
      clearTimeout(timer);
      watch.close();
      closeDescriptor(event);
    },
  };
}

/** Answers an eventfd that the kernel signals when the group is out of memory. */
function registerEvent(group: string): number {
  const event = makeEventFd();
  let control: number | undefined;
  try {
    control = fs.openSync(path.join(group, OOM_CONTROL), fs.constants.O_RDONLY);
    writeControl(group, 'cgroup.event_control', `${event} ${control}`);
    return event;
  } catch (cause) {
    closeDescriptor(event);
    throw fileError('watch out-of-memory kills', group, cause);
  } finally {
    // the registration holds what it needs
    if (control !== undefined) fs.closeSync(control);
  }
}
