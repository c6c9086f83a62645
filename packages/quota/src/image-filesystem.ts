/**
 * The mounted image of one container, limited by ballast.
 *
 * An ext4 file system cannot shrink while it is mounted. So every image has the same, largest size, and a
 * file of root's that the container does not see takes what the limit withholds. The ballast is allocated but
 * never written: neither it nor the free space takes room on the depot.
 */
import { readFileSync, readlinkSync, rmdirSync, statSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { DiskStat } from '@warden/interface';
import { allocateFile } from '@warden/native';
import { hasErrno } from './container-layer.ts';

const BALLAST = '.warden-ballast';
/** Inodes 1 to 10 belong to ext4; number 2 among them is the root directory, which we count as the container's. */
const RESERVED_INODES = 9n;
const UNIT = 1024n;

/** Removes what mkfs made besides the root directory: nobody will repair this file system. Idempotent. */
export function clearFilesystem(mountPoint: string): void {
  try {
    rmdirSync(join(mountPoint, 'lost+found'));
  } catch (error) {
    if (!hasErrno(error, 'ENOENT')) throw error;
  }
}

/** Bytes that files and directories can take. Constant for a file system, however full it is. */
export async function capacityOf(mountPoint: string): Promise<bigint> {
  const { blocks, bsize } = await statfs(mountPoint, { bigint: true });
  return (blocks - reservedBlocks(mountPoint)) * bsize;
}

/**
 * Blocks that ext4 keeps back so that changes of metadata cannot fail on a full disk; part of those that
 * statfs(2) calls free.
 */
function reservedBlocks(mountPoint: string): bigint {
  const { dev } = statSync(mountPoint);
  const major = (dev >> 8) & 0xfff;
  const minor = (dev & 0xff) | ((dev >>> 12) & 0xfff00);
  const device = basename(readlinkSync(`/sys/dev/block/${major}:${minor}`));
  // Clusters are blocks without the feature bigalloc.
  return BigInt(readFileSync(`/sys/fs/ext4/${device}/reserved_clusters`, 'latin1').trim());
}

/** The hard limit in KiB; 0 = the whole image. */
export async function readLimit(mountPoint: string): Promise<bigint> {
  const { size } = ballastOf(mountPoint);
  return size === 0n ? 0n : (await capacityOf(mountPoint)) / UNIT - size / UNIT;
}

/**
 * Sets the hard limit in KiB, less than the capacity; 0 = the whole image. Errors: `ENOSPC` when the
 * container uses more already; the limit stays as it was then.
 */
export async function writeLimit(mountPoint: string, blocks: bigint): Promise<void> {
  const withheld = blocks === 0n ? 0n : (await capacityOf(mountPoint)) - blocks * UNIT;
  allocateFile(join(mountPoint, BALLAST), withheld);
}

/** What the container uses. */
export async function readUsage(mountPoint: string): Promise<DiskStat> {
  const { blocks, bfree, bsize, files, ffree } = await statfs(mountPoint, { bigint: true });
  const ballast = ballastOf(mountPoint);
  return {
    bytesUsed: (blocks - bfree) * bsize - ballast.allocated,
    inodesUsed: files - ffree - RESERVED_INODES - ballast.inodes,
  };
}

function ballastOf(mountPoint: string): { size: bigint; allocated: bigint; inodes: bigint } {
  const status = statSync(join(mountPoint, BALLAST), { bigint: true, throwIfNoEntry: false });
  if (status === undefined) return { size: 0n, allocated: 0n, inodes: 0n };
  return { size: status.size, allocated: status.blocks * 512n, inodes: 1n };
}
