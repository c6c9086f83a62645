import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeFrame, encodeMessage, FrameDecoder, MessageType, outputFrame } from './index.ts';

describe('the frame around output that nobody has looked at', () => {
  it('is, byte for byte, what the encoder makes', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('stdout' as const, 'stderr' as const),
        fc.oneof(fc.uint8Array({ minLength: 1, maxLength: 300 }), fc.integer({ min: 1, max: 200_000 })),
        (stream, content) => {
          const data = typeof content === 'number' ? new Uint8Array(content).fill(content) : content;
          const { head, tail } = outputFrame(stream, data.length);
          const whole = encodeFrame(encodeMessage(MessageType.Stream, { name: stream, data }, 'response'));
          expect(Buffer.concat([head, data, tail]).equals(whole)).toBe(true);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('a frame decoder', () => {
  it('gives each message memory of its own, whatever is done with the pieces it came in', () => {
    const decoder = new FrameDecoder();
    const landing = new Uint8Array(70_000);
    const messages = [1, 2, 3].map((value) => new Uint8Array(65_600).fill(value));
    const received: Uint8Array[] = [];
    for (const message of messages) {
      const frame = encodeFrame(message);
      landing.set(frame);
      received.push(...decoder.push(landing.subarray(0, frame.length)));
      landing.fill(0xff);
    }
    expect(received.map((one) => Buffer.from(one).equals(messages[received.indexOf(one)]!))).toEqual([
      true,
      true,
      true,
    ]);
  });
});
