import { checkChoice, checkPath, checkString, checkUint64 } from './argument-checks.ts';
import { callOnThread, native } from './load-library.ts';
import { checked } from './native-failure.ts';

/** Where a directory lies on a btrfs. */
export interface BtrfsFacts {
  /** UUID of the file system, as it names a directory in /sys/fs/btrfs. */
  readonly filesystem: string;
  /** Number of the subvolume that holds the directory, and of its quota group of level 0. */
  readonly subvolume: bigint;
  /** The directory is the root of that subvolume. */
  readonly isSubvolumeRoot: boolean;
}

/** Values of BTRFS_QUOTA_CTL_*. */
const QUOTA_COMMANDS = { full: 1, off: 2, simple: 4 } as const;

/** Facts about a directory. Errors: `EOPNOTSUPP` when it is not on btrfs, `ENOENT`, `ENOTDIR`. */
export function btrfsFacts(directory: string): BtrfsFacts {
  const filesystem = new Uint8Array(16);
  const facts = new BigUint64Array(2);
  checked(native().warden_btrfs_facts(checkPath(directory), filesystem, facts), 'btrfs-facts', directory);
  return { filesystem: uuid(filesystem), subvolume: facts[0]!, isSubvolumeRoot: facts[1] === 1n };
}

function uuid(bytes: Uint8Array): string {
  return Buffer.from(bytes)
    .toString('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/**
 * Switches the quota of a whole btrfs on or off. `full` counts shared extents exactly and is slow with many
 * snapshots; `simple` (Linux 6.7) counts an extent for the subvolume that first had it. Errors: `EINVAL` from
 * a kernel that does not know `simple`.
 */
export function btrfsQuota(directory: string, wanted: 'full' | 'simple' | 'off'): void {
  const command = checkChoice(wanted, 'wanted', QUOTA_COMMANDS);
  checked(native().warden_btrfs_quota_control(checkPath(directory), command), 'btrfs-quota', directory);
}

/** Has a `full` quota count anew, in the background. Errors: `EINPROGRESS` when it does so already. */
export function btrfsRescan(directory: string): void {
  checked(native().warden_btrfs_rescan(checkPath(directory)), 'btrfs-rescan', directory);
}

/**
 * Makes an empty subvolume. The kernel commits it to the disk at once, so this waits on a thread. Errors:
 * `EEXIST`, `EOPNOTSUPP`.
 */
export async function createSubvolume(parent: string, name: string): Promise<void> {
  const result = await callOnThread(
    'warden_btrfs_create_subvolume',
    checkPath(parent, 'parent'),
    checkString(name, 'name'),
  );
  checked(result, 'create-subvolume', `${parent}/${name}`);
}

/**
 * Removes a subvolume with everything in it, whose space comes back later. Errors: `ENOENT`, `EINVAL` for
 * what is no subvolume.
 */
export function destroySubvolume(parent: string, name: string): void {
  const result = native().warden_btrfs_destroy_subvolume(
    checkPath(parent, 'parent'),
    checkString(name, 'name'),
  );
  checked(result, 'destroy-subvolume', `${parent}/${name}`);
}

/**
 * Limits the bytes that a subvolume refers to; `undefined` lifts the limit. `directory` is any of the file
 * system. Errors: `ENOTCONN` with quota off, `ENOENT`.
 */
export function limitSubvolume(directory: string, subvolume: bigint, bytes: bigint | undefined): void {
  const limit = bytes === undefined ? 0xffff_ffff_ffff_ffffn : checkUint64(bytes, 'bytes');
  const result = native().warden_btrfs_limit(
    checkPath(directory),
    checkUint64(subvolume, 'subvolume'),
    limit,
  );
  checked(result, 'limit-subvolume', `${directory} ${subvolume}`);
}

/**
 * Removes the quota group of a removed subvolume. Errors: `EBUSY` while the kernel still clears the subvolume
 * away, `ENOENT`, `ENOTCONN`.
 */
export function removeQuotaGroup(directory: string, subvolume: bigint): void {
  const result = native().warden_btrfs_remove_group(
    checkPath(directory),
    checkUint64(subvolume, 'subvolume'),
  );
  checked(result, 'remove-quota-group', `${directory} ${subvolume}`);
}
