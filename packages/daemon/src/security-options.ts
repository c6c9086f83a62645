/** The section `security` of the configuration as core wants it. */
import type { CoreOptions, NumberRange } from '@warden/core';
import { WardenError } from '@warden/interface';
import type { Configuration } from './config.ts';

/** Names of capabilities(7) without `CAP_`, at the place of their numbers (linux/capability.h). */
const CAPABILITIES = [
  'chown',
  'dac_override',
  'dac_read_search',
  'fowner',
  'fsetid',
  'kill',
  'setgid',
  'setuid',
  'setpcap',
  'linux_immutable',
  'net_bind_service',
  'net_broadcast',
  'net_admin',
  'net_raw',
  'ipc_lock',
  'ipc_owner',
  'sys_module',
  'sys_rawio',
  'sys_chroot',
  'sys_ptrace',
  'sys_pacct',
  'sys_admin',
  'sys_boot',
  'sys_nice',
  'sys_resource',
  'sys_time',
  'sys_tty_config',
  'mknod',
  'lease',
  'audit_write',
  'audit_control',
  'setfcap',
  'mac_override',
  'mac_admin',
  'syslog',
  'wake_alarm',
  'block_suspend',
  'audit_read',
  'perfmon',
  'bpf',
  'checkpoint_restore',
] as const;

/** Users inside one container. */
export const IDS_PER_CONTAINER = 65_536;
const LAST_ID = 0xffff_fffe;

/** Errors: `INVALID_SPEC` naming the key; none for a configuration that has been checked. */
export function securityOptions(
  security: Configuration['security'],
  uids: NumberRange,
): CoreOptions['security'] {
  return {
    subordinateIds: requireIdRanges(security, uids),
    capabilities: capabilityMask(security.capabilities),
    noNewPrivileges: security.no_new_privileges,
    seccomp: security.seccomp,
    coreDumps: security.core_dumps,
    fuse: security.unsafe_fuse,
    ceilings: {
      terminals: security.pty_max,
      sharedMemory: security.shm_size ?? undefined,
      devices: security.dev_size,
    },
  };
}

/**
 * Answers the first id of users inside; none without a user namespace. Errors: `INVALID_SPEC` naming the key:
 * the ranges of all containers must exist and must not meet the pool of uids, which are the same inside and
 * outside.
 */
export function requireIdRanges(
  { user_namespace, subordinate_ids: first }: Configuration['security'],
  uids: NumberRange,
): number | undefined {
  if (!user_namespace) return undefined;
  const end = first + uids.count * IDS_PER_CONTAINER;
  const room = Math.floor((LAST_ID + 1 - first) / IDS_PER_CONTAINER);
  if (room < uids.count) {
    throw new WardenError(
      'INVALID_SPEC',
      `security.subordinate_ids: from ${first} on there are ids for ${room} containers, user.pool_size asks for ${uids.count}`,
      { fields: { operation: 'id ranges', object: 'security.subordinate_ids', first, count: uids.count } },
    );
  }
  if (uids.first < end && uids.first + uids.count > first) {
    throw new WardenError(
      'INVALID_SPEC',
      `security.subordinate_ids: ${first} to ${end - 1} meets the uids of user.pool_start_uid`,
      { fields: { operation: 'id ranges', object: 'security.subordinate_ids', first, end } },
    );
  }
  return first;
}

/** Errors: `INVALID_SPEC` naming the key and the first name that there is not. */
export function capabilityMask(names: readonly string[]): bigint {
  let mask = 0n;
  for (const name of names) {
    const number = (CAPABILITIES as readonly string[]).indexOf(name.toLowerCase().replace(/^cap_/, ''));
    if (number === -1) {
      throw new WardenError(
        'INVALID_SPEC',
        `security.capabilities: there is no capability ${name}; capabilities(7) has their names`,
        {
          fields: { operation: 'capabilities', object: 'security.capabilities', name },
        },
      );
    }
    mask |= 1n << BigInt(number);
  }
  return mask;
}
