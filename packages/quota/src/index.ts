/**
 * Disk limits for the containers' writable layers: four drivers of the role *quota*.
 *
 * `projectQuota` and `userQuota` use what the depot's file system keeps itself, `sizedImage` gives each container a file
 * system of its own in a sparse file, `noQuota` refuses limits. Which of them a host can use, their probes tell.
 *
 * @packageDocumentation
 */
export { quotaByRecord } from './by-record.ts';
export { type NoQuotaOptions, noQuota } from './no-quota.ts';
export { projectQuota } from './project-quota.ts';
export type { SizedImageOptions } from './sized-image.ts';
export { sizedImage } from './sized-image.ts';
export { userQuota } from './user-quota.ts';
