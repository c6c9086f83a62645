/**
 * Forgetting the connections of an address (linux/netfilter/nfnetlink_conntrack.h). The next container that
 * gets the address would otherwise inherit them: what looks established passes every rule.
 */
import { readFileSync } from 'node:fs';
import type { NetlinkConnection } from './netlink-connection.ts';
import { isKernelError } from './netlink-connection.ts';
import type { MessageBody } from './netlink-message.ts';
import {
  attribute,
  attribute32,
  messageAttributes,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  nested,
  parseAttributes,
  uint32,
} from './netlink-message.ts';

const SUBSYSTEM = 1;
const CT = { get: 1, delete: 2 } as const;
const CTA = { tupleOriginal: 1, tupleReply: 2, status: 3, id: 12, zone: 18, filter: 25 } as const;
/** Bit of the status: something has come back. */
const SEEN_REPLY = 2;
const TUPLE_IP = 1;
const TUPLE_PROTOCOL = 2;
const IP_SOURCE = 1;
const IP_DESTINATION = 2;
const PROTOCOL_FIELD = { number: 1, sourcePort: 2, destinationPort: 3, icmpType: 5, icmpCode: 6 } as const;
const FILTER = { original: 1, reply: 2 } as const;
const FILTER_IP_SOURCE = 1;
const AF_INET = 2;
const NFGENMSG_BYTES = 4;

type Direction = 'original' | 'reply';

const TUPLE_OF = { original: CTA.tupleOriginal, reply: CTA.tupleReply } as const;

function request(type: number, flags: number, ...attributes: readonly Buffer[]): MessageBody {
  // Version 1: of a deletion, that the family is meant.
  const header = Buffer.of(AF_INET, type === CT.delete ? 1 : 0, 0, 0);
  return {
    type: (SUBSYSTEM << 8) | type,
    flags: NLM_F_REQUEST | flags,
    payload: Buffer.concat([header, ...attributes]),
  };
}

/** Forgets all connections whose packets come from `source` in one direction. Kernels before 6.11 answer EINVAL. */
function forgetFrom(direction: Direction, source: number): MessageBody {
  return request(CT.delete, NLM_F_ACK, ...from(direction, source));
}

/** Only connections whose packets come from `source` in one direction. */
function from(direction: Direction, source: number): Buffer[] {
  const flags = (of: Direction): Buffer =>
    attribute(FILTER[of], uint32(of === direction ? FILTER_IP_SOURCE : 0));
  return [
    nested(TUPLE_OF[direction], nested(TUPLE_IP, attribute32(IP_SOURCE, source))),
    nested(CTA.filter, flags('original'), flags('reply')),
  ];
}

/** Names exactly this connection: a later one of the same addresses and ports has another id. */
function forgetOne(attributes: ReadonlyMap<number, Buffer>): MessageBody {
  const tuple = attributes.get(CTA.tupleOriginal) ?? Buffer.alloc(0);
  const rest = [CTA.zone, CTA.id].flatMap((type) => {
    const value = attributes.get(type);
    return value === undefined ? [] : [attribute(type, value)];
  });
  return request(CT.delete, NLM_F_ACK, nested(CTA.tupleOriginal, tuple), ...rest);
}

function sourceOf(tuple: Buffer | undefined): number | undefined {
  if (tuple === undefined) return undefined;
  const addresses = parseAttributes(tuple).get(TUPLE_IP);
  return addresses && parseAttributes(addresses).get(IP_SOURCE)?.readUInt32BE(0);
}

/** Looking through the kernel's table takes milliseconds however empty it is. */
function isTableEmpty(): boolean {
  try {
    return readFileSync('/proc/sys/net/netfilter/nf_conntrack_count', 'latin1').trim() === '0';
  } catch {
    return false;
  }
}

/** Forgets every connection from and to each of these addresses. */
export function forgetConnections(connection: NetlinkConnection, addresses: ReadonlySet<number>): void {
  if (addresses.size === 0 || isTableEmpty()) return;
  try {
    for (const address of addresses)
      for (const direction of ['original', 'reply'] as const) connection.dump(forgetFrom(direction, address));
  } catch (error) {
    if (!isKernelError(error, 'EINVAL', 'EOPNOTSUPP')) throw error;
    forgetListed(connection, (address) => addresses.has(address));
  }
}

/**
 * As {@link forgetConnections} for all addresses of a kind: every connection is listed, and those concerned
 * are named one by one.
 */
export function forgetListed(connection: NetlinkConnection, concerns: (address: number) => boolean): void {
  if (isTableEmpty()) return;
  for (const received of connection.dump(request(CT.get, NLM_F_DUMP))) {
    const attributes = messageAttributes(received, NFGENMSG_BYTES);
    const sources = Object.values(TUPLE_OF).map((type) => sourceOf(attributes.get(type)));
    if (sources.some((source) => source !== undefined && concerns(source))) forget(connection, attributes);
  }
}

/** A connection as it began, and where that led. */
export interface TrackedConnection {
  /** Of its transport. */
  readonly protocol: number;
  /** Where its first packet was sent. */
  readonly to: number;
  readonly toPort: number | undefined;
  /** Who answers: somebody else than `to` when the destination was rewritten. */
  readonly end: number;
  readonly endPort: number | undefined;
  /** Where that is sent: somebody else than who has begun when the source was rewritten. */
  readonly answeredTo: number;
  /** Whether anything was. */
  readonly isAnswered: boolean;
  /** Of what was asked with ICMP. */
  readonly icmpType: number | undefined;
  readonly icmpCode: number | undefined;
}

/**
 * Forgets those of the connections that `source` has begun (`original`), or answers (`reply`), of which
 * `isOver` says so.
 */
export function forgetSome(
  connection: NetlinkConnection,
  [direction, source]: readonly [direction: Direction, source: number],
  isOver: (one: TrackedConnection) => boolean,
): void {
  if (isTableEmpty()) return;
  for (const received of listFrom(connection, direction, source)) {
    const attributes = messageAttributes(received, NFGENMSG_BYTES);
    if (sourceOf(attributes.get(TUPLE_OF[direction])) !== source) continue;
    const one = readConnection(attributes);
    if (one !== undefined && isOver(one)) forget(connection, attributes);
  }
}

/** Kernels before 5.8 list all of them, whatever they are asked for; others may not know the question. */
function listFrom(connection: NetlinkConnection, direction: Direction, source: number): Buffer[] {
  try {
    return connection.dump(request(CT.get, NLM_F_DUMP, ...from(direction, source)));
  } catch (error) {
    if (!isKernelError(error, 'EINVAL', 'EOPNOTSUPP')) throw error;
    return connection.dump(request(CT.get, NLM_F_DUMP));
  }
}

function forget(connection: NetlinkConnection, attributes: ReadonlyMap<number, Buffer>): void {
  try {
    connection.dump(forgetOne(attributes));
  } catch (error) {
    // It ended by itself meanwhile.
    if (!isKernelError(error, 'ENOENT')) throw error;
  }
}

/** Undefined when the attributes are not those of a connection of IPv4. */
function readConnection(attributes: ReadonlyMap<number, Buffer>): TrackedConnection | undefined {
  const original = readTuple(attributes.get(CTA.tupleOriginal));
  const reply = readTuple(attributes.get(CTA.tupleReply));
  if (original === undefined || reply === undefined) return undefined;
  const status = attributes.get(CTA.status);
  return {
    protocol: original.protocol,
    to: original.destination,
    toPort: original.destinationPort,
    end: reply.source,
    endPort: reply.sourcePort,
    answeredTo: reply.destination,
    isAnswered: status !== undefined && status.length >= 4 && (status.readUInt32BE(0) & SEEN_REPLY) !== 0,
    icmpType: original.icmpType,
    icmpCode: original.icmpCode,
  };
}

interface Tuple {
  readonly protocol: number;
  readonly source: number;
  readonly destination: number;
  readonly sourcePort: number | undefined;
  readonly destinationPort: number | undefined;
  readonly icmpType: number | undefined;
  readonly icmpCode: number | undefined;
}

function readTuple(bytes: Buffer | undefined): Tuple | undefined {
  const parts = bytes === undefined ? undefined : parseAttributes(bytes);
  const [addresses, protocols] = [parts?.get(TUPLE_IP), parts?.get(TUPLE_PROTOCOL)].map((part) =>
    part === undefined ? undefined : parseAttributes(part),
  );
  const [source, destination] = [IP_SOURCE, IP_DESTINATION].map((type) => addresses?.get(type));
  const one = (type: number): number | undefined => protocols?.get(type)?.[0];
  const port = (type: number): number | undefined => {
    const value = protocols?.get(type);
    return value === undefined || value.length < 2 ? undefined : value.readUInt16BE(0);
  };
  const protocol = one(PROTOCOL_FIELD.number);
  if (source?.length !== 4 || destination?.length !== 4 || protocol === undefined) return undefined;
  return {
    protocol,
    source: source.readUInt32BE(0),
    destination: destination.readUInt32BE(0),
    sourcePort: port(PROTOCOL_FIELD.sourcePort),
    destinationPort: port(PROTOCOL_FIELD.destinationPort),
    icmpType: one(PROTOCOL_FIELD.icmpType),
    icmpCode: one(PROTOCOL_FIELD.icmpCode),
  };
}
