/**
 * Disk limits for the containers' writable layers: five drivers of the role *quota*.
 *
 * `projectQuota`, `userQuota` and `btrfsSubvolume` use what the depot's file system keeps itself,
 * `sizedImage` gives each container a file system of its own in a sparse file, `noQuota` refuses limits.
 * Which of them a host can use, their probes tell.
 *
 * @packageDocumentation
 */
export { type BtrfsSubvolumeOptions, btrfsSubvolume } from './btrfs-subvolume.ts';
export { quotaByRecord } from './by-record.ts';
export { type NoQuotaOptions, noQuota } from './no-quota.ts';
export { projectQuota } from './project-quota.ts';
export type { SizedImageOptions } from './sized-image.ts';
export { IMAGE_FAILPOINTS, sizedImage } from './sized-image.ts';
export { userQuota } from './user-quota.ts';
