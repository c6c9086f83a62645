/** Links of this driver among all of the host, and what is known of them when they have been listed once. */
import type { ContainerId, NetworkSpec } from '@warden/interface';
import { parseAddress } from './ipv4-address.ts';
import { linkOwner, shaperOwner } from './link-names.ts';
import type { NetlinkConnection } from './netlink-connection.ts';
import type { Link } from './rtnetlink.ts';
import { dumpAddresses, dumpLinks, readAddress, readLink } from './rtnetlink.ts';

/** Links and intermediate devices with our alias. */
export interface OwnLinks {
  readonly links: Map<ContainerId, Link>;
  readonly shapers: Set<ContainerId>;
}

/** What was there at a setup. */
export interface Seen extends OwnLinks {
  /** Addresses with their links and lengths, see {@link hasOwnAddress}. */
  readonly addresses: ReadonlySet<string>;
  /** Addresses of links without our alias. */
  readonly foreign: readonly number[];
}

/** Lists those with this alias. */
export function ownLinks(connection: NetlinkConnection, alias: string): OwnLinks {
  return ownOf(allLinks(connection), alias);
}

function allLinks(connection: NetlinkConnection): Link[] {
  return connection.route(dumpLinks()).map(readLink);
}

function ownOf(all: readonly Link[], alias: string): OwnLinks {
  const links = new Map<ContainerId, Link>();
  const shapers = new Set<ContainerId>();
  for (const link of all) {
    if (link.alias !== alias) continue;
    const owner = linkOwner(link.name);
    if (owner !== undefined) links.set(owner, link);
    const shaped = shaperOwner(link.name);
    if (shaped !== undefined) shapers.add(shaped);
  }
  return { links, shapers };
}

/** {@link ownLinks} with all addresses. */
export function lookAround(connection: NetlinkConnection, alias: string): Seen {
  const all = allLinks(connection);
  const own = new Set(all.filter((link) => link.alias === alias).map(({ index }) => index));
  const found = connection.route(dumpAddresses()).flatMap((received) => readAddress(received) ?? []);
  return {
    ...ownOf(all, alias),
    addresses: new Set(found.map((one) => keyOf(one.index, one.address, one.prefixLength))),
    foreign: found.filter(({ index }) => !own.has(index)).map(({ address }) => address),
  };
}

/** Whether the link had the address that it is to have. */
export function hasOwnAddress(
  { addresses }: Seen,
  { hostIp, prefixLength }: NetworkSpec,
  { index }: Link,
): boolean {
  return addresses.has(keyOf(index, parseAddress(hostIp), prefixLength));
}

function keyOf(index: number, address: number, prefixLength: number): string {
  return `${index} ${address} ${prefixLength}`;
}
