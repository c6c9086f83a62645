import type { DriverFactory, QuotaDriver } from '@warden/interface';
import { KERNEL_CALLS, KernelQuota, type KernelQuotaKind } from './kernel-quota.ts';

/** The description that {@link userQuota} gives to the kernel-quota driver. */
export const USER_QUOTA: KernelQuotaKind = {
  kind: 'user',
  // Root's files belong to root: they are not counted.
  supports: {
    limits: true,
    softLimits: true,
    inodeLimits: true,
    countsRootFiles: false,
    shrink: true,
    errno: 'EDQUOT',
  },
};

/**
 * Limits by the container's uid, as the original daemon. Needs a file system mounted with user quota, and a
 * uid per container that owns nothing else on that file system.
 */
export function userQuota(_options: Record<never, never> = {}): DriverFactory<QuotaDriver> {
  return (components) => new KernelQuota(USER_QUOTA, components, KERNEL_CALLS);
}
