/** The host's address towards the rest of the world, at which ports are published. */
import { addressBytes, parseAddress } from './ipv4-address.ts';
import type { NetlinkConnection } from './netlink-connection.ts';
import { isKernelError } from './netlink-connection.ts';
import { getRoute, readPreferredSource } from './rtnetlink.ts';

/** Any address outside the host's networks: only its route is looked up. The original daemon asks for the same. */
const OUTSIDE = parseAddress('1.2.3.4');

/** The source address of packets to the outside; undefined without a route there. */
export function outwardAddress(connection: NetlinkConnection): number | undefined {
  try {
    const [received] = connection.route(getRoute(addressBytes(OUTSIDE)));
    return received === undefined ? undefined : readPreferredSource(received);
  } catch (error) {
    // EACCES, EINVAL and EHOSTUNREACH are what "prohibit", "blackhole" and "unreachable" routes answer.
    if (isKernelError(error, 'ENETUNREACH', 'EHOSTUNREACH', 'EACCES', 'EINVAL')) return undefined;
    throw error;
  }
}
