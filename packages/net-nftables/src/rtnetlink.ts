/**
 * rtnetlink messages (linux/rtnetlink.h, if_link.h, veth.h): links, addresses, neighbours, the route to an address.
 *
 * Everything is in host byte order except addresses, which are bytes.
 */
import type { MessageBody } from './netlink-message.ts';
import {
  attribute,
  attributeText,
  familyHeader,
  messageAttributes,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  NLM_F_REQUEST,
  nested,
  parseAttributes,
  readUint32,
  textAttribute,
  uint8,
  uint16,
  uint32,
} from './netlink-message.ts';

const RTM = {
  newLink: 16,
  delLink: 17,
  getLink: 18,
  newAddress: 20,
  delAddress: 21,
  getAddress: 22,
  getRoute: 26,
  newNeighbour: 28,
  getNamespace: 90,
} as const;
const AF_INET = 2;
const AF_INET6 = 10;
const IFLA = {
  address: 1,
  ifname: 3,
  mtu: 4,
  linkInfo: 18,
  netNsPid: 19,
  alias: 20,
  afSpec: 26,
  group: 27,
  extMask: 29,
  sendQueues: 31,
  receiveQueues: 32,
  linkNamespace: 37,
} as const;
/** Within what is told of IPv4, whose settings are counted from 1, and of IPv6, whose are from 0. */
const IFLA_INET_CONF = 1;
const DEVCONF_ROUTE_LOCALNET = 26;
const IFLA_INET6_CONF = 2;
const DEVCONF_DISABLE_IPV6 = 26;
const IFF_UP = 1;
const IFF_NOARP = 0x80;
const IFINFOMSG_BYTES = 16;
const RTMSG_BYTES = 12;
const IFADDRMSG_BYTES = 8;

/** One end of a veth pair. */
export interface LinkEnd {
  readonly name: string;
  /** Link-layer address, 6 bytes. */
  readonly mac: Uint8Array;
}

/** A link as the kernel lists it. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** Text set by {@link markLink}; empty when there is none. */
  readonly alias: string;
  /** As it was made: a container is told its own when it is. */
  readonly mtu: number;
  /** False of one that was cut off. */
  readonly isUp: boolean;
  /** Number that the kernel shows in lists and nobody else of ours uses; 0 by default. */
  readonly group: number;
  /** See {@link routeLoopback}. */
  readonly routesLoopback: boolean;
  /** IPv6 is not switched off on it. */
  readonly hasIpv6: boolean;
  /** What the kernel calls the namespace of a veth's far end here, where that is another one. */
  readonly farNamespace: number | undefined;
}

function request(type: number, flags: number, ...parts: readonly Buffer[]): MessageBody {
  return { type, flags: NLM_F_REQUEST | NLM_F_ACK | flags, payload: Buffer.concat(parts) };
}

function linkHeader(index: number, flags = 0): Buffer {
  // Flags and the mask of those to be changed are the same: bits are only ever set.
  return Buffer.concat([Buffer.alloc(4), uint32(index), uint32(flags), uint32(flags)]);
}

/**
 * With one queue each way said at once: else veth makes one per processor and takes all but one back, for
 * which the kernel waits until nobody uses them any more (`netif_set_real_num_tx_queues`, `synchronize_net`),
 * on both ends.
 */
function end({ name, mac }: LinkEnd, mtu: number): Buffer {
  return Buffer.concat([
    textAttribute(IFLA.ifname, name),
    attribute(IFLA.mtu, uint32(mtu)),
    attribute(IFLA.address, mac),
    attribute(IFLA.sendQueues, uint32(1)),
    attribute(IFLA.receiveQueues, uint32(1)),
  ]);
}

/**
 * Makes a veth pair, the far end directly in the network namespace of `pid`, or beside the near one. The near
 * end is up and resolves no addresses: with ARP on, a container could fill the host's neighbour table. EEXIST
 * when either name is taken.
 */
export function createVeth(near: LinkEnd, far: LinkEnd, mtu: number, pid?: number): MessageBody {
  const VETH_INFO_PEER = 1;
  const namespace = pid === undefined ? [] : [attribute(IFLA.netNsPid, uint32(pid))];
  const peer = Buffer.concat([linkHeader(0), end(far, mtu), ...namespace]);
  return request(
    RTM.newLink,
    NLM_F_CREATE | NLM_F_EXCL,
    linkHeader(0, IFF_UP | IFF_NOARP),
    end(near, mtu),
    nested(IFLA.linkInfo, textAttribute(1, 'veth'), nested(2, nested(VETH_INFO_PEER, peer))),
  );
}

/**
 * Makes an intermediate device, still down: what leaves by it comes back where it came from. EEXIST when the
 * name is taken.
 */
export function createIntermediate(name: string, mtu: number): MessageBody {
  return request(
    RTM.newLink,
    NLM_F_CREATE | NLM_F_EXCL,
    linkHeader(0, IFF_NOARP),
    textAttribute(IFLA.ifname, name),
    attribute(IFLA.mtu, uint32(mtu)),
    nested(IFLA.linkInfo, textAttribute(1, 'ifb')),
  );
}

/** Asks for a link by name. ENODEV when there is none. */
export function getLink(name: string): MessageBody {
  const SKIP_STATISTICS = 8;
  return request(
    RTM.getLink,
    0,
    linkHeader(0),
    textAttribute(IFLA.ifname, name),
    attribute(IFLA.extMask, uint32(SKIP_STATISTICS)),
  );
}

/** Asks for a link by number. ENODEV when there is none. */
export function getLinkByIndex(index: number): MessageBody {
  const SKIP_STATISTICS = 8;
  return request(RTM.getLink, 0, linkHeader(index), attribute(IFLA.extMask, uint32(SKIP_STATISTICS)));
}

/** Asks for all links. */
export function dumpLinks(): MessageBody {
  const SKIP_STATISTICS = 8;
  return request(RTM.getLink, NLM_F_DUMP, linkHeader(0), attribute(IFLA.extMask, uint32(SKIP_STATISTICS)));
}

/** Reads the answer to {@link getLink} and {@link dumpLinks}. */
export function readLink(received: Buffer): Link {
  const attributes = messageAttributes(received, IFINFOMSG_BYTES);
  const families = parseAttributes(attributes.get(IFLA.afSpec) ?? Buffer.alloc(0));
  const number = (type: number): number | undefined => {
    const bytes = attributes.get(type);
    return bytes === undefined ? undefined : readUint32(bytes, 0);
  };
  const header = familyHeader(received, IFINFOMSG_BYTES);
  return {
    isUp: (readUint32(header, 8) & IFF_UP) !== 0,
    mtu: number(IFLA.mtu) ?? 0,
    routesLoopback: settingOf(families, AF_INET, IFLA_INET_CONF, DEVCONF_ROUTE_LOCALNET - 1) === 1,
    hasIpv6: settingOf(families, AF_INET6, IFLA_INET6_CONF, DEVCONF_DISABLE_IPV6) === 0,
    group: number(IFLA.group) ?? 0,
    farNamespace: number(IFLA.linkNamespace),
    index: readUint32(header, 4),
    name: attributeText(attributes.get(IFLA.ifname)),
    alias: attributeText(attributes.get(IFLA.alias)),
  };
}

/**
 * Of what is listed by family, its settings are numbers one after the other. Undefined where there is no such
 * family or setting.
 */
function settingOf(
  families: ReadonlyMap<number, Buffer>,
  ...[family, list, position]: readonly [family: number, list: number, position: number]
): number | undefined {
  const listed = families.get(family);
  const values = listed === undefined ? undefined : parseAttributes(listed).get(list);
  const at = position * 4;
  return values === undefined || values.length < at + 4 ? undefined : readUint32(values, at);
}

/** Sets a link's group number. */
export function setLinkGroup(index: number, group: number): MessageBody {
  return request(RTM.newLink, 0, linkHeader(index), attribute(IFLA.group, uint32(group)));
}

const NETNSA = { nsid: 1, pid: 2 } as const;
const RTGENMSG_BYTES = 4;

/** Asks what the kernel calls a process's network namespace here. ESRCH when there is no such process. */
export function getNamespaceNumber(pid: number): MessageBody {
  return request(RTM.getNamespace, 0, Buffer.alloc(RTGENMSG_BYTES), attribute(NETNSA.pid, uint32(pid)));
}

/** The answer to {@link getNamespaceNumber}; undefined for one that has no number here. */
export function readNamespaceNumber(received: Buffer): number | undefined {
  const NOT_ASSIGNED = 0xffff_ffff;
  const bytes = messageAttributes(received, RTGENMSG_BYTES).get(NETNSA.nsid);
  const number = bytes === undefined ? NOT_ASSIGNED : readUint32(bytes, 0);
  return number === NOT_ASSIGNED ? undefined : number;
}

/** Deletes a link; of a veth pair both ends go. Takes about 30 ms. */
export function deleteLink(index: number): MessageBody {
  return request(RTM.delLink, 0, linkHeader(index));
}

/** Sets a link up. */
export function bringUp(index: number): MessageBody {
  return request(RTM.newLink, 0, linkHeader(index, IFF_UP));
}

/** Takes a link down: nothing passes it any more. */
export function takeDown(index: number): MessageBody {
  return request(RTM.newLink, 0, Buffer.concat([Buffer.alloc(4), uint32(index), uint32(0), uint32(IFF_UP)]));
}

/**
 * Lets packets from and to 127.0.0.0/8 be routed by this link, as connections to a port published on
 * 127.0.0.1 need it.
 */
export function routeLoopback(index: number): MessageBody {
  return request(
    RTM.newLink,
    0,
    linkHeader(index),
    nested(
      IFLA.afSpec,
      nested(AF_INET, nested(IFLA_INET_CONF, attribute(DEVCONF_ROUTE_LOCALNET, uint32(1)))),
    ),
  );
}

/** Sets the text `ip link` shows as alias, and keeps the kernel from giving the link a link-local IPv6 address. */
export function markLink(index: number, alias: string, hasIpv6: boolean): MessageBody {
  const IFLA_INET6_ADDR_GEN_MODE = 8;
  const MODE_NONE = 1;
  const parts = [linkHeader(index), textAttribute(IFLA.alias, alias)];
  // A kernel without IPv6 refuses the whole message.
  if (hasIpv6) {
    parts.push(nested(IFLA.afSpec, nested(AF_INET6, attribute(IFLA_INET6_ADDR_GEN_MODE, uint8(MODE_NONE)))));
  }
  return request(RTM.newLink, 0, ...parts);
}

/** Gives a link its IPv4 address, with the connected route. */
export function addAddress(
  index: number,
  address: Uint8Array,
  prefixLength: number,
  broadcast: Uint8Array,
): MessageBody {
  return request(
    RTM.newAddress,
    NLM_F_CREATE | NLM_F_REPLACE,
    Buffer.concat([Buffer.of(AF_INET, prefixLength, 0, 0), uint32(index)]),
    attribute(2, address),
    attribute(1, address),
    attribute(4, broadcast),
  );
}

/** Asks for the IPv4 addresses of all links. */
export function dumpAddresses(): MessageBody {
  return request(RTM.getAddress, NLM_F_DUMP, Buffer.of(AF_INET, 0, 0, 0), Buffer.alloc(4));
}

/** Reads the answer to {@link dumpAddresses}; undefined for what names no address of its own. */
export function readAddress(
  received: Buffer,
): { readonly index: number; readonly address: number; readonly prefixLength: number } | undefined {
  const header = familyHeader(received, IFADDRMSG_BYTES);
  const local = messageAttributes(received, IFADDRMSG_BYTES).get(2);
  if (local === undefined || local.length < 4) return undefined;
  return { index: readUint32(header, 4), address: local.readUInt32BE(0), prefixLength: header[1] ?? 0 };
}

/** Takes a link's IPv4 address away, with its routes. EADDRNOTAVAIL when it does not have it. */
export function removeAddress(index: number, address: Uint8Array, prefixLength: number): MessageBody {
  return request(
    RTM.delAddress,
    0,
    Buffer.concat([Buffer.of(AF_INET, prefixLength, 0, 0), uint32(index)]),
    attribute(2, address),
    attribute(1, address),
  );
}

/** Enters a permanent neighbour: it never expires and does not count against the neighbour table's limit of 1024. */
export function addNeighbour(index: number, address: Uint8Array, mac: Uint8Array): MessageBody {
  const NUD_PERMANENT = 0x80;
  return request(
    RTM.newNeighbour,
    NLM_F_CREATE | NLM_F_REPLACE,
    Buffer.concat([Buffer.of(AF_INET, 0, 0, 0), uint32(index), uint16(NUD_PERMANENT), Buffer.alloc(2)]),
    attribute(1, address),
    attribute(2, mac),
  );
}

/** Asks by which route an address would be reached; nothing is sent there. ENETUNREACH without a route. */
export function getRoute(destination: Uint8Array): MessageBody {
  return request(
    RTM.getRoute,
    0,
    Buffer.concat([Buffer.of(AF_INET, 32, 0, 0, 0, 0, 0, 0), Buffer.alloc(4)]),
    attribute(1, destination),
  );
}

/** Whether the answer to {@link getRoute} leads to the host itself. */
export function isLocalRoute(received: Buffer): boolean {
  const [TYPE, LOCAL] = [7, 2];
  return familyHeader(received, RTMSG_BYTES)[TYPE] === LOCAL;
}

/** The number of the link the answer to {@link getRoute} leads out by, if it names one. */
export function readOutgoingLink(received: Buffer): number | undefined {
  const bytes = messageAttributes(received, RTMSG_BYTES).get(4);
  return bytes === undefined || bytes.length < 4 ? undefined : readUint32(bytes, 0);
}

/** The source address of the answer to {@link getRoute}, if it names one. */
export function readPreferredSource(received: Buffer): number | undefined {
  const bytes = messageAttributes(received, RTMSG_BYTES).get(7);
  return bytes === undefined || bytes.length < 4 ? undefined : bytes.readUInt32BE(0);
}
