import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { frameHeader } from './framing.ts';
import { encodeFrame, FrameDecoder, ProtocolError } from './index.ts';

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

function concat(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** Cuts `bytes` at the given places. */
function pieces(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...places].map((from, at) => bytes.subarray(from, places[at] ?? bytes.length));
}

describe('frames (spec protocol.md 2)', () => {
  it('come through whatever the pieces', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 }),
        fc.array(fc.nat(), { maxLength: 20 }),
        fc.boolean(),
        (messages, cuts, isShared) => {
          const stream = concat(messages.map(encodeFrame));
          const decoder = new FrameDecoder({ isShared });
          const received = pieces(stream, cuts).flatMap((piece) => decoder.push(piece));
          expect(received.map((one) => new Uint8Array(one))).toEqual(messages);
          expect(decoder.isBetweenFrames).toBe(true);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('come through byte by byte', () => {
    const decoder = new FrameDecoder();
    const received = [...encodeFrame(ascii('hello'))].flatMap((byte) => decoder.push(Uint8Array.of(byte)));
    expect(received.map((one) => Buffer.from(one).toString())).toEqual(['hello']);
  });

  it.each([
    ['abc\r\n', /decimal digits/],
    ['\r\n', /empty/],
    ['4.0\r\n', /decimal digits/],
    ['-1\r\n', /decimal digits/],
    [' 4\r\n', /decimal digits/],
    ['+4\r\n', /decimal digits/],
    ['0x4\r\n', /decimal digits/],
    ['4\nabcd\n', /decimal digits/],
    ['4\rabcd', /decimal digits/],
    ['4\r\r\n', /decimal digits/],
    ['2\r\nabXX', /trailer/],
    ['2\r\nab\n\r', /trailer/],
    ['2\r\nab\rX', /trailer/],
    ['2\r\nabX\n', /trailer/],
    ['1111111111111111111111', /longer than 16/],
    ['99999999999\r\n', /over the limit of 67108864/],
  ])('refuse %j, for good', (text, message) => {
    const decoder = new FrameDecoder();
    expect(() => decoder.push(ascii(text))).toThrow(message);
    expect(() => decoder.push(encodeFrame(ascii('fine')))).toThrow(message);
  });

  it.each([0, 9, 10, 99, 100, 1_000_000])('of %i bytes say so in decimal', (length) => {
    expect(Buffer.from(frameHeader(length)).toString()).toBe(`${length}\r\n`);
    const frame = Buffer.from(encodeFrame(new Uint8Array(length)));
    expect(frame.subarray(0, -length - 2).toString()).toBe(`${length}\r\n`);
    expect(frame).toHaveLength(`${length}\r\n\r\n`.length + length);
  });

  it('of few bytes stay as they are while later ones lie beside them', () => {
    const decoder = new FrameDecoder({ isShared: true });
    const texts = Array.from({ length: 1_000 }, (_, i) => `${i}`.repeat(1 + (i % 40)));
    const received = texts.flatMap((text) => decoder.push(encodeFrame(ascii(text))));
    expect(received.map((one) => Buffer.from(one).toString())).toEqual(texts);
    expect(received.every(({ buffer }) => buffer.byteLength <= 1_024)).toBe(true);
  });

  it('have memory of their own unless they may share it', () => {
    const [first, second] = new FrameDecoder().push(
      concat([encodeFrame(ascii('a')), encodeFrame(ascii('b'))]),
    );
    expect(first!.buffer).not.toBe(second!.buffer);
  });

  it('take leading zeros as decimal', () => {
    expect(new FrameDecoder().push(ascii('010\r\n0123456789\r\n'))).toHaveLength(1);
  });

  it('hand out what was complete before the broken one', () => {
    const messages: Uint8Array[] = [];
    expect(() =>
      new FrameDecoder().pushInto(concat([encodeFrame(ascii('good')), ascii('bad\r\n')]), messages),
    ).toThrow(ProtocolError);
    expect(messages).toHaveLength(1);
  });

  it.each([70_000, 300_000, 5_000_000])('of %i bytes are what was sent, whatever the pieces', (length) => {
    const message = new Uint8Array(length).map((_, at) => (at * 31) % 251);
    const stream = concat([encodeFrame(message), encodeFrame(ascii('next'))]);
    for (const size of [16_381, 65_536, stream.length]) {
      const decoder = new FrameDecoder();
      const received: Uint8Array[] = [];
      for (let at = 0; at < stream.length; at += size)
        received.push(...decoder.push(stream.subarray(at, at + size)));
      expect(received.map((one) => one.length)).toEqual([length, 4]);
      expect(Buffer.compare(received[0]!, message)).toBe(0);
    }
  });

  it('are handed out as many at a time as are wanted, and the rest of the piece afterwards', () => {
    const stream = concat(['a', 'b', 'c'].map((text) => encodeFrame(ascii(text))));
    const decoder = new FrameDecoder();
    const messages: Uint8Array[] = [];
    const taken = decoder.pushInto(stream, messages, 2);
    expect([messages.length, taken]).toEqual([2, (stream.length / 3) * 2]);
    expect(decoder.pushInto(stream.subarray(taken), messages, 2)).toBe(0);
    expect(decoder.pushInto(stream.subarray(taken), messages, 3)).toBe(stream.length / 3);
    expect(messages.map((one) => Buffer.from(one).toString())).toEqual(['a', 'b', 'c']);
  });

  it('tell how far the one that has begun is, and are held no more once it is given up', () => {
    const decoder = new FrameDecoder();
    const state = (): unknown => [decoder.isBetweenFrames, decoder.isInHeader, decoder.heldBytes];
    expect(state()).toEqual([true, false, 0]);
    decoder.push(ascii('1'));
    expect(state()).toEqual([false, true, 0]);
    decoder.push(ascii('0\r\nabc'));
    expect(state()).toEqual([false, false, 3]);
    decoder.drop();
    expect(decoder.heldBytes).toBe(0);
    expect(() => decoder.push(ascii('defghij\r\n'))).toThrow(/given up/);
    const inHeader = new FrameDecoder();
    inHeader.push(ascii('1'));
    inHeader.drop();
    expect([inHeader.isBetweenFrames, inHeader.isInHeader]).toEqual([true, false]);
  });

  it('hold the configured limit exactly', () => {
    const decoder = new FrameDecoder({ maxFrameBytes: 10 });
    expect(decoder.push(encodeFrame(new Uint8Array(10)))).toHaveLength(1);
    expect(() => decoder.push(encodeFrame(new Uint8Array(11)))).toThrow(/11 bytes is over the limit of 10/);
  });

  it('cost work and memory in proportion to the input, not to its square', () => {
    // every byte copied is seen by this view's set(): the count must stay linear although the frame comes in
    // tiny pieces
    const message = new Uint8Array(1 << 20);
    const frame = encodeFrame(message);
    const copied = countCopies(() => {
      const decoder = new FrameDecoder();
      for (let at = 0; at < frame.length; at += 16) decoder.push(frame.subarray(at, at + 16));
    });
    expect(copied).toBeLessThan(4 * message.length);
  });

  it('reserve nothing for what a header only promises', () => {
    const before = process.memoryUsage().arrayBuffers;
    const decoders = Array.from({ length: 50 }, () => new FrameDecoder());
    for (const decoder of decoders) decoder.push(ascii('67108864\r\nx'));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(50 * 128 * 1024);
    expect(decoders.every((decoder) => !decoder.isBetweenFrames)).toBe(true);
  });
});

/** Bytes that went through `Uint8Array.prototype.set` during `action`. */
function countCopies(action: () => void): number {
  const original = Uint8Array.prototype.set;
  let bytes = 0;
  Uint8Array.prototype.set = function (this: Uint8Array, source: ArrayLike<number>, offset?: number) {
    bytes += source.length;
    original.call(this, source, offset);
  };
  try {
    action();
  } finally {
    Uint8Array.prototype.set = original;
  }
  return bytes;
}
