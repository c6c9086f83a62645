/**
 * Frames: `<decimal length>\r\n<message>\r\n` (spec protocol.md 2). The decoder is strict in the header, bounded in memory and linear
 * in the input: whatever the pieces, each byte is copied at most twice.
 */
import { ProtocolError } from './protocol-error.ts';

const CR = 0x0d;
const LF = 0x0a;
/** Digits and CRLF of the longest accepted header line (DECISIONS: largest frame). */
const MAX_HEADER_BYTES = 16;
const COPY_LIMIT_BYTES = 4 * 1024 * 1024;
/** What a header alone makes anyone reserve: a piece of output as large as a pipe, and what lies around it, never moves. */
const FIRST_BYTES = 65 * 1024;
/** Default for the largest message: scripts and outputs may be large. */
export const DEFAULT_MAX_FRAME_BYTES: number = 64 * 1024 * 1024;

/** Puts a message into a frame. */
export function encodeFrame(message: Uint8Array): Uint8Array {
  const header = frameHeader(message.length);
  const frame = new Uint8Array(header.length + message.length + 2);
  frame.set(header);
  frame.set(message, header.length);
  frame[frame.length - 2] = CR;
  frame[frame.length - 1] = LF;
  return frame;
}

/** The length line of a frame. */
export function frameHeader(length: number): Uint8Array {
  const text = `${length}\r\n`;
  const header = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) header[at] = text.charCodeAt(at);
  return header;
}

/** What ends a frame. */
export const FRAME_TRAILER: Uint8Array = Uint8Array.of(CR, LF);

/** Where memory for large messages comes from. */
export interface MessageMemory {
  /** Memory of at least `length` bytes of which nobody else has a part; `undefined`: fresh memory will do. */
  take(length: number): Uint8Array | undefined;
}

/** Cuts a byte stream into messages. After it has thrown, the stream cannot be resynchronised and every later call throws the same. */
export class FrameDecoder {
  readonly #maxFrameBytes: number;
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

  constructor(options: { readonly maxFrameBytes?: number } = {}) {
    this.#maxFrameBytes = options.maxFrameBytes ?? DEFAULT_MAX_FRAME_BYTES;
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
  }

  /** Takes the next piece; answers the messages it completed, each in memory of its own. Throws a {@link ProtocolError} of kind `frame`. */
  push(chunk: Uint8Array): Uint8Array[] {
    const messages: Uint8Array[] = [];
    this.pushInto(chunk, messages);
    return messages;
  }

  /**
   * As {@link push}, but what was complete before a broken frame is in `messages` even when it throws. Stops behind the message that is the
   * `most`-th in there and answers how many bytes were taken: a small piece can hold thousands of messages.
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
    this.#body = this.memory?.take(first) ?? room(first);
  }

  #readBody(chunk: Uint8Array, from: number): number {
    const count = Math.min(chunk.length - from, this.#expected - this.#filled);
    const needed = this.#filled + count;
    let body = this.#body!;
    if (needed > body.length) {
      // Who has sent so much gets room for the rest, so that nothing larger is ever copied at one go; the kernel gives pages when they are used.
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

/** Memory of its own, which is filled before anybody sees it. Where there is a way not to have it cleared first, that is half of what a large message costs. */
function room(length: number): Uint8Array {
  const { Buffer } = globalThis as { Buffer?: { allocUnsafeSlow?(length: number): Uint8Array } };
  const bytes = Buffer?.allocUnsafeSlow?.(length);
  return bytes === undefined
    ? new Uint8Array(length)
    : new Uint8Array(bytes.buffer, bytes.byteOffset, length);
}
