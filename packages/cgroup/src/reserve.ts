/**
 * The reserve of init: a group inside the container's, with the limit of processes, in which everything runs.
 * The container's own has a limit that is a little higher, so that a container that is full still starts
 * somebody who looks into it.
 */
import type { CgroupSpec, DriverState } from '@warden/interface';

/** Inside the container's group: init and the jobs. */
export const JOBS = 'jobs';
/** On v2, where nobody may be in a group that hands controllers on: where init is while it forks beside the limit. */
export const OUTSIDE = 'reserve';
/** Processes that a full container may have besides. */
const RESERVED = 32;

/**
 * A warden inside makes groups of its own in the container's, which on v2 takes all its controllers: no level
 * in between.
 */
export function wantsReserve(spec: CgroupSpec): boolean {
  return spec.pidsLimit !== undefined && !spec.allowAllDevices;
}

/** Groups of an older daemon have none, and say so. */
export function hasReserve(state: DriverState): boolean {
  return state.reserve === true;
}

/** For `pids.max` of the container's group and of the one inside, if there is one. */
export function processLimits(
  { pidsLimit }: CgroupSpec,
  isReserved: boolean,
): { readonly whole: string; readonly jobs: string } {
  if (pidsLimit === undefined) return { whole: 'max', jobs: 'max' };
  return { whole: String(isReserved ? pidsLimit + RESERVED : pidsLimit), jobs: String(pidsLimit) };
}
