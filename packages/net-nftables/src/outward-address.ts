/**
 * The host's address towards the rest of the world, at which ports are published, and the link it goes out
 * by; and which addresses are its own.
 */
import { addressBytes, parseAddress } from './ipv4-address.ts';
import type { NetlinkConnection } from './netlink-connection.ts';
import { isKernelError } from './netlink-connection.ts';
import {
  getLinkByIndex,
  getRoute,
  isLocalRoute,
  readLink,
  readOutgoingLink,
  readPreferredSource,
} from './rtnetlink.ts';

/** Any address outside the host's networks: only its route is looked up. The original daemon asks for the same. */
const OUTSIDE = parseAddress('1.2.3.4');

/** The source address of packets to the outside; undefined without a route there. */
export function outwardAddress(connection: NetlinkConnection): number | undefined {
  const received = outwardRoute(connection);
  return received && readPreferredSource(received);
}

/** The name of the link by which packets go outside; undefined without a route there. */
export function outwardLink(connection: NetlinkConnection): string | undefined {
  const received = outwardRoute(connection);
  const index = received && readOutgoingLink(received);
  if (index === undefined) return undefined;
  const [link] = connection.route(getLinkByIndex(index));
  return link && readLink(link).name;
}

/** Whether packets to the address are for this host itself. */
export function isOwnAddress(connection: NetlinkConnection, address: number): boolean {
  const received = routeTo(connection, address);
  return received !== undefined && isLocalRoute(received);
}

function outwardRoute(connection: NetlinkConnection): Buffer | undefined {
  return routeTo(connection, OUTSIDE);
}

function routeTo(connection: NetlinkConnection, address: number): Buffer | undefined {
  try {
    return connection.route(getRoute(addressBytes(address)))[0];
  } catch (error) {
    // EACCES, EINVAL and EHOSTUNREACH are what "prohibit", "blackhole" and "unreachable" routes answer.
    if (isKernelError(error, 'ENETUNREACH', 'EHOSTUNREACH', 'EACCES', 'EINVAL')) return undefined;
    throw error;
  }
}
