/** Datagrams of any content: whole messages, or the `RangeError` that says so; verdicts never fail. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readVerdict, splitMessages } from './netlink-messages.ts';

const numRuns = 500 * Number(process.env.WARDEN_FUZZ_FACTOR ?? 1);

/** A message as the kernel would send it, or with a length that lies. */
const anyMessage = fc
  .tuple(
    fc.integer({ min: 0, max: 4 }),
    fc.nat({ max: 0xffff }),
    fc.uint8Array({ maxLength: 60 }),
    fc.option(fc.nat()),
  )
  .map(([type, flags, payload, lie]) => {
    const bytes = Buffer.alloc((16 + payload.length + 3) & ~3);
    bytes.writeUInt32LE(lie === null ? 16 + payload.length : lie, 0);
    bytes.writeUInt16LE(type, 4);
    bytes.writeUInt16LE(flags, 6);
    bytes.set(payload, 16);
    return bytes;
  });
const datagram = fc.oneof(
  fc.array(anyMessage, { maxLength: 4 }).map((messages) => Buffer.concat(messages)),
  fc.uint8Array({ maxLength: 80 }).map((bytes) => Buffer.from(bytes)),
);

/**
 * Acknowledgements that claim to repeat a request of 2^31 bytes or more: rounded up, that was a place before
 * the message.
 */
const KNOWN = [
  '180000000200000200000000000000000000000000000080',
  '1800000002000002000000000000000000000000feffffff',
];

describe('netlink datagrams (property)', () => {
  it('are cut into views that cover no byte twice, or refused with a RangeError', () => {
    fc.assert(
      fc.property(datagram, (bytes) => {
        let messages: ReturnType<typeof splitMessages>;
        try {
          messages = splitMessages(bytes);
        } catch (error) {
          expect((error as Error).message).toMatch(/malformed netlink message at byte \d+/);
          return;
        }
        let end = bytes.byteOffset;
        for (const { bytes: view } of messages) {
          expect(view.byteOffset).toBeGreaterThanOrEqual(end);
          expect(view.length).toBeGreaterThanOrEqual(16);
          end = view.byteOffset + view.length;
        }
        expect(end).toBeLessThanOrEqual(bytes.byteOffset + bytes.length);
        expect(bytes.byteOffset + bytes.length - end).toBeLessThan(4);
        for (const message of messages) expect(Number.isInteger(readVerdict(message).error)).toBe(true);
      }),
      { numRuns, examples: KNOWN.map((text) => [Buffer.from(text, 'hex')]) },
    );
  });
});
