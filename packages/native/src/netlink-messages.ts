/** The netlink message format (linux/netlink.h): 16-byte headers in host byte order, each message padded to 4 bytes. */
import { endianness } from 'node:os';

const isLittleEndian = endianness() === 'LE';
const HEADER_BYTES = 16;

export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
/** The dump was changed while it was made and may miss something. */
export const NLM_F_DUMP_INTR = 0x10;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
const NLMSGERR_ATTR_MSG = 1;
const NLMSGERR_ATTR_OFFS = 2;

export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** The whole message with its header, a view into the datagram. */
  readonly bytes: Buffer;
}

/** What an NLMSG_ERROR or NLMSG_DONE says. `error` is 0 or a negative error number. */
export interface NetlinkVerdict {
  readonly error: number;
  readonly detail?: string;
  /** Where in the request the kernel saw the mistake. */
  readonly offset?: number;
}

function uint16(bytes: Buffer, at: number): number {
  return isLittleEndian ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at);
}

function uint32(bytes: Buffer, at: number): number {
  return isLittleEndian ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at);
}

/** Not by a mask: of what a message says of itself, up to 2^32 - 1, that would make a negative number. */
function align(length: number): number {
  return Math.ceil(length / 4) * 4;
}

/** Cuts a datagram or request into its messages. Throws `RangeError` when the lengths do not fit. */
export function splitMessages(datagram: Buffer): NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  let at = 0;
  while (at < datagram.length) {
    const length = datagram.length - at >= HEADER_BYTES ? uint32(datagram, at) : 0;
    if (length < HEADER_BYTES || length > datagram.length - at)
      throw new RangeError(`malformed netlink message at byte ${at}`);
    const bytes = datagram.subarray(at, at + length);
    messages.push({ type: uint16(bytes, 4), flags: uint16(bytes, 6), sequence: uint32(bytes, 8), bytes });
    at += align(length);
  }
  return messages;
}

/** Reads an NLMSG_ERROR or NLMSG_DONE with its extended acknowledgement. */
export function readVerdict(message: NetlinkMessage): NetlinkVerdict {
  const { bytes, flags, type } = message;
  // A DONE without payload is an old one and means success.
  const error = bytes.length >= HEADER_BYTES + 4 ? bytes.readInt32LE(HEADER_BYTES) : 0;
  const value = isLittleEndian || bytes.length < HEADER_BYTES + 4 ? error : bytes.readInt32BE(HEADER_BYTES);
  if ((flags & NLM_F_ACK_TLVS) === 0) return { error: value };
  return { error: value, ...readExtendedAck(bytes, attributesStart(type, flags, bytes)) };
}

/** The attributes follow the error number and, in an ERROR, the request's header (with its payload, unless capped). */
function attributesStart(type: number, flags: number, bytes: Buffer): number {
  const afterError = HEADER_BYTES + 4;
  if (type === NLMSG_DONE) return afterError;
  if ((flags & NLM_F_CAPPED) !== 0 || bytes.length < afterError + 4) return afterError + HEADER_BYTES;
  return afterError + align(uint32(bytes, afterError));
}

function readExtendedAck(bytes: Buffer, start: number): { detail?: string; offset?: number } {
  const found: { detail?: string; offset?: number } = {};
  for (let at = start; at + 4 <= bytes.length; ) {
    const length = uint16(bytes, at);
    if (length < 4 || at + length > bytes.length) break;
    const kind = uint16(bytes, at + 2);
    if (kind === NLMSGERR_ATTR_MSG)
      found.detail = bytes.toString('utf8', at + 4, at + length).replace(/\0+$/, '');
    if (kind === NLMSGERR_ATTR_OFFS && length >= 8) found.offset = uint32(bytes, at + 4);
    at += align(length);
  }
  return found;
}
