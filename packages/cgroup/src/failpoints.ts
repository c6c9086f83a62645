/** Where a test can make this driver fail, each named after the step it stands behind (docs/failpoints.md). */
export const CGROUP_FAILPOINTS = ['cgroup.make', 'cgroup.policy', 'cgroup.keep'] as const;
