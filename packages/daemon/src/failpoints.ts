/** All named failpoints of the program: those of the engine, of the drivers, and its own (docs/failpoints.md). */
import { CGROUP_FAILPOINTS } from '@warden/cgroup';
import { CORE_FAILPOINTS, failpoints } from '@warden/core';
import { STORE_FAILPOINTS } from '@warden/images';
import type { Failpoints } from '@warden/interface';
import { NFTABLES_FAILPOINTS } from '@warden/net-nftables';
import { IMAGE_FAILPOINTS } from '@warden/quota';
import { INIT_FAILPOINTS, WSHD_PREFIX } from '@warden/wshd';

/** Of the daemon's own steps, each named after the one it stands behind. */
const DAEMON_FAILPOINTS = [
  'start.lock',
  'start.drivers',
  'start.core',
  'start.listen',
  'drain.requests',
  'drain.close',
] as const;

/** Every name, in the order in which they are listed. */
export const FAILPOINTS: readonly string[] = [
  ...DAEMON_FAILPOINTS,
  ...CORE_FAILPOINTS,
  ...INIT_FAILPOINTS,
  ...NFTABLES_FAILPOINTS,
  ...CGROUP_FAILPOINTS,
  ...IMAGE_FAILPOINTS,
  ...STORE_FAILPOINTS,
];

/** What `WARDEN_FAILPOINT` asks for. Errors: `INVALID_SPEC`. */
export function readFailpoints(): Failpoints {
  return failpoints(process.env.WARDEN_FAILPOINT, [...FAILPOINTS, WSHD_PREFIX]);
}
