/**
 * Control groups of containers on cgroup v1, v2 and hybrid hosts: limits, device policy, statistics,
 * out-of-memory events.
 *
 * @packageDocumentation
 */
export { type CgroupsOptions, cgroups } from './driver.ts';
export { CGROUP_FAILPOINTS } from './failpoints.ts';
export { noCgroups } from './none.ts';
export { type CgroupViewOptions, makeCgroupView, removeCgroupView } from './view.ts';
