/**
 * Room in the depot that only a starting daemon uses. A daemon that finds the disk full could neither try its
 * drivers nor write down what it does; and what has filled it is mostly its own: nobody could destroy a
 * container then, nor would those that a reboot has killed be removed. Many small files, so that the file
 * system has both blocks and inodes for others when they are gone.
 */
import fs from 'node:fs';
import path from 'node:path';
import { type Logger, WardenError } from '@warden/interface';

/** In the depot. The dot hides it from recovery. */
export const RESERVE_DIRECTORY = '.reserve';
const FILES = 64;
const FILE_BYTES = 32_768;
/** A file system that has less than this left keeps all of it for containers. */
const LEAST_ROOM = 8 * FILES * FILE_BYTES;

/** What is left on a file system. */
interface Room {
  readonly bytes: number;
  /** Where the file system counts none: infinitely many. */
  readonly inodes: number;
}

function roomOf(directory: string): Room {
  const { bavail, bsize, ffree, files } = fs.statfsSync(directory);
  return { bytes: bavail * bsize, inodes: files === 0 ? Number.POSITIVE_INFINITY : ffree };
}

/** Says how little is left where a start, or its reserve, has to be afraid of it; undefined where there is enough. */
export function shortage(directory: string): string | undefined {
  const { bytes, inodes } = roomOf(directory);
  if (bytes >= FILES * FILE_BYTES && inodes >= FILES) return undefined;
  return `${Math.floor(bytes / 1024)} KiB and ${inodes} inodes are left`;
}

/** What to do about it. */
export const MAKE_ROOM =
  'destroy containers, remove images, or make room on the file system of server.container_depot_path';

/**
 * Gives the reserve of a depot back when its disk is full. The caller holds the depot's lock. Errors:
 * `NATIVE_FAILED` with ENOSPC where there is no room for a start even so.
 */
export function spendReserve(depot: string, logger: Logger): void {
  const left = shortage(depot);
  if (left === undefined) return;
  const reserve = path.join(depot, RESERVE_DIRECTORY);
  if (fs.existsSync(reserve)) {
    fs.rmSync(reserve, { recursive: true, force: true });
    logger.warn('reserve-spent', {
      depot,
      left,
      means:
        'the disk is full; what is kept so that a daemon can start is in use until one starts that finds room',
      advice: MAKE_ROOM,
    });
  }
  requireRoom(depot);
}

/** A trial: file systems keep blocks for root, and promise what they do not have. */
function requireRoom(depot: string): void {
  let trial: string | undefined;
  try {
    trial = fs.mkdtempSync(path.join(depot, '.room-'));
    fs.writeFileSync(path.join(trial, 'trial'), Buffer.alloc(FILE_BYTES, 1));
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new WardenError(
      'NATIVE_FAILED',
      `the depot ${depot} has no room for a start: ${shortage(depot) ?? 'a quota is used up'} (${code}); make some on its file system, and start again. Containers that live go on meanwhile`,
      { cause, fields: { operation: 'start', object: depot, errno: code } },
    );
  } finally {
    if (trial !== undefined) fs.rmSync(trial, { recursive: true, force: true });
  }
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await fs.promises.readdir(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/**
 * Sees to it that there is a reserve, where the file system has room for more than that; clients are served
 * meanwhile. Never rejects: what keeps it from being made is for the log, everything else works without it.
 */
export async function keepReserve(depot: string, logger: Logger): Promise<void> {
  const reserve = path.join(depot, RESERVE_DIRECTORY);
  const { mkdir, rm, writeFile } = fs.promises;
  try {
    const there = new Set(await namesIn(reserve));
    const missing = Array.from({ length: FILES }, (_none, at) => String(at)).filter(
      (name) => !there.has(name),
    );
    if (missing.length === 0) return;
    const { bytes, inodes } = roomOf(depot);
    if (bytes < LEAST_ROOM || inodes < 8 * FILES) {
      await rm(reserve, { recursive: true, force: true });
      logger.debug?.('reserve-not-kept', { depot, bytes, inodes });
      return;
    }
    await mkdir(reserve, { recursive: true, mode: 0o700 });
    // not of nothing but zeros, which some file systems do not store
    const content = Buffer.alloc(FILE_BYTES, 'warden ');
    for (const name of missing) await writeFile(path.join(reserve, name), content, { mode: 0o600 });
  } catch (error) {
    logger.warn('reserve-not-kept', { depot, error, advice: MAKE_ROOM });
  }
}
