/**
 * Frames: `<decimal length>\r\n<message>\r\n` (spec protocol.md 2). The decoder is strict in the header,
 * bounded in memory and linear in the input: whatever the pieces, each byte is copied at most twice.
 */
import { ProtocolError } from './protocol-error.ts';

const CR = 0x0d;
const LF = 0x0a;
const ZERO = 0x30;
/** Digits and CRLF of the longest accepted header line (DECISIONS: largest frame). */
const MAX_HEADER_BYTES = 16;
const COPY_LIMIT_BYTES = 4 * 1024 * 1024;
/**
 * What a header alone makes anyone reserve: a piece of output as large as a pipe, and what lies around it,
 * never moves.
 */
const FIRST_BYTES = 65 * 1024;
/** Default for the largest message: scripts and outputs may be large. */
export const DEFAULT_MAX_FRAME_BYTES: number = 64 * 1024 * 1024;

/** Puts a message into a frame. */
export function encodeFrame(message: Uint8Array): Uint8Array {
  const frame = frameRoom(headerLength(message.length) + message.length + 2);
  const at = putHeader(frame, message.length);
  frame.set(message, at);
  frame[frame.length - 2] = CR;
  frame[frame.length - 1] = LF;
  return frame;
}

/** The length line of a frame. */
export function frameHeader(length: number): Uint8Array {
  const header = new Uint8Array(headerLength(length));
  putHeader(header, length);
  return header;
}

function headerLength(length: number): number {
  let digits = 1;
  for (let rest = length; rest > 9; rest = Math.floor(rest / 10)) digits++;
  return digits + 2;
}

/** Answers where the message begins. */
function putHeader(frame: Uint8Array, length: number): number {
  const end = headerLength(length);
  frame[end - 1] = LF;
  frame[end - 2] = CR;
  let rest = length;
  for (let at = end - 3; at >= 0; at--) {
    frame[at] = ZERO + (rest % 10);
    rest = Math.floor(rest / 10);
  }
  return end;
}

/** What ends a frame. */
export const FRAME_TRAILER: Uint8Array = Uint8Array.of(CR, LF);

/** Where memory for large messages comes from. */
export interface MessageMemory {
  /** Memory of at least `length` bytes of which nobody else has a part; `undefined`: fresh memory will do. */
  take(length: number): Uint8Array | undefined;
}

/** How a {@link FrameDecoder} works. */
export interface FrameDecoderOptions {
  /** Largest message; default {@link DEFAULT_MAX_FRAME_BYTES}. */
  readonly maxFrameBytes?: number;
  /** Small messages may lie in one `ArrayBuffer`: for those who do not give them to people who might transfer it. */
  readonly isShared?: boolean;
}

/**
 * Cuts a byte stream into messages. After it has thrown, the stream cannot be resynchronised and every later
 * call throws the same.
 */
export class FrameDecoder {
  readonly #maxFrameBytes: number;
  readonly #isShared: boolean;
  /** Asked for each message that begins. */
  memory: MessageMemory | undefined;
  /** Digits so far, their value, and whether CR has come. */
  #headerBytes = 0;
  #length = 0;
  #hasCr = false;
  /** The message being filled and its two trailing bytes; undefined while reading a header. */
  #body: Uint8Array | undefined;
  #filled = 0;
  #expected = 0;
  #broken: ProtocolError | undefined;

  constructor(options: FrameDecoderOptions = {}) {
    this.#maxFrameBytes = options.maxFrameBytes ?? DEFAULT_MAX_FRAME_BYTES;
    this.#isShared = options.isShared ?? false;
  }

  /** Whether the stream may end here: no frame has begun. */
  get isBetweenFrames(): boolean {
    return this.#headerBytes === 0 && this.#expected === 0;
  }

  /** Whether a length line has begun and not ended. */
  get isInHeader(): boolean {
    return this.#headerBytes > 0;
  }

  /** Bytes held of the frame that has begun. */
  get heldBytes(): number {
    return this.#expected === 0 ? 0 : this.#filled;
  }

  /** Forgets the frame that has begun. No more is taken. */
  drop(): void {
    this.#broken ??= new ProtocolError('frame', 'the stream was given up');
    this.#body = undefined;
    this.#expected = 0;
    this.#filled = 0;
    this.#headerBytes = 0;
  }

  /**
   * Takes the next piece; answers the messages it completed, none of which changes any more. Throws a
   * {@link ProtocolError} of kind `frame`.
   */
  push(chunk: Uint8Array): Uint8Array[] {
    const messages: Uint8Array[] = [];
    this.pushInto(chunk, messages);
    return messages;
  }

  /**
   * As {@link push}, but what was complete before a broken frame is in `messages` even when it throws. Stops
   * behind the message that is the `most`-th in there and answers how many bytes were taken: a small piece
   * can hold thousands of messages.
   */
  pushInto(chunk: Uint8Array, messages: Uint8Array[], most: number = Number.POSITIVE_INFINITY): number {
    if (this.#broken) throw this.#broken;
    let at = 0;
    while (at < chunk.length && messages.length < most) {
      if (this.#expected === 0) {
        at = this.#readHeader(chunk, at);
        continue;
      }
      at = this.#readBody(chunk, at);
      if (this.#filled === this.#expected) messages.push(this.#takeBody());
    }
    return at;
  }

  #readHeader(chunk: Uint8Array, from: number): number {
    let at = from;
    while (at < chunk.length) {
      const byte = chunk[at++]!;
      if (byte === LF && this.#hasCr) {
        this.#begin();
        return at;
      }
      const isDigit = byte >= 0x30 && byte <= 0x39;
      if ((!isDigit && byte !== CR) || this.#hasCr)
        throw this.#break('the length line of a frame must be decimal digits and CRLF');
      if (isDigit) this.#length = this.#length * 10 + (byte - 0x30);
      else this.#hasCr = true;
      this.#headerBytes++;
      if (this.#headerBytes >= MAX_HEADER_BYTES)
        throw this.#break(`the length line of a frame is longer than ${MAX_HEADER_BYTES} bytes`);
    }
    return at;
  }

  #begin(): void {
    const length = this.#length;
    // CR alone
    if (this.#headerBytes === 1) throw this.#break('the length line of a frame is empty');
    if (length > this.#maxFrameBytes)
      throw this.#break(`a frame of ${length} bytes is over the limit of ${this.#maxFrameBytes} bytes`);
    this.#headerBytes = 0;
    this.#length = 0;
    this.#hasCr = false;
    this.#expected = length + 2;
    this.#filled = 0;
    // grown with what arrives: a header alone must not make anyone reserve the maximum
    const first = Math.min(this.#expected, FIRST_BYTES);
    this.#body =
      this.memory?.take(first) ?? (this.#isShared && first <= SMALL_BYTES ? smallRoom(first) : room(first));
  }

  #readBody(chunk: Uint8Array, from: number): number {
    const count = Math.min(chunk.length - from, this.#expected - this.#filled);
    const needed = this.#filled + count;
    let body = this.#body!;
    if (needed > body.length) {
      // Who has sent so much gets room for the rest, so that nothing larger is ever copied at one go; the
      // kernel gives pages when they are used.
      const wanted = needed > COPY_LIMIT_BYTES ? this.#expected : Math.max(needed, body.length * 2);
      const larger = room(Math.min(this.#expected, wanted));
      larger.set(body.subarray(0, this.#filled));
      body = larger;
      this.#body = larger;
    }
    body.set(chunk.subarray(from, from + count), this.#filled);
    this.#filled = needed;
    return from + count;
  }

  #takeBody(): Uint8Array {
    const body = this.#body!;
    const length = this.#expected - 2;
    if (body[length] !== CR || body[length + 1] !== LF)
      throw this.#break('the trailer of a frame must be CRLF');
    this.#body = undefined;
    this.#expected = 0;
    return body.subarray(0, length);
  }

  #break(text: string): ProtocolError {
    this.#broken = new ProtocolError('frame', text);
    this.#body = undefined;
    return this.#broken;
  }
}

/** Up to here a message lies beside others: memory of its own costs more than all that is done with so few bytes. */
const SMALL_BYTES = 128;
/** Not more, since a message that somebody keeps for long keeps all of it. */
const SHARED_BYTES = 1_024;
let shared = new Uint8Array(0);
let sharedUsed = 0;

function smallRoom(length: number): Uint8Array {
  if (sharedUsed + length > shared.length) {
    shared = new Uint8Array(SHARED_BYTES);
    sharedUsed = 0;
  }
  sharedUsed += length;
  return shared.subarray(sharedUsed - length, sharedUsed);
}

interface Allocator {
  allocUnsafe(length: number): Uint8Array;
  allocUnsafeSlow(length: number): Uint8Array;
}

/** Absent in a browser. */
const { Buffer } = globalThis as { readonly Buffer?: Allocator };

/** What a socket writes without making a `Buffer` of it first, which for a small array moves it to another place. */
function frameRoom(length: number): Uint8Array {
  return Buffer === undefined ? new Uint8Array(length) : Buffer.allocUnsafe(length);
}

/**
 * Memory that nobody else uses, and that is filled before anybody sees it. Where there is a way not to have
 * it cleared first, that is half of what a large message costs.
 */
function room(length: number): Uint8Array {
  const bytes = Buffer?.allocUnsafeSlow(length);
  return bytes === undefined
    ? new Uint8Array(length)
    : new Uint8Array(bytes.buffer, bytes.byteOffset, length);
}
