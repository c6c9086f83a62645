import { encodeFrame, FrameDecoder } from '@warden/protocol';
import { describe, expect, it } from 'vitest';
import { FrameMemory } from './frame-memory.ts';

/** A frame of `length` bytes of `value`. */
const frame = (length: number, value: number): Uint8Array => encodeFrame(new Uint8Array(length).fill(value));

describe('FrameMemory', () => {
  it('is used again for large frames only when it was given back', () => {
    const memory = new FrameMemory();
    const decoder = new FrameDecoder();
    decoder.memory = memory;
    const [first] = decoder.push(frame(60_000, 1));
    const [second] = decoder.push(frame(60_000, 2));
    expect(second!.buffer).not.toBe(first!.buffer);
    expect(first!.every((byte) => byte === 1)).toBe(true);
    memory.giveBack(first!);
    const [third] = decoder.push(frame(65_536, 3));
    expect(third!.buffer).toBe(first!.buffer);
    expect(third).toEqual(new Uint8Array(65_536).fill(3));
    expect(second!.every((byte) => byte === 2)).toBe(true);
  });

  it('has nothing to do with small frames and very large ones', () => {
    const memory = new FrameMemory();
    const decoder = new FrameDecoder();
    decoder.memory = memory;
    for (const length of [0, 100, 16_000, 200_000]) {
      const [whole] = decoder.push(frame(length, 7));
      expect(whole).toEqual(new Uint8Array(length).fill(7));
      memory.giveBack(whole!);
      expect(memory.take(60_000)!.buffer).not.toBe(whole!.buffer);
    }
  });

  it('keeps a few pieces and lets the others go', () => {
    const memory = new FrameMemory();
    const pieces = Array.from({ length: 40 }, () => memory.take(60_000)!);
    expect(new Set(pieces.map(({ buffer }) => buffer)).size).toBe(40);
    for (const piece of pieces) memory.giveBack(piece);
    const again = Array.from({ length: 40 }, () => memory.take(60_000)!.buffer);
    expect(again.filter((buffer) => pieces.some((piece) => piece.buffer === buffer))).toHaveLength(16);
  });
});
