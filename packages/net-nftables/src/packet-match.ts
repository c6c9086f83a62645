/** Matches that several rules need, each a list of expressions that goes on when the packet fits. */
import type { AddressRange } from './ipv4-address.ts';
import { addressBytes } from './ipv4-address.ts';
import { bigEndian16, uint8 } from './netlink-message.ts';
import type { Expression } from './nftables-expression.ts';
import {
  CT_STATUS_DNAT,
  compare,
  compareByte,
  ctStatusHas,
  interfaceKey,
  loadLastParts,
  META,
  mask,
  memberOf,
  meta,
  notMemberOf,
  PAYLOAD,
  payload,
  within,
} from './nftables-expression.ts';

/** Numbers of the protocols that rules can name. */
export const PROTOCOL = { icmp: 1, tcp: 6, udp: 17 } as const;

const NFPROTO_IPV4 = 2;
const SOURCE_OFFSET = 12;
const DESTINATION_OFFSET = 16;
const DESTINATION_PORT_OFFSET = 2;

/** IPv4 packets. In an `inet` table it must stand in front of any look at an address. */
export function isIpv4(): Expression[] {
  return [meta(META.nfproto), compareByte(NFPROTO_IPV4)];
}

/** Packets of any other family. */
export function isNotIpv4(): Expression[] {
  return [meta(META.nfproto), compareByte(NFPROTO_IPV4, 'is-not')];
}

/** Packets of one transport protocol. It must stand in front of any look at a port. */
export function isProtocol(protocol: keyof typeof PROTOCOL): Expression[] {
  return [meta(META.l4proto), compareByte(PROTOCOL[protocol])];
}

/** Segments that ask for a connection: of FIN, SYN, RST and ACK only SYN is set. */
export function isConnectionRequest(): Expression[] {
  const [FLAGS_OFFSET, SYN, FIN_SYN_RST_ACK] = [13, 0x02, 0x17];
  const flags = payload(PAYLOAD.transport, FLAGS_OFFSET, 1);
  return [...isProtocol('tcp'), flags, mask(uint8(FIN_SYN_RST_ACK)), compareByte(SYN)];
}

/** Packets that came in by an interface of the set. */
export function fromInterfaceIn(set: string): Expression[] {
  return [meta(META.iifname), memberOf(set)];
}

/** Packets that came in by no interface of the set. */
export function fromInterfaceNotIn(set: string): Expression[] {
  return [meta(META.iifname), notMemberOf(set)];
}

/** Packets that leave by an interface of the set. */
export function toInterfaceIn(set: string): Expression[] {
  return [meta(META.oifname), memberOf(set)];
}

/** Packets that leave by no interface of the set. */
export function toInterfaceNotIn(set: string): Expression[] {
  return [meta(META.oifname), notMemberOf(set)];
}

/** Packets that came in by this interface. */
export function fromInterface(name: string): Expression[] {
  return [meta(META.iifname), compare(interfaceKey(name))];
}

/** Packets that leave by any other interface than this one. */
export function notToInterface(name: string): Expression[] {
  return [meta(META.oifname), compare(interfaceKey(name), 'is-not')];
}

/** IPv4 packets to a member of an address set. */
export function toAddressIn(set: string): Expression[] {
  return [...isIpv4(), loadAddress('destination'), memberOf(set)];
}

/** IPv4 packets from (to) an address of the range. */
export function addressWithin(end: 'source' | 'destination', range: AddressRange): Expression[] {
  return [...isIpv4(), loadAddress(end), between(addressBytes(range.first), addressBytes(range.last))];
}

/** IPv4 packets to no member of an address set. */
export function toAddressNotIn(set: string): Expression[] {
  return [...isIpv4(), loadAddress('destination'), notMemberOf(set)];
}

/** IPv4 packets whose interface, destination and these bytes are together a member of the set. */
export function isLearned(set: string, hash: Uint8Array): Expression[] {
  return [
    ...isIpv4(),
    meta(META.iifname),
    loadAddress('destination', 'second'),
    ...loadLastParts(hash),
    memberOf(set),
  ];
}

/** IPv4 packets that come in by an interface and from an address that are no pair of the set. */
export function isFromElsewhere(set: string): Expression[] {
  return [...isIpv4(), meta(META.iifname), loadAddress('source', 'second'), notMemberOf(set)];
}

/**
 * IPv4 packets that leave by an interface and come from an address that are a pair of the set: they go back
 * to their sender.
 */
export function isReturning(set: string): Expression[] {
  return [...isIpv4(), meta(META.oifname), loadAddress('source', 'second'), memberOf(set)];
}

/**
 * IPv4 packets whose header is not of the shortest form: they carry options, such as a route of the sender's
 * choice.
 */
export function hasIpOptions(): Expression[] {
  const VERSION_4_AND_FIVE_WORDS = 0x45;
  return [...isIpv4(), payload(PAYLOAD.network, 0, 1), compareByte(VERSION_4_AND_FIVE_WORDS, 'is-not')];
}

/** Packets of a transport protocol that is no member of the set. */
export function isProtocolNotIn(set: string): Expression[] {
  return [meta(META.l4proto), notMemberOf(set)];
}

/**
 * ICMP packets of these types whose quoted packet, the one they complain about, was not sent to the address
 * that the interface has in the set. Of packets known to be ICMP.
 */
export function quotesElsewhere(
  types: { readonly first: number; readonly last: number },
  set: string,
): Expression[] {
  const QUOTED_DESTINATION = 8 + DESTINATION_OFFSET;
  return [
    payload(PAYLOAD.transport, 0, 1),
    between(uint8(types.first), uint8(types.last)),
    meta(META.iifname),
    payload(PAYLOAD.transport, QUOTED_DESTINATION, 4, 'second'),
    notMemberOf(set),
  ];
}

/** IPv4 packets to addresses of the range whose destination was another one before: they came by a published port. */
export function publishedWithin(range: AddressRange): Expression[] {
  return [...addressWithin('destination', range), ...ctStatusHas(CT_STATUS_DNAT)];
}

/** IPv4 packets to an address below or above the range: two matches, as a rule has no "or". */
export function toAddressOutside(range: AddressRange): Expression[][] {
  const sides: AddressRange[] = [];
  if (range.first > 0) sides.push({ first: 0, last: range.first - 1 });
  if (range.last < 0xffff_ffff) sides.push({ first: range.last + 1, last: 0xffff_ffff });
  return sides.map((side) => addressWithin('destination', side));
}

/** Loads the destination port of a packet known to be TCP or UDP. */
export function loadDestinationPort(): Expression {
  return payload(PAYLOAD.transport, DESTINATION_PORT_OFFSET, 2);
}

/** TCP or UDP packets to a port of the range. */
export function destinationPortWithin(range: {
  readonly first: number;
  readonly last: number;
}): Expression[] {
  return [loadDestinationPort(), between(bigEndian16(range.first), bigEndian16(range.last))];
}

/** ICMP packets with this type (offset 0) or code (offset 1). */
export function icmpByte(field: 'type' | 'code', value: number): Expression[] {
  return [payload(PAYLOAD.transport, field === 'type' ? 0 : 1, 1), compareByte(value)];
}

/** Loads an address of an IPv4 packet. */
export function loadAddress(end: 'source' | 'destination', part: 'first' | 'second' = 'first'): Expression {
  return payload(PAYLOAD.network, end === 'source' ? SOURCE_OFFSET : DESTINATION_OFFSET, 4, part);
}

function between(first: Buffer, last: Buffer): Expression {
  return first.equals(last) ? compare(first) : within(first, last);
}
