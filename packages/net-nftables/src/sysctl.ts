/** Kernel settings that netlink does not reach, under `/proc/sys` of the process's network namespace. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { WardenError } from '@warden/interface';

const FORWARDING = '/proc/sys/net/ipv4/ip_forward';
const IPV6 = '/proc/sys/net/ipv6';

/**
 * Lets the host route IPv4. Left alone when it is on already: writing resets settings of interfaces.
 * Errors: `NATIVE_FAILED`.
 */
export function enableForwarding(): void {
  try {
    if (readFileSync(FORWARDING, 'latin1').trim() !== '1') writeFileSync(FORWARDING, '1\n');
  } catch (cause) {
    throw new WardenError('NATIVE_FAILED', 'cannot enable IPv4 forwarding', {
      cause,
      fields: {
        operation: 'enable-forwarding',
        object: FORWARDING,
        errno: (cause as NodeJS.ErrnoException).code,
      },
    });
  }
}

/** Tells whether the kernel has IPv6. */
export function hasIpv6(): boolean {
  return existsSync(IPV6);
}
