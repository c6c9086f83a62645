import { describe, expect, it } from 'vitest';
import { readVerdict, splitMessages } from './netlink-messages.ts';

/** One message in little-endian order, padded. */
function message(type: number, flags: number, sequence: number, payload: Buffer): Buffer {
  const bytes = Buffer.alloc((16 + payload.length + 3) & ~3);
  bytes.writeUInt32LE(16 + payload.length, 0);
  bytes.writeUInt16LE(type, 4);
  bytes.writeUInt16LE(flags, 6);
  bytes.writeUInt32LE(sequence, 8);
  payload.copy(bytes, 16);
  return bytes;
}
function attribute(kind: number, value: Buffer): Buffer {
  const bytes = Buffer.alloc((4 + value.length + 3) & ~3);
  bytes.writeUInt16LE(4 + value.length, 0);
  bytes.writeUInt16LE(kind, 2);
  value.copy(bytes, 4);
  return bytes;
}
function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
}

describe('splitMessages', () => {
  it('cuts at padded lengths', () => {
    const bytes = Buffer.concat([
      message(16, 2, 5, Buffer.from('abcde')),
      message(17, 0, 6, Buffer.alloc(0)),
    ]);
    const [first, second] = splitMessages(bytes);
    expect(first).toMatchObject({ type: 16, flags: 2, sequence: 5 });
    expect(first!.bytes.length).toBe(21);
    expect(second).toMatchObject({ type: 17, sequence: 6 });
  });

  it.each([
    ['too short', Buffer.alloc(8)],
    ['zero length', Buffer.alloc(16)],
    ['longer than the datagram', message(1, 0, 1, Buffer.alloc(8)).subarray(0, 20)],
  ])('refuses a message that is %s', (_name, bytes) => {
    expect(() => splitMessages(bytes)).toThrow(RangeError);
  });
});

describe('readVerdict', () => {
  const request = message(20, 5, 9, Buffer.alloc(8));
  const text = attribute(1, Buffer.from('no such thing\0'));
  const offset = attribute(2, int32(24));

  it('reads plain errors and acknowledgements', () => {
    const [ack] = splitMessages(message(2, 0x100, 9, Buffer.concat([int32(0), request.subarray(0, 16)])));
    expect(readVerdict(ack!)).toEqual({ error: 0 });
    const [error] = splitMessages(message(2, 0, 9, Buffer.concat([int32(-2), request])));
    expect(readVerdict(error!)).toEqual({ error: -2 });
  });

  it('reads the extended acknowledgement behind a capped and a full echo', () => {
    const capped = message(2, 0x300, 9, Buffer.concat([int32(-22), request.subarray(0, 16), text, offset]));
    expect(readVerdict(splitMessages(capped)[0]!)).toEqual({
      error: -22,
      detail: 'no such thing',
      offset: 24,
    });
    const full = message(2, 0x200, 9, Buffer.concat([int32(-22), request, offset, text]));
    expect(readVerdict(splitMessages(full)[0]!)).toEqual({ error: -22, detail: 'no such thing', offset: 24 });
  });

  it('reads the end of a dump', () => {
    expect(readVerdict(splitMessages(message(3, 2, 9, int32(0)))[0]!)).toEqual({ error: 0 });
    expect(readVerdict(splitMessages(message(3, 0x202, 9, Buffer.concat([int32(-95), text])))[0]!)).toEqual({
      error: -95,
      detail: 'no such thing',
    });
    expect(readVerdict(splitMessages(message(3, 2, 9, Buffer.alloc(0)))[0]!)).toEqual({ error: 0 });
  });

  it('stops at a malformed attribute', () => {
    const broken = Buffer.from([200, 0, 1, 0, 65, 65, 65, 65]);
    const [error] = splitMessages(
      message(2, 0x300, 9, Buffer.concat([int32(-1), request.subarray(0, 16), broken])),
    );
    expect(readVerdict(error!)).toEqual({ error: -1 });
  });
});
