import type { DriverFactory, QuotaDriver } from '@warden/interface';
import { KERNEL_CALLS, KernelQuota, type KernelQuotaKind } from './kernel-quota.ts';

/** The description that {@link projectQuota} gives to the kernel-quota driver. */
export const PROJECT_QUOTA: KernelQuotaKind = {
  kind: 'project',
  supports: {
    limits: true,
    softLimits: true,
    inodeLimits: true,
    countsRootFiles: true,
    shrink: true,
    errno: 'EDQUOT',
  },
};

/**
 * Limits by project id on the container's layer: everything in it counts, whoever owns it. Needs ext4 with the features
 * `project,quota` or xfs, mounted with `prjquota`.
 */
export function projectQuota(_options: Record<never, never> = {}): DriverFactory<QuotaDriver> {
  return (components) => new KernelQuota(PROJECT_QUOTA, components, KERNEL_CALLS);
}
