/** Making and removing a container's link. */
import type { NetworkSpec } from '@warden/interface';
import { WardenError } from '@warden/interface';
import { addressBytes, networkOf, parseAddress } from './ipv4-address.ts';
import { linkEnds } from './link-names.ts';
import type { NetlinkConnection, RouteSteps } from './netlink-connection.ts';
import { isKernelError } from './netlink-connection.ts';
import type { MessageBody } from './netlink-message.ts';
import type { Link } from './rtnetlink.ts';
import {
  addAddress,
  addNeighbour,
  createVeth,
  deleteLink,
  getLink,
  markLink,
  readLink,
  removeAddress,
  takeDown,
} from './rtnetlink.ts';

const IPV6_MIN_MTU = 1280;

/** What every link of a driver has in common. */
export interface LinkSettings {
  /** Alias by which the driver knows its links again. */
  readonly alias: string;
  readonly hasIpv6: boolean;
}

/** Below the least MTU of IPv6 the kernel has none of it on a link, and refuses to be told about it. */
export function linkHasIpv6({ hasIpv6 }: LinkSettings, mtu: number): boolean {
  return hasIpv6 && mtu >= IPV6_MIN_MTU;
}

/** The host end with this name, or undefined. */
export function findLink(connection: NetlinkConnection, name: string): Link | undefined {
  return connection.carryOut(linkSearch(name));
}

/** The steps of {@link findLink}. */
export function* linkSearch(name: string): RouteSteps<Link | undefined> {
  try {
    const [received] = yield [getLink(name)];
    return received === undefined ? undefined : readLink(received);
  } catch (error) {
    if (isKernelError(error, 'ENODEV')) return undefined;
    throw error;
  }
}

/** {@link pairCreation}, and {@link linkEquipment} behind it. */
export function* linkCreation(spec: NetworkSpec, settings: LinkSettings): RouteSteps<Link> {
  const link = yield* pairCreation(spec, settings);
  yield* linkEquipment(spec, settings, link);
  return link;
}

/**
 * Makes the pair with its far end in the namespace of `pid` (without one, beside the near end) and sets the
 * near end up. A link of the same name that a crash left is replaced, a foreign one is not. On failure no
 * link remains.
 */
export function* pairCreation(spec: NetworkSpec, settings: LinkSettings, pid?: number): RouteSteps<Link> {
  const { host, container } = linkEnds(spec.id);
  // The listing in the same send tells the number the kernel gave to the new link.
  const create = [createVeth(host, container, spec.mtu, pid), getLink(host.name)];
  let received: Buffer | undefined;
  try {
    [received] = yield create;
  } catch (error) {
    if (!isKernelError(error, 'EEXIST')) throw error;
    const stale = yield* linkSearch(host.name); // none: its namespace has ended meanwhile
    // A crash may have come before the alias; a link with another alias belongs to somebody.
    if (stale !== undefined && stale.alias !== '' && stale.alias !== settings.alias)
      throw foreignLink(stale, error);
    if (stale !== undefined) yield* linkRemoval(stale);
    [received] = yield create;
  }
  if (received === undefined) throw new TypeError('the kernel did not list the new link');
  return readLink(received);
}

/** Gives a new link its alias, its address and its neighbour. On failure no link remains. */
export function* linkEquipment(spec: NetworkSpec, settings: LinkSettings, link: Link): RouteSteps<void> {
  try {
    const mark = markLink(link.index, settings.alias, linkHasIpv6(settings, spec.mtu));
    yield [mark, ...addressing(spec, link)];
  } catch (error) {
    yield* linkRemoval(link);
    throw error;
  }
}

function foreignLink({ name, alias }: Link, cause: unknown): WardenError {
  return new WardenError(
    'ALREADY_EXISTS',
    `the link ${name} exists and belongs to ${JSON.stringify(alias)}; give each warden of a host its own drivers.name`,
    { cause, fields: { operation: 'attach', object: name, owner: alias } },
  );
}

/**
 * Gives an existing link its neighbour, its address if it is not there, and what else it shall have, in one
 * go. Idempotent. Errors: ENODEV.
 */
export function ensureAddressing(
  connection: NetlinkConnection,
  spec: NetworkSpec,
  link: Link,
  { hasAddress, others }: { readonly hasAddress: boolean; readonly others: readonly MessageBody[] },
): void {
  const [address, neighbour] = addressing(spec, link);
  connection.route(...(hasAddress ? [] : [address]), neighbour, ...others);
}

function addressing(spec: NetworkSpec, link: Link): [address: MessageBody, neighbour: MessageBody] {
  const host = parseAddress(spec.hostIp);
  const broadcast = networkOf(host, spec.prefixLength).last;
  return [
    addAddress(link.index, addressBytes(host), spec.prefixLength, addressBytes(broadcast)),
    addNeighbour(link.index, addressBytes(parseAddress(spec.containerIp)), linkEnds(spec.id).container.mac),
  ];
}

/**
 * Cuts a link at once: without the address that the next user of the subnet will need, and down. The address
 * first: its routes go with it one by one, while a link that goes down with routes makes the kernel look
 * through those of all links. The link itself goes with the namespace of its far end. Answers whether it was
 * there.
 */
export function* linkDisconnection(spec: NetworkSpec, link: Link): RouteSteps<boolean> {
  const address = removeAddress(link.index, addressBytes(parseAddress(spec.hostIp)), spec.prefixLength);
  const down = takeDown(link.index);
  try {
    try {
      yield [address, down];
    } catch (error) {
      if (!isKernelError(error, 'EADDRNOTAVAIL')) throw error;
      // Of two refusals only the first is told; and a link that goes loses its address first.
      yield [down];
    }
  } catch (error) {
    if (isKernelError(error, 'ENODEV')) return false;
    throw error;
  }
  return true;
}

/** Deletes a link and waits for it, about 30 ms. Idempotent. */
export function removeLink(connection: NetlinkConnection, link: Link): void {
  connection.carryOut(linkRemoval(link));
}

/** The steps of {@link removeLink}. */
export function* linkRemoval(link: Link): RouteSteps<void> {
  try {
    yield [deleteLink(link.index)];
  } catch (error) {
    if (!isKernelError(error, 'ENODEV')) throw error;
  }
}
