/** The v1 memory controller: a pair of limits that must be written in the right order, statistics, and the notification of kills. */
import fs from 'node:fs';
import path from 'node:path';
import { MEMORY_STAT_KEYS, type MemoryStat, type Watch } from '@warden/interface';
import { closeDescriptor, makeEventFd, readDescriptor, watchDescriptor } from '@warden/native';
import {
  errnoOf,
  fileError,
  parseKeyed,
  readControl,
  writeControl,
  writeControlSlowly,
} from '../kernel-file.ts';

const MEMORY = 'memory.limit_in_bytes';
const MEMORY_AND_SWAP = 'memory.memsw.limit_in_bytes';

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
 * Sets both limits and answers what the kernel made of it (whole pages). The kernel keeps memory at or below memory+swap, so raising
 * begins with the latter. A failure half-way puts the first one back. Errors: text `Failed setting memory limit`.
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
    throw fileError('set memory limit', group, cause, 'Failed setting memory limit');
  }
}

/** Errors: text `Failed getting memory usage`. */
export function readMemoryStat(group: string): MemoryStat {
  try {
    const values = parseKeyed(readControl(group, 'memory.stat'));
    return Object.fromEntries(
      MEMORY_STAT_KEYS.filter((key) => values.has(key)).map((key) => [key, values.get(key)!]),
    );
  } catch (cause) {
    throw fileError('read memory.stat', group, cause, 'Failed getting memory usage');
  }
}

/** Gives the page cache back, so that the removed group does not live on in the kernel because of it. */
export async function emptyMemory(group: string): Promise<void> {
  try {
    await writeControlSlowly(group, 'memory.force_empty', '0');
  } catch {
    // it only costs the kernel some memory for a while
  }
}

/** Calls `listener` once per kill, by an eventfd (kernel: cgroup-v1/memory.rst 9). The removal of the group signals it too, and is told apart. */
export function watchKills(group: string, listener: () => void): Watch {
  const event = makeEventFd();
  let control: number | undefined;
  try {
    control = fs.openSync(path.join(group, 'memory.oom_control'), fs.constants.O_RDONLY);
    writeControl(group, 'cgroup.event_control', `${event} ${control}`);
  } catch (cause) {
    closeDescriptor(event);
    throw fileError('watch out-of-memory kills', group, cause);
  } finally {
    // the registration holds what it needs
    if (control !== undefined) fs.closeSync(control);
  }
  const counter = Buffer.alloc(8);
  const watch = watchDescriptor(event, { readable: true }, () => {
    if (readDescriptor(event, counter) !== counter.length) return;
    if (exists(path.join(group, 'cgroup.event_control'))) listener();
  });
  let isOpen = true;
  return {
    close: () => {
      if (!isOpen) return;
      isOpen = false;
      watch.close();
      closeDescriptor(event);
    },
  };
}

function exists(file: string): boolean {
  try {
    fs.accessSync(file, fs.constants.W_OK);
    return true;
  } catch (error) {
    return errnoOf(error) !== 'ENOENT';
  }
}
