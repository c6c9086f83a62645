import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CreateRequest,
  decode,
  decodeMessage,
  EchoRequest,
  encode,
  encodeFrame,
  encodeFrameParts,
  encodeMessage,
  FrameDecoder,
  fromBytes,
  InfoResponse,
  LimitMemoryRequest,
  LinkRequest,
  MessageType,
  NetOutRequest,
  ProtocolError,
  type RunResponse,
  SpawnRequest,
  StreamResponse,
  toBytes,
} from './index.ts';

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('the worked examples (spec protocol.md 5)', () => {
  const create = {
    bind_mounts: [{ src_path: '/var/src', dst_path: '/dst', mode: 0 }],
    grace_time: 300,
    handle: 'h1',
  };
  const info = { state: 'active', events: ['out of memory'], job_ids: [1n, 300n] };
  it.each([
    ['ping', encodeFrame(encodeMessage(MessageType.Ping, {})), '340d0a 085b 1200 0d0a'],
    ['ping response', encodeFrame(encodeMessage(MessageType.Ping, {}, 'response')), '340d0a 085b 1200 0d0a'],
    [
      'create',
      encodeFrame(encodeMessage(MessageType.Create, create)),
      '33310d0a 080b 121b 0a12 0a082f7661722f737263 12042f647374 1800 10ac02 1a026831 0d0a',
    ],
    ['empty create', encodeFrame(encodeMessage(MessageType.Create, {})), '340d0a 080b 1200 0d0a'],
    [
      'create response',
      encodeFrame(encodeMessage(MessageType.Create, { handle: '1j0tn3fq451' }, 'response')),
      '31370d0a080b120d0a0b316a30746e33667134353 10d0a',
    ],
    [
      'error',
      encodeFrame(encodeMessage(MessageType.Error, { message: 'unknown handle' }, 'response')),
      '32300d0a08011210120e756e6b6e6f776e2068616e646c650d0a',
    ],
    [
      'run response',
      encodeFrame(
        encodeMessage(
          MessageType.Run,
          { exit_status: 0, stdout: ascii('hi\n'), stderr: ascii('') },
          'response',
        ),
      ),
      '31330d0a081712090800120368690a1a000d0a',
    ],
    [
      'last stream response',
      encodeFrame(encodeMessage(MessageType.Stream, { exit_status: 0 }, 'response')),
      '360d0a0818120218000d0a',
    ],
    [
      'net out',
      encodeFrame(
        encodeMessage(MessageType.NetOut, {
          handle: 'h1',
          network: '10.0.0.1/32',
          protocol: 2,
          icmp_type: -1,
          icmp_code: -1,
        }),
      ),
      `34350d0a 0820 1229 0a026831 120b31302e302e302e312f3332 2802 30${'ff'.repeat(9)}01 38${'ff'.repeat(9)}01 0d0a`,
    ],
    ['info', encode(InfoResponse, info), '5206616374697665 a2010d6f7574206f66206d656d6f7279 e00201 e002ac02'],
  ])('%s', (_name, bytes, expected) => {
    expect(Buffer.from(bytes).toString('hex')).toBe(expected.replaceAll(' ', ''));
  });
});

describe('decoding (spec protocol.md 4)', () => {
  it('keeps presence', () => {
    expect(decode(CreateRequest, hex(''))).toEqual({});
    expect(decode(CreateRequest, hex('1000'))).toEqual({ grace_time: 0 });
    expect(decode(LimitMemoryRequest, hex('0a0131'))).toEqual({ handle: '1' });
    expect(decode(LimitMemoryRequest, hex('0a01311000'))).toEqual({ handle: '1', limit_in_bytes: 0n });
  });
  it('keeps 64 bits', () => {
    const value = { handle: 'h', limit_in_bytes: (1n << 64n) - 1n };
    expect(decode(LimitMemoryRequest, encode(LimitMemoryRequest, value))).toEqual(value);
    expect(
      decode(
        LimitMemoryRequest,
        encode(LimitMemoryRequest, { handle: 'h', limit_in_bytes: 9_007_199_254_740_993n }),
      ).limit_in_bytes,
    ).toBe(9_007_199_254_740_993n);
  });
  it('checks no range of 32 bits when it reads: a job beyond them is no other one, and a long grace time is not none', () => {
    expect(decode(LinkRequest, hex('0a0168 108180808010'))).toEqual({ handle: 'h', job_id: 2 ** 32 + 1 });
    expect(decode(CreateRequest, hex('108080808010'))).toEqual({ grace_time: 2 ** 32 });
  });
  it('takes packed and unpacked lists, and writes unpacked ones', () => {
    expect(decode(InfoResponse, hex('e20203 01ac02'))).toEqual({ job_ids: [1n, 300n] });
    expect(decode(InfoResponse, hex('e00201 e002ac02'))).toEqual({ job_ids: [1n, 300n] });
  });
  it('skips unknown fields of every wire type and takes fields in any order, the last one winning', () => {
    expect(
      decode(EchoRequest, hex('f80101 f9010000000000000000 fa01020000 fd0100000000 0a0161 0a0162')).message,
    ).toEqual(ascii('b'));
    expect(decodeMessage(hex('1200 085b'), 'request')).toEqual({ type: 91, payload: {} });
  });
  it('keeps an unlisted enum number, and refuses to write one', () => {
    expect(decode(NetOutRequest, hex('0a01312809')).protocol).toBe(9);
    expect(() => encode(NetOutRequest, { handle: '1', protocol: 9 })).toThrow(
      /protocol: expected a number of Protocol/,
    );
  });
  it.each([
    [
      'a missing required field',
      () => decode(EchoRequest, hex('')),
      /EchoRequest: required field message is missing/,
    ],
    [
      'a missing field inside',
      () => decode(CreateRequest, hex('0a00')),
      /bind_mounts: BindMount: required field src_path is missing/,
    ],
    ['a wrong wire type', () => decode(EchoRequest, hex('0801')), /field message: wire type 0/],
    ['a truncated block', () => decode(EchoRequest, hex('0a05 61')), /truncated/],
    ['a truncated varint', () => decode(CreateRequest, hex('1080')), /truncated/],
    ['a truncated unknown field of 8 bytes', () => decode(EchoRequest, hex('0a0161 f90100')), /truncated/],
    ['a truncated unknown field of 4 bytes', () => decode(EchoRequest, hex('0a0161 fd010000')), /truncated/],
    ['an endless varint', () => decode(CreateRequest, hex('10ffffffffffffffffffffffff01')), /varint/],
    ['field number zero', () => decode(CreateRequest, hex('0000')), /field number/],
    ['a group', () => decode(CreateRequest, hex('fb01')), /wire type 3/],
    ['an envelope without payload', () => decodeMessage(hex('085b'), 'request'), /payload is missing/],
    ['an unknown type', () => decodeMessage(hex('08631200'), 'request'), /Unknown request type: 99/],
    [
      'a type beyond exact numbers',
      () => decodeMessage(hex('08ffffffffffffffffff01 1200'), 'request'),
      /Unknown request type: 18446744073709551615$/,
    ],
    ['an error as a request', () => decodeMessage(hex('08011200'), 'request'), /Unknown request type: 1/],
  ])('refuses %s', (_name, action, message) => {
    expect(action).toThrow(ProtocolError);
    expect(action).toThrow(message);
  });
  it('of a request is bounded in fields and strings, and not in data [SECURITY P14]', () => {
    const mount = hex('0a06 0a00 1200 1800');
    const create = (mounts: number): Uint8Array =>
      new Uint8Array(
        Buffer.concat([
          hex('080b12'),
          varint(mounts * mount.length),
          ...Array.from({ length: mounts }, () => mount),
        ]),
      );
    expect((decodeMessage(create(2_000), 'request').payload as CreateRequest).bind_mounts).toHaveLength(
      2_000,
    );
    expect(() => decodeMessage(create(2_501), 'request')).toThrow(/the message has more than 10000 fields/);
    const unknown = new Uint8Array(Buffer.concat([Buffer.alloc(20_002, hex('7801')), hex('085b1200')]));
    expect(() => decodeMessage(unknown, 'request')).toThrow(/the message has more than 10000 fields/);
    // a packed list has one tag, and is as much work as if each had its own
    const packed = hex('e20203 010203');
    expect(decode(InfoResponse, packed, { fields: 4 }).job_ids).toHaveLength(3);
    expect(() => decode(InfoResponse, packed, { fields: 3 })).toThrow(/the message has more than 3 fields/);
    const named = (size: number): Uint8Array =>
      encodeMessage(MessageType.Create, { handle: 'h'.repeat(size), rootfs: 'r' });
    expect((decodeMessage(named(131_071), 'request').payload as CreateRequest).handle).toHaveLength(131_071);
    expect(() => decodeMessage(named(131_072), 'request')).toThrow(
      /rootfs: the strings of the message have more than 131072 bytes together/,
    );
    const script = new Uint8Array(1_000_000);
    const run = encodeMessage(MessageType.Run, { handle: 'h', script });
    expect((decodeMessage(run, 'request').payload as SpawnRequest).script).toHaveLength(1_000_000);
    // What a daemon answers is trusted.
    const handles = Array.from({ length: 20_000 }, (_, n) => `container-${n}`);
    const list = encodeMessage(MessageType.List, { handles }, 'response');
    expect(decodeMessage(list, 'response').payload).toEqual({ handles });
  });

  it('never fails in any other way, whatever the bytes', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.constantFrom('request' as const, 'response' as const),
        (bytes, side) => {
          try {
            decodeMessage(bytes, side);
          } catch (error) {
            expect(error).toBeInstanceOf(ProtocolError);
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

describe('encoding', () => {
  it.each([
    [() => encode(SpawnRequest, { handle: 'h' } as never), /SpawnRequest: required field script is missing/],
    [() => encode(CreateRequest, { grace_time: -1 }), /grace_time: expected an integer from 0/],
    [() => encode(CreateRequest, { grace_time: 4_294_967_296 }), /grace_time/],
    [() => encode(CreateRequest, { grace_time: 1.5 }), /grace_time/],
    [
      () => encode(LimitMemoryRequest, { handle: 'h', limit_in_bytes: 1 as never }),
      /limit_in_bytes: expected a bigint/,
    ],
    [() => encode(LimitMemoryRequest, { handle: 'h', limit_in_bytes: 1n << 64n }), /limit_in_bytes/],
    [() => encode(LimitMemoryRequest, { handle: 7 as never }), /handle: expected a string, found 7/],
    [
      () => encode(CreateRequest, { bind_mounts: [{ src_path: '/a', dst_path: '/b' }] as never }),
      /bind_mounts: BindMount: required field mode/,
    ],
    [() => encode(StreamResponse, { data: 'text' as never }), /data: expected a Uint8Array/],
    [
      () => encode(LimitMemoryRequest, { handle: '\ud800' }),
      /handle: expected a string that stands for bytes/,
    ],
  ])('refuses what does not fit and names the field', (action, message) => {
    expect(action).toThrow(ProtocolError);
    expect(action).toThrow(message);
  });
});

function varint(value: number): Uint8Array {
  return value < 128
    ? Uint8Array.of(value)
    : new Uint8Array(Buffer.concat([Uint8Array.of((value & 127) | 128), varint(value >> 7)]));
}

describe('a frame in pieces', () => {
  it('is the frame, whatever the sizes of its values', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(0, 1, 100, 16_383, 16_384, 70_000), { maxLength: 3 }),
        fc.string(),
        (sizes, handle) => {
          const [stdout = 0, stderr = 0, more = 0] = sizes;
          const value = {
            exit_status: 3,
            stdout: new Uint8Array(stdout).fill(1),
            stderr: new Uint8Array(stderr).fill(2),
            info: { state: handle, events: [handle, 'x'.repeat(more)] },
          };
          const whole = encodeFrame(encodeMessage(MessageType.Run, value, 'response'));
          const parts = encodeFrameParts(MessageType.Run, value, 'response');
          expect(Buffer.compare(Buffer.concat(parts), whole)).toBe(0);
          const [decoded] = new FrameDecoder().push(Buffer.concat(parts));
          const { stdout: read } = decodeMessage(decoded!, 'response').payload as RunResponse;
          expect(Buffer.compare(read!, value.stdout)).toBe(0);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('does not copy what is large', () => {
    const message = new Uint8Array(1_000_000);
    const parts = encodeFrameParts(MessageType.Echo, { message }, 'response');
    expect(parts.some((part) => part === message)).toBe(true);
  });

  it('keeps earlier pieces as they were while more is written', () => {
    const large = new Uint8Array(20_000);
    const value = {
      stdout: large,
      stderr: large,
      info: { events: Array.from({ length: 500 }, (_, n) => `event ${n}`) },
    };
    const whole = encodeFrame(encodeMessage(MessageType.Run, value, 'response'));
    expect(Buffer.compare(Buffer.concat(encodeFrameParts(MessageType.Run, value, 'response')), whole)).toBe(
      0,
    );
  });
});

describe('byte strings', () => {
  it('keep every byte', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(toBytes(fromBytes(bytes))).toEqual(bytes);
      }),
      { numRuns: 2_000 },
    );
  });
  it('read as text what is text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(fromBytes(toBytes(text))).toBe(text);
        expect(toBytes(text)).toEqual(ascii(text));
      }),
    );
  });
  it('keep pieces of broken sequences apart', () => {
    for (const text of ['c282', 'ff00fe', 'eda080', 'f09f98', 'c3', '61f09f9880e2', 'f4908080'])
      expect(Buffer.from(toBytes(fromBytes(hex(text)))).toString('hex')).toBe(text);
  });
});
