/**
 * Frames: `<decimal length>\r\n<message>\r\n` (spec protocol.md 2). The decoder is strict in the header, bounded in memory and linear
 * in the input: whatever the pieces, each byte is copied at most twice.
 */
import { ProtocolError } from './protocol-error.ts';

const CR = 0x0d;
const LF = 0x0a;
/** Digits and CRLF of the longest accepted header line (DECISIONS: largest frame). */
const MAX_HEADER_BYTES = 16;
/** Default for the largest message: scripts and outputs may be large. */
export const DEFAULT_MAX_FRAME_BYTES: number = 64 * 1024 * 1024;

/** Puts a message into a frame. */
export function encodeFrame(message: Uint8Array): Uint8Array {
  const header = `${message.length}\r\n`;
  const frame = new Uint8Array(header.length + message.length + 2);
  for (let at = 0; at < header.length; at++) frame[at] = header.charCodeAt(at);
  frame.set(message, header.length);
  frame[frame.length - 2] = CR;
  frame[frame.length - 1] = LF;
  return frame;
}

/** Cuts a byte stream into messages. After it has thrown, the stream cannot be resynchronised and every later call throws the same. */
export class FrameDecoder {
  readonly #maxFrameBytes: number;
  #header = '';
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
    return this.#header === '' && this.#expected === 0;
  }

  /** Whether a length line has begun and not ended. */
  get isInHeader(): boolean {
    return this.#header !== '';
  }

  /** Takes the next piece; answers the messages it completed, each in memory of its own. Throws a {@link ProtocolError} of kind `frame`. */
  push(chunk: Uint8Array): Uint8Array[] {
    const messages: Uint8Array[] = [];
    this.pushInto(chunk, messages);
    return messages;
  }

  /** As {@link push}, but what was complete before a broken frame is in `messages` even when it throws. */
  pushInto(chunk: Uint8Array, messages: Uint8Array[]): void {
    if (this.#broken) throw this.#broken;
    let at = 0;
    while (at < chunk.length) {
      if (this.#expected === 0) {
        at = this.#readHeader(chunk, at);
        continue;
      }
      at = this.#readBody(chunk, at);
      if (this.#filled === this.#expected) messages.push(this.#takeBody());
    }
  }

  #readHeader(chunk: Uint8Array, from: number): number {
    let at = from;
    while (at < chunk.length) {
      const byte = chunk[at++]!;
      if (byte === LF && this.#header.endsWith('\r')) {
        this.#begin(this.#header.slice(0, -1));
        return at;
      }
      const isDigit = byte >= 0x30 && byte <= 0x39;
      if ((!isDigit && byte !== CR) || this.#header.endsWith('\r'))
        throw this.#break('the length line of a frame must be decimal digits and CRLF');
      this.#header += String.fromCharCode(byte);
      if (this.#header.length >= MAX_HEADER_BYTES)
        throw this.#break(`the length line of a frame is longer than ${MAX_HEADER_BYTES} bytes`);
    }
    return at;
  }

  #begin(digits: string): void {
    if (digits === '') throw this.#break('the length line of a frame is empty');
    const length = Number(digits);
    if (length > this.#maxFrameBytes)
      throw this.#break(`a frame of ${digits} bytes is over the limit of ${this.#maxFrameBytes} bytes`);
    this.#header = '';
    this.#expected = length + 2;
    this.#filled = 0;
    // grown with what arrives: a header alone must not make anyone reserve the maximum
    this.#body = new Uint8Array(Math.min(this.#expected, 64 * 1024));
  }

  #readBody(chunk: Uint8Array, from: number): number {
    const count = Math.min(chunk.length - from, this.#expected - this.#filled);
    const needed = this.#filled + count;
    let body = this.#body!;
    if (needed > body.length) {
      const larger = new Uint8Array(Math.min(this.#expected, Math.max(needed, body.length * 2)));
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
