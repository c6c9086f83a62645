/**
 * rtnetlink messages of traffic control (linux/pkt_sched.h, pkt_cls.h, tc_act/tc_mirred.h): token buckets,
 * and the redirection that lets what comes in by one link be queued as if it left by another.
 */
import type { MessageBody } from './netlink-message.ts';
import {
  attribute,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  NLM_F_REQUEST,
  nested,
  textAttribute,
  uint16,
  uint32,
  uint64,
} from './netlink-message.ts';

const RTM = { newQdisc: 36, delQdisc: 37, newFilter: 44 } as const;
const TCA = { kind: 1, options: 2 } as const;
const HANDLE_ROOT = 0xffff_ffff;
const HANDLE_INGRESS_PARENT = 0xffff_fff1;
const HANDLE_INGRESS = 0xffff_0000;
const UINT32_MAX = 0xffff_ffffn;

/** A bucket as the kernel takes it. */
export interface TokenBucket {
  /** Bytes per second. */
  readonly rate: bigint;
  /** Bytes; no packet larger than this ever passes. */
  readonly burst: number;
  /** Bytes that may wait. */
  readonly queue: number;
}

interface Place {
  readonly index: number;
  readonly handle: number;
  readonly parent: number;
  readonly info?: number;
}

function request(type: number, flags: number, place: Place, ...parts: readonly Buffer[]): MessageBody {
  const { index, handle, parent, info = 0 } = place;
  const header = [Buffer.alloc(4), uint32(index), uint32(handle), uint32(parent), uint32(info)];
  return { type, flags: NLM_F_REQUEST | NLM_F_ACK | flags, payload: Buffer.concat([...header, ...parts]) };
}

const kind = (name: string): Buffer => textAttribute(TCA.kind, name);

/**
 * Makes a token bucket the way out of a link. One that is there already gets a new rate in place, and nothing
 * that waits is lost. A new burst makes a new bucket, put in the old one's place at once: what waits in the
 * old one may be larger than the new burst, would never pass, and would hold back everything behind it.
 * Nothing passes unshaped either way.
 */
export function replaceBucket(index: number, { rate, burst, queue }: TokenBucket): MessageBody {
  const TBF = { parms: 1, rate64: 4, burst: 6 } as const;
  const LINKLAYER_ETHERNET = 1;
  const low = rate < UINT32_MAX ? Number(rate) : 0xffff_ffff;
  const ratespec = Buffer.concat([Buffer.of(0, LINKLAYER_ETHERNET), Buffer.alloc(6), uint32(low)]);
  const parms = Buffer.concat([
    ratespec,
    Buffer.alloc(ratespec.length), // no second, faster bucket
    uint32(queue),
    uint32(0), // the burst in clock ticks; TBF.burst says it in bytes
    uint32(0),
  ]);
  const options = [attribute(TBF.parms, parms), attribute(TBF.burst, uint32(burst))];
  if (rate >= UINT32_MAX) options.push(attribute(TBF.rate64, uint64(rate)));
  return request(
    RTM.newQdisc,
    NLM_F_CREATE | NLM_F_REPLACE,
    { index, handle: bucketHandle(burst), parent: HANDLE_ROOT },
    kind('tbf'),
    nested(TCA.options, ...options),
  );
}

/**
 * Another handle for another burst, by which the kernel tells a change from a replacement. Majors below
 * 0x8000 are free to be chosen.
 */
function bucketHandle(burst: number): number {
  return ((burst % 0x7ffe) + 1) << 16;
}

/** Takes a link's bucket away. ENOENT or EINVAL when it has none. */
export function deleteBucket(index: number): MessageBody {
  return request(RTM.delQdisc, 0, { index, handle: 0, parent: HANDLE_ROOT });
}

/** Makes the place where filters see what comes in by a link. EEXIST when it is there. */
export function addIngress(index: number): MessageBody {
  return request(
    RTM.newQdisc,
    NLM_F_CREATE | NLM_F_EXCL,
    { index, handle: HANDLE_INGRESS, parent: HANDLE_INGRESS_PARENT },
    kind('ingress'),
  );
}

/** Takes that place away with its filters. ENOENT or EINVAL when there is none. */
export function deleteIngress(index: number): MessageBody {
  return request(RTM.delQdisc, 0, { index, handle: HANDLE_INGRESS, parent: HANDLE_INGRESS_PARENT });
}

/**
 * Sends everything that comes in by a link out by another one, which hands it back after queueing (an ifb).
 * EEXIST when it does.
 */
export function redirectIncoming(index: number, target: number): MessageBody {
  const U32 = { sel: 5, act: 7 } as const;
  const ACT = { kind: 1, options: 2 } as const;
  const MIRRED_PARMS = 2;
  const EGRESS_REDIRECT = 1;
  const ACTION_STOLEN = 4;
  const FLAG_TERMINAL = 1;
  const ETH_P_ALL = 0x0003;
  const PRIORITY = 1;
  // The first entry of the first table: a fixed number, so that a second one is refused instead of added.
  const FIRST_ENTRY = 0x8000_0800;
  // One key that compares nothing: every packet fits.
  const selector = Buffer.concat([Buffer.of(FLAG_TERMINAL, 0, 1, 0), Buffer.alloc(12), Buffer.alloc(16)]);
  const mirred = Buffer.concat([
    uint32(0),
    uint32(0),
    uint32(ACTION_STOLEN),
    uint32(0),
    uint32(0),
    uint32(EGRESS_REDIRECT),
    uint32(target),
  ]);
  const action = nested(
    1,
    textAttribute(ACT.kind, 'mirred'),
    nested(ACT.options, attribute(MIRRED_PARMS, mirred)),
  );
  return request(
    RTM.newFilter,
    NLM_F_CREATE | NLM_F_EXCL,
    {
      index,
      handle: FIRST_ENTRY,
      parent: HANDLE_INGRESS,
      info: ((PRIORITY << 16) | wireOrder(ETH_P_ALL)) >>> 0,
    },
    kind('u32'),
    nested(TCA.options, nested(U32.act, action), attribute(U32.sel, selector)),
  );
}

/** A 16-bit number whose bytes in memory are those of network order. */
function wireOrder(value: number): number {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return uint16(1)[0] === 1 ? bytes.readUInt16LE() : bytes.readUInt16BE();
}
