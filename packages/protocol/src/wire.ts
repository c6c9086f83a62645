/** The protobuf wire format: varints, tags, length-delimited blocks. */
import { ProtocolError } from './protocol-error.ts';

/** Wire types in use; 1 and 5 occur only in unknown fields. */
export const VARINT = 0;
export const FIXED64 = 1;
export const BLOCK = 2;
export const FIXED32 = 5;

const MAX_UINT64 = (1n << 64n) - 1n;
/** Up to here each integer is a number of its own. */
const MAX_EXACT = BigInt(Number.MAX_SAFE_INTEGER);

const MAX_INT31 = 0x7fffffff;
/** To encode a short text by a call of its own takes longer than to copy it. */
const SHORT_TEXT = 100;

/** Blocks from this size on are handed on as they are. */
const LARGE_BLOCK_BYTES = 16 * 1024;

/** What a writer begins with; most messages, and all that lie within them, need no more. */
const FIRST_BYTES = 128;
/** A buffer of its own for each writer would cost more than all that is written into it. */
const SHARED_BYTES = 8 * 1024;
let shared = new Uint8Array(0);
let sharedUsed = 0;

/** A piece that nobody has had before and nobody gets again. */
function firstBytes(): Uint8Array {
  if (sharedUsed + FIRST_BYTES > shared.length) {
    shared = new Uint8Array(SHARED_BYTES);
    sharedUsed = 0;
  }
  sharedUsed += FIRST_BYTES;
  return shared.subarray(sharedUsed - FIRST_BYTES, sharedUsed);
}

/** Collects a message in pieces: small things in a growing buffer, large blocks without a copy. */
export class WireWriter {
  readonly #parts: Uint8Array[] = [];
  #bytes = firstBytes();
  /** Where what is not yet a part begins and ends. */
  #from = 0;
  #to = 0;
  #partBytes = 0;

  /** Bytes written. */
  get length(): number {
    return this.#partBytes + this.#to - this.#from;
  }

  varint(value: number | bigint): void {
    this.#reserve(10);
    if (typeof value === 'bigint' && value >= 0n && value <= MAX_EXACT) {
      this.#number(Number(value));
    } else if (typeof value === 'bigint') {
      let rest = BigInt.asUintN(64, value);
      while (rest > 0x7fn) {
        this.#bytes[this.#to++] = Number(rest & 0x7fn) | 0x80;
        rest >>= 7n;
      }
      this.#bytes[this.#to++] = Number(rest);
    } else {
      this.#number(value);
    }
  }

  /** A number is several times as fast as a bigint, and one of 31 bits as fast again. */
  #number(value: number): void {
    const bytes = this.#bytes;
    let to = this.#to;
    let rest = value;
    while (rest > MAX_INT31) {
      bytes[to++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    while (rest > 0x7f) {
      bytes[to++] = (rest & 0x7f) | 0x80;
      rest >>= 7;
    }
    bytes[to++] = rest;
    this.#to = to;
  }

  /** A tag and an integer behind it, which is exact. */
  number(field: number, value: number): void {
    this.#reserve(20);
    this.#number(field * 8 + VARINT);
    this.#number(value);
  }

  /**
   * A block of the characters, each as a byte, when the text is short and all of them are ASCII; else it
   * writes nothing and answers false.
   */
  ascii(field: number, text: string): boolean {
    const { length } = text;
    if (length > SHORT_TEXT) return false;
    this.#reserve(12 + length);
    const from = this.#to;
    this.#number(field * 8 + BLOCK);
    this.#number(length);
    const bytes = this.#bytes;
    let to = this.#to;
    for (let at = 0; at < length; at++) {
      const unit = text.charCodeAt(at);
      if (unit > 0x7f) {
        this.#to = from;
        return false;
      }
      bytes[to++] = unit;
    }
    this.#to = to;
    return true;
  }

  tag(field: number, wireType: number): void {
    this.varint(field * 8 + wireType);
  }

  block(bytes: Uint8Array): void {
    this.varint(bytes.length);
    this.#append(bytes);
  }

  /** A block that another writer has collected. */
  blockOf(inner: WireWriter): void {
    this.varint(inner.length);
    for (const part of inner.parts()) this.#append(part);
  }

  /** The pieces in order. They are views: neither they nor large blocks may be changed before they are sent. */
  parts(): readonly Uint8Array[] {
    this.#closePart();
    return this.#parts;
  }

  finish(): Uint8Array {
    if (this.#parts.length === 0) return this.#bytes.slice(this.#from, this.#to);
    const whole = new Uint8Array(this.length);
    let at = 0;
    for (const part of this.parts()) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }

  #append(bytes: Uint8Array): void {
    if (bytes.length >= LARGE_BLOCK_BYTES) {
      this.#closePart();
      this.#parts.push(bytes);
      this.#partBytes += bytes.length;
      return;
    }
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#to);
    this.#to += bytes.length;
  }

  #closePart(): void {
    if (this.#to === this.#from) return;
    const part = this.#bytes.subarray(this.#from, this.#to);
    this.#parts.push(part);
    this.#partBytes += part.length;
    this.#from = this.#to;
  }

  #reserve(count: number): void {
    const needed = this.#to + count;
    if (needed <= this.#bytes.length) return;
    // What has become a part stays where it is.
    const begun = this.#bytes.subarray(this.#from, this.#to);
    const larger = new Uint8Array(Math.max(begun.length + count, this.#bytes.length * 2));
    larger.set(begun);
    this.#bytes = larger;
    this.#from = 0;
    this.#to = begun.length;
  }
}

/** Reads a block from front to back. Every method throws a {@link ProtocolError} at a truncated end. */
export class WireReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** Up to 64 bits; a number when it is below 2^28, else a bigint. */
  varint(): number | bigint {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#byte();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    let large = BigInt(value);
    for (let shift = 28n; shift < 70n; shift += 7n) {
      const byte = this.#byte();
      large |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return large & MAX_UINT64;
    }
    throw new ProtocolError('message', 'a varint is longer than ten bytes');
  }

  /** Field number and wire type together: eight times the one and the other. */
  tag(): number {
    const value = Number(this.varint());
    const field = Math.floor(value / 8);
    if (field < 1 || field > 0x1fffffff)
      throw new ProtocolError('message', `field number ${field} is out of range`);
    return value;
  }

  /** A view into the input, not a copy. */
  block(): Uint8Array {
    const length = Number(this.varint());
    if (length > this.#bytes.length - this.#at) throw truncated();
    const block = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return block;
  }

  skip(wireType: number): void {
    switch (wireType) {
      case VARINT:
        this.varint();
        break;
      case BLOCK:
        this.block();
        break;
      case FIXED64:
        this.#advance(8);
        break;
      case FIXED32:
        this.#advance(4);
        break;
      default:
        throw new ProtocolError('message', `wire type ${wireType} is not supported`);
    }
  }

  #advance(count: number): void {
    if (count > this.#bytes.length - this.#at) throw truncated();
    this.#at += count;
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw truncated();
    return byte;
  }
}

function truncated(): ProtocolError {
  return new ProtocolError('message', 'the message is truncated');
}
