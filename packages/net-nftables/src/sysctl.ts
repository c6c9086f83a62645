/** Kernel settings that netlink does not reach, under `/proc/sys` of the process's network namespace. */
import { existsSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { WardenError } from '@warden/interface';
import { writeSetting } from '@warden/native';
import { isKernelError } from './netlink-connection.ts';

const FORWARDING = '/proc/sys/net/ipv4/ip_forward';
const IPV4 = '/proc/sys/net/ipv4';
const IPV6 = '/proc/sys/net/ipv6';

/**
 * Lets the host route IPv4; answers false when it did already. It is left alone then: writing resets settings
 * of interfaces. Errors: `NATIVE_FAILED`.
 */
export function enableForwarding(): boolean {
  try {
    if (readFileSync(FORWARDING, 'latin1').trim() === '1') return false;
    writeFileSync(FORWARDING, '1\n');
    return true;
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

/** The network namespace of this process, as `net:[4026531840]`; undefined where the kernel does not tell. */
export function ownNamespace(): string | undefined {
  try {
    return readlinkSync('/proc/self/ns/net');
  } catch {
    return undefined;
  }
}

/** Tells whether the kernel has IPv6. */
export function hasIpv6(): boolean {
  return existsSync(IPV6);
}

/**
 * Whether a link of this name is in the namespace of this process, by the settings that each link has.
 * Without the kernel's lock around all links, for which any other question waits. True where the settings
 * cannot be looked at.
 */
export function mayBeLink(name: string): boolean {
  return existsSync(`${IPV4}/conf/${name}`) || !existsSync(`${IPV4}/conf/lo`);
}

/**
 * Switches IPv6 off on a link; nothing happens where there is no such link, or no IPv6 on it. Errors: those
 * of the file, such as EROFS.
 */
export async function switchOffIpv6(link: string): Promise<void> {
  try {
    await writeSetting(`${IPV6}/conf/${link}/disable_ipv6`, '1\n');
  } catch (error) {
    if (!isKernelError(error, 'ENOENT')) throw error;
  }
}
