/**
 * The netlink wire format: headers, attributes and their nesting (linux/netlink.h).
 *
 * Everything a header or rtnetlink carries is in host byte order; nftables attributes are big-endian. Each
 * function makes one finished piece, padded to 4 bytes, so that pieces are joined by plain concatenation.
 */
import { endianness } from 'node:os';

const isLittleEndian = endianness() === 'LE';

export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_DUMP = 0x300;
/** Of a "new" request: fail when the object exists. */
export const NLM_F_EXCL = 0x200;
/** Of a "new" request: replace the object. The same bit as EXCL's dump meaning, not EXCL itself. */
export const NLM_F_REPLACE = 0x100;
export const NLM_F_CREATE = 0x400;
/** Of a "new" request for a list member: at the end, not at the front. */
export const NLM_F_APPEND = 0x800;

const HEADER_BYTES = 16;
const PORT_AT = 12;
const ATTRIBUTE_HEADER_BYTES = 4;
const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;

/** One message of a request, before it has a sequence number. */
export interface MessageBody {
  readonly type: number;
  readonly flags: number;
  readonly payload: Buffer;
}

/** One byte. */
export function uint8(value: number): Buffer {
  return Buffer.of(value & 0xff);
}

/** 16 bits in host byte order. */
export function uint16(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(2);
  writeUint16(bytes, value, 0);
  return bytes;
}

/** 32 bits in host byte order; negative numbers as two's complement. */
export function uint32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  writeUint32(bytes, value, 0);
  return bytes;
}

/** 64 bits in host byte order. */
export function uint64(value: bigint): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  if (isLittleEndian) bytes.writeBigUInt64LE(value);
  else bytes.writeBigUInt64BE(value);
  return bytes;
}

/** 16 bits in network byte order. */
export function bigEndian16(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

/** 32 bits in network byte order; negative numbers as two's complement. */
export function bigEndian32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  writeBigEndian32(bytes, value, 0);
  return bytes;
}

/** 64 bits in network byte order. */
export function bigEndian64(value: bigint): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
}

/** Text with its closing NUL. */
export function cString(text: string): Buffer {
  return Buffer.from(`${text}\0`, 'utf8');
}

/** Reads 16 bits in host byte order. */
export function readUint16(bytes: Buffer, at: number): number {
  return isLittleEndian ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at);
}

/** Reads 32 bits in host byte order. */
export function readUint32(bytes: Buffer, at: number): number {
  return isLittleEndian ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at);
}

function writeUint16(bytes: Buffer, value: number, at: number): void {
  bytes[at] = isLittleEndian ? value : value >>> 8;
  bytes[at + 1] = isLittleEndian ? value >>> 8 : value;
}

function writeUint32(bytes: Buffer, value: number, at: number): void {
  if (isLittleEndian) {
    writeUint16(bytes, value, at);
    writeUint16(bytes, value >>> 16, at + 2);
  } else {
    writeBigEndian32(bytes, value, at);
  }
}

/** Byte by byte, which a function that has not been compiled yet does faster than Node's checked ones. */
function writeBigEndian32(bytes: Buffer, value: number, at: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

function padding(length: number): number {
  return -length & 3;
}

/**
 * Room for `length` bytes, which the caller writes, and zeros up to the next multiple of four. It is cut from
 * Node's pool: a base table is some nine hundred pieces, and memory of its own for each is left to the garbage
 * collector.
 */
function room(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length + padding(length));
  pad(bytes, length);
  return bytes;
}

/** Puts zeros where something ends, up to the next multiple of four, and answers where that is. */
function pad(bytes: Buffer, end: number): number {
  const padded = end + padding(end);
  for (let at = end; at < padded; at++) bytes[at] = 0;
  return padded;
}

function attributeRoom(type: number, payloadBytes: number): Buffer {
  const length = ATTRIBUTE_HEADER_BYTES + payloadBytes;
  const bytes = room(length);
  writeUint16(bytes, length, 0);
  writeUint16(bytes, type, 2);
  return bytes;
}

/** One attribute with its padding. */
export function attribute(type: number, payload: Uint8Array): Buffer {
  const bytes = attributeRoom(type, payload.length);
  bytes.set(payload, ATTRIBUTE_HEADER_BYTES);
  return bytes;
}

/** An attribute that is text with its closing NUL. */
export function textAttribute(type: number, text: string): Buffer {
  const length = Buffer.byteLength(text);
  const bytes = attributeRoom(type, length + 1);
  bytes.write(text, ATTRIBUTE_HEADER_BYTES);
  bytes[ATTRIBUTE_HEADER_BYTES + length] = 0;
  return bytes;
}

/** An attribute that is 32 bits in network byte order; negative numbers as two's complement. */
export function attribute32(type: number, value: number): Buffer {
  const bytes = attributeRoom(type, 4);
  writeBigEndian32(bytes, value, ATTRIBUTE_HEADER_BYTES);
  return bytes;
}

/** An attribute whose payload is attributes. */
export function nested(type: number, ...attributes: readonly Buffer[]): Buffer {
  let length = 0;
  for (const one of attributes) length += one.length;
  const bytes = attributeRoom(type | NLA_F_NESTED, length);
  let at = ATTRIBUTE_HEADER_BYTES;
  for (const one of attributes) {
    bytes.set(one, at);
    at += one.length;
  }
  return bytes;
}

/** Puts the header in front of a body. The sender's port stays 0: the kernel fills it in. */
export function message(body: MessageBody, sequence: number): Buffer {
  return messages([body], [sequence]);
}

/** Several messages behind one another, each with the number at its place in `sequences`. */
export function messages(bodies: readonly MessageBody[], sequences: readonly number[]): Buffer {
  let total = 0;
  for (const { payload } of bodies) total += HEADER_BYTES + payload.length + padding(payload.length);
  const bytes = Buffer.allocUnsafe(total);
  let at = 0;
  for (const [i, { type, flags, payload }] of bodies.entries()) {
    const length = HEADER_BYTES + payload.length;
    writeUint32(bytes, length, at);
    writeUint16(bytes, type, at + 4);
    writeUint16(bytes, flags, at + 6);
    writeUint32(bytes, sequences[i]!, at + 8);
    writeUint32(bytes, 0, at + PORT_AT);
    bytes.set(payload, at + HEADER_BYTES);
    at = pad(bytes, at + length);
  }
  return bytes;
}

/** The type of a received message. */
export function messageType(received: Buffer): number {
  return readUint16(received, 4);
}

/** The payload of a received message: `familyHeader` bytes of protocol header are skipped as well. */
export function messageAttributes(received: Buffer, familyHeader: number): Map<number, Buffer> {
  return parseAttributes(received.subarray(HEADER_BYTES + familyHeader, readUint32(received, 0)));
}

/** The protocol header that stands in front of the attributes; what a message is short of is zero. */
export function familyHeader(received: Buffer, length: number): Buffer {
  const header = received.subarray(HEADER_BYTES, HEADER_BYTES + length);
  return header.length === length ? header : Buffer.concat([header], length);
}

/** Attributes by type; of a repeated one the last. Stops at a length that does not fit. */
export function parseAttributes(bytes: Buffer): Map<number, Buffer> {
  return new Map(listAttributes(bytes));
}

/** Attributes in order, with repetitions, as lists of elements need it. */
export function listAttributes(bytes: Buffer): [type: number, payload: Buffer][] {
  const found: [number, Buffer][] = [];
  let at = 0;
  while (at + ATTRIBUTE_HEADER_BYTES <= bytes.length) {
    const length = readUint16(bytes, at);
    if (length < ATTRIBUTE_HEADER_BYTES || at + length > bytes.length) break;
    found.push([
      readUint16(bytes, at + 2) & NLA_TYPE_MASK,
      bytes.subarray(at + ATTRIBUTE_HEADER_BYTES, at + length),
    ]);
    at += length + padding(length);
  }
  return found;
}

/** Text of an attribute, up to its NUL. */
export function attributeText(payload: Buffer | undefined): string {
  if (payload === undefined) return '';
  const end = payload.indexOf(0);
  return payload.toString('utf8', 0, end < 0 ? payload.length : end);
}
