/** What the kernel tells of quota groups in /sys/fs/btrfs: what it enforces, without a commit to the disk. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BtrfsFacts, btrfsRescan } from '@warden/native';
import { hasErrno } from './container-layer.ts';

/** One subvolume's group. */
export interface QuotaGroup {
  /** Bytes; `undefined`: no limit. */
  readonly limit: bigint | undefined;
  /**
   * What is on disk and what is promised to data that waits for it: the sum that the kernel holds against the
   * limit.
   */
  readonly used: bigint;
}

/** BTRFS_QGROUP_LIMIT_MAX_RFER */
const LIMITED = 1n;

/** How a file system counts; undefined: not at all. */
export function quotaMode(filesystem: string): 'full' | 'simple' | undefined {
  if (read(filesystem, 'enabled') !== '1') return undefined;
  return read(filesystem, 'mode') === 'squota' ? 'simple' : 'full';
}

/** The group of a subvolume; undefined when quota is off. */
export function readGroup({ filesystem, subvolume }: BtrfsFacts): QuotaGroup | undefined {
  const number = (name: string): bigint => BigInt(read(filesystem, `0_${subvolume}/${name}`) ?? 0);
  if (read(filesystem, `0_${subvolume}/referenced`) === undefined) return undefined;
  return {
    limit: (number('limit_flags') & LIMITED) === 0n ? undefined : number('max_referenced'),
    used: number('referenced') + number('rsv_data'),
  };
}

/** Subvolumes that have a limit; none when quota is off. */
export function limitedSubvolumes(filesystem: string): readonly bigint[] {
  return readdirSync(join('/sys/fs/btrfs', filesystem, 'qgroups'))
    .filter((name) => /^0_\d+$/.test(name))
    .map((name) => BigInt(name.slice(2)))
    .filter((subvolume) => BigInt(read(filesystem, `0_${subvolume}/limit_flags`) ?? 0) !== 0n);
}

/**
 * After the removal of a large subvolume the kernel may have stopped counting, and with it enforcing: it is
 * told to count anew, in the background.
 */
export function refreshCounts(directory: string, filesystem: string): void {
  if (quotaMode(filesystem) !== 'full' || read(filesystem, 'inconsistent') !== '1') return;
  try {
    btrfsRescan(directory);
  } catch (error) {
    if (!hasErrno(error, 'EINPROGRESS')) throw error;
  }
}

function read(filesystem: string, name: string): string | undefined {
  try {
    return readFileSync(join('/sys/fs/btrfs', filesystem, 'qgroups', name), 'utf8').trim();
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}
