/**
 * Forgetting the connections of an address (linux/netfilter/nfnetlink_conntrack.h). The next container that gets the address would
 * otherwise inherit them: what looks established passes every rule.
 */
import type { NetlinkConnection } from './netlink-connection.ts';
import { isKernelError } from './netlink-connection.ts';
import type { MessageBody } from './netlink-message.ts';
import {
  attribute,
  bigEndian32,
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
const CTA = { tupleOriginal: 1, tupleReply: 2, id: 12, zone: 18, filter: 25 } as const;
const TUPLE_IP = 1;
const IP_SOURCE = 1;
const FILTER = { original: 1, reply: 2 } as const;
const FILTER_IP_SOURCE = 1;
const AF_INET = 2;
const NFGENMSG_BYTES = 4;

type Direction = 'original' | 'reply';

const TUPLE_OF = { original: CTA.tupleOriginal, reply: CTA.tupleReply } as const;

function request(type: number, flags: number, ...attributes: readonly Buffer[]): MessageBody {
  return {
    type: (SUBSYSTEM << 8) | type,
    flags: NLM_F_REQUEST | flags,
    payload: Buffer.concat([Buffer.of(AF_INET, 0, 0, 0), ...attributes]),
  };
}

/** Asks for the connections whose packets come from `source` in one direction. Kernels before 5.8 answer with all of them. */
function connectionsFrom(direction: Direction, source: number): MessageBody {
  const flags = (of: Direction): Buffer =>
    attribute(FILTER[of], uint32(of === direction ? FILTER_IP_SOURCE : 0));
  return request(
    CT.get,
    NLM_F_DUMP,
    nested(TUPLE_OF[direction], nested(TUPLE_IP, attribute(IP_SOURCE, bigEndian32(source)))),
    nested(CTA.filter, flags('original'), flags('reply')),
  );
}

function sourceOf(tuple: Buffer | undefined): number | undefined {
  if (tuple === undefined) return undefined;
  const addresses = parseAttributes(tuple).get(TUPLE_IP);
  return addresses && parseAttributes(addresses).get(IP_SOURCE)?.readUInt32BE(0);
}

/** Names exactly this connection: a later one of the same addresses and ports has another id. */
function forget(attributes: ReadonlyMap<number, Buffer>): MessageBody {
  const tuple = attributes.get(CTA.tupleOriginal) ?? Buffer.alloc(0);
  const rest = [CTA.zone, CTA.id].flatMap((type) => {
    const value = attributes.get(type);
    return value === undefined ? [] : [attribute(type, value)];
  });
  return request(CT.delete, NLM_F_ACK, nested(CTA.tupleOriginal, tuple), ...rest);
}

/** Forgets every connection from and to each of these addresses; answers how many there were. */
export function forgetConnections(connection: NetlinkConnection, addresses: Iterable<number>): number {
  let count = 0;
  for (const address of addresses) {
    for (const direction of ['original', 'reply'] as const) {
      for (const received of connection.dump(connectionsFrom(direction, address))) {
        const attributes = messageAttributes(received, NFGENMSG_BYTES);
        if (sourceOf(attributes.get(TUPLE_OF[direction])) !== address) continue;
        try {
          connection.dump(forget(attributes));
          count += 1;
        } catch (error) {
          // It ended by itself meanwhile.
          if (!isKernelError(error, 'ENOENT')) throw error;
        }
      }
    }
  }
  return count;
}

/** Forgets every connection from an address of the pool whose owner is not known to live; for what an earlier daemon left. */
export function forgetStrangers(
  connection: NetlinkConnection,
  isStranger: (address: number) => boolean,
): number {
  const strangers = new Set<number>();
  for (const received of connection.dump(request(CT.get, NLM_F_DUMP))) {
    const attributes = messageAttributes(received, NFGENMSG_BYTES);
    for (const type of Object.values(TUPLE_OF)) {
      const source = sourceOf(attributes.get(type));
      if (source !== undefined && isStranger(source)) strangers.add(source);
    }
  }
  return forgetConnections(connection, strangers);
}
