/**
 * Whatever bytes come: the decoders answer what the bytes say, or throw the one error they document.
 * WARDEN_FUZZ_FACTOR multiplies the cases.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decode,
  decodeMessage,
  encode,
  encodeFrame,
  encodeMessage,
  FrameDecoder,
  fromBytes,
  type MessageDescriptor,
  ProtocolError,
  REQUESTS,
  toBytes,
} from './index.ts';

const numRuns = 100 * Number(process.env.WARDEN_FUZZ_FACTOR ?? 1);
const MAX_FRAME = 1_000;

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'));

/** The result of `action`, or the protocol error it threw; any other error fails the test. */
function outcome<T>(action: () => T): T | ProtocolError {
  try {
    return action();
  } catch (error) {
    if (error instanceof ProtocolError) return error;
    throw error;
  }
}

/**
 * The whole stream at once, by a regular expression: messages, and whether what follows them can never become
 * a frame.
 */
function referenceFrames(stream: Uint8Array): { messages: string[]; isBroken: boolean } {
  const messages: string[] = [];
  let rest = Buffer.from(stream).toString('latin1');
  for (;;) {
    const header = /^(\d{1,14})\r\n/.exec(rest);
    if (header === null) return { messages, isBroken: !/^(\d{0,15}|\d{0,14}\r)$/.test(rest) };
    const length = Number(header[1]);
    const start = header[0].length;
    if (length > MAX_FRAME) return { messages, isBroken: true };
    const trailer = rest.slice(start + length, start + length + 2);
    if (trailer.length < 2) return { messages, isBroken: false };
    if (trailer !== '\r\n') return { messages, isBroken: true };
    messages.push(rest.slice(start, start + length));
    rest = rest.slice(start + length + 2);
  }
}

/** Bytes of the kind that frames are made of. */
const streamPart = fc.oneof(
  fc.uint8Array({ maxLength: 20 }),
  fc.uint8Array({ maxLength: 40 }).map(encodeFrame),
  fc
    .constantFrom('\r\n', '\r', '\n', '0\r\n\r\n', '0', '00000000000001', '1000\r\n', '1001\r\n', '5\r\n')
    .map(ascii),
  fc.nat({ max: 10 ** 15 }).map((length) => ascii(`${length}\r\n`)),
);
const stream = fc.array(streamPart, { maxLength: 8 }).map((parts) => new Uint8Array(Buffer.concat(parts)));

/** Streams that once were read differently, or could be. */
const KNOWN_STREAMS = [
  '',
  '\r',
  '1\r\r\n',
  '3\r\nabc\n\r',
  '00000000000000\r\n',
  '000000000000001',
  '0\r\n\r\n0\r',
];

describe('frames (property)', () => {
  it('are cut as a plain reader of the whole stream cuts them, whatever the pieces [protocol 2]', () => {
    const known: [Uint8Array, number[]][] = KNOWN_STREAMS.flatMap((text) => [
      [ascii(text), []],
      [ascii(text), [1, 2, 3]],
    ]);
    fc.assert(
      fc.property(stream, fc.array(fc.nat(), { maxLength: 12 }), (bytes, cuts) => {
        const expected = referenceFrames(bytes);
        const decoder = new FrameDecoder({ maxFrameBytes: MAX_FRAME });
        const messages: Uint8Array[] = [];
        const places = [...new Set([0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])];
        places.sort((a, b) => a - b);
        const result = outcome(() => {
          for (let at = 1; at < places.length; at++)
            decoder.pushInto(bytes.subarray(places[at - 1], places[at]), messages);
        });
        expect(messages.map((one) => Buffer.from(one).toString('latin1'))).toEqual(expected.messages);
        expect(result instanceof ProtocolError ? result.kind : 'whole').toBe(
          expected.isBroken ? 'frame' : 'whole',
        );
      }),
      { numRuns: numRuns * 3, examples: known },
    );
  });

  it('keep no more than twice what has arrived, whatever a header announces', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 64 * 1024 * 1024 }),
        fc.integer({ min: 0, max: 200_000 }),
        (announced, sent) => {
          const before = process.memoryUsage().arrayBuffers;
          const decoder = new FrameDecoder();
          decoder.push(ascii(`${announced}\r\n`));
          const body = new Uint8Array(Math.min(sent, announced));
          for (let at = 0; at < body.length; at += 16_384) decoder.push(body.subarray(at, at + 16_384));
          // what was outgrown may not have been collected yet: the sum of the doublings
          expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * body.length + 1_000_000);
        },
      ),
      { numRuns: 10 },
    );
  });
});

/** Every table, with those inside, once. */
function tables(): MessageDescriptor[] {
  const found = new Map<string, MessageDescriptor>();
  const visit = (descriptor: MessageDescriptor): void => {
    if (found.has(descriptor.name)) return;
    found.set(descriptor.name, descriptor);
    for (const field of descriptor.fields) if (field.message !== undefined) visit(field.message);
  };
  for (const { request, response } of Object.values(REQUESTS)) {
    visit(request as MessageDescriptor);
    visit(response as MessageDescriptor);
  }
  return [...found.values()];
}

function varint(value: bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  do {
    bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Uint8Array.from(bytes);
}

/** A field as somebody else's encoder, or an attacker, writes it: any number, any wire type, lengths that lie. */
const wireField = fc
  .tuple(
    fc.oneof(fc.integer({ min: 1, max: 50 }), fc.nat()),
    fc.integer({ min: 0, max: 7 }),
    fc.oneof(fc.bigInt(0n, 300n), fc.bigInt(0n, (1n << 64n) - 1n)),
    fc.uint8Array({ maxLength: 30 }),
    fc.boolean(),
  )
  .map(([number, wireType, value, block, isHonest]) => {
    const tag = varint(BigInt(number) * 8n + BigInt(wireType));
    if (wireType === 0) return Buffer.concat([tag, varint(value)]);
    if (wireType === 2) return Buffer.concat([tag, varint(isHonest ? BigInt(block.length) : value), block]);
    return Buffer.concat([tag, block]);
  });
const wireMessage = fc
  .oneof(
    fc.array(wireField, { maxLength: 8 }).map((fields) => Buffer.concat(fields)),
    fc.uint8Array({ maxLength: 100 }),
  )
  .map((bytes) => new Uint8Array(bytes));

/**
 * Messages that are on some border: number zero, eleven bytes of varint, a length beyond the end, a group, a
 * number above 32 bits.
 */
const KNOWN_MESSAGES = [
  '00',
  '0000',
  '08ffffffffffffffffffff01',
  '0affffffff0f',
  '0b',
  '088080808010',
  '0a0180',
  '12ff',
];

const SAMPLES: Readonly<Record<string, unknown>> = {
  uint64: 1n,
  string: 'x',
  bytes: ascii('x'),
  bool: true,
};

/** Values of what must be there. */
function leastOf({ fields }: MessageDescriptor): object {
  return Object.fromEntries(
    fields
      .filter(({ label }) => label === 'required')
      .map(({ name, type, message }) => [name, message ? leastOf(message) : (SAMPLES[type] ?? 1)]),
  );
}

describe('messages (property)', () => {
  it.each(tables().map((one) => [one.name, one] as const))(
    '%s: bytes of anybody are a value or a ProtocolError, and a value that can be written comes back',
    (_name, descriptor) => {
      fc.assert(
        fc.property(wireMessage, (bytes) => {
          const value = outcome(() => decode(descriptor, bytes));
          if (value instanceof ProtocolError) {
            expect(value.kind).toBe('message');
            return;
          }
          // a number beyond its type is read as it is (spec protocol.md 3) and cannot be written
          const again = outcome(() => encode(descriptor, value));
          if (!(again instanceof ProtocolError)) expect(decode(descriptor, again)).toEqual(value);
        }),
        { numRuns, examples: KNOWN_MESSAGES.map((text) => [hex(text)]) },
      );
    },
  );

  it('an envelope with a bit or a byte changed, cut or made longer is a message or a ProtocolError', () => {
    const whole = fc.constantFrom(...Object.entries(REQUESTS)).chain(([type, entry]) => {
      return fc.constant(encodeMessage(Number(type), leastOf(entry.request)));
    });
    fc.assert(
      fc.property(
        whole,
        fc.nat(),
        fc.nat({ max: 255 }),
        fc.nat(),
        fc.uint8Array({ maxLength: 5 }),
        (bytes, at, change, cut, tail) => {
          const hostile = new Uint8Array(Buffer.concat([bytes.subarray(0, bytes.length - (cut % 4)), tail]));
          if (hostile.length > 0) hostile[at % hostile.length]! ^= change;
          outcome(() => decodeMessage(hostile, 'request'));
          outcome(() => decodeMessage(hostile, 'response'));
        },
      ),
      { numRuns: numRuns * 3 },
    );
  });

  it('a nested message is as deep as the tables and no deeper: thousands of levels cost nothing', () => {
    let bytes = new Uint8Array();
    for (let depth = 0; depth < 2_000; depth++)
      bytes = new Uint8Array(Buffer.concat([hex('0a'), varint(BigInt(bytes.length)), bytes]));
    for (const descriptor of tables()) outcome(() => decode(descriptor, bytes));
  });
});

describe('byte strings (property)', () => {
  it('text with surrogates of any kind is bytes, or a RangeError', () => {
    const unit = fc.oneof(
      fc.integer({ min: 0xd7f0, max: 0xe010 }).map((code) => String.fromCharCode(code)),
      fc.constantFrom('a', 'ä', '€', '😀', '\0'),
    );
    fc.assert(
      fc.property(fc.array(unit, { maxLength: 12 }), (units) => {
        const text = units.join('');
        let bytes: Uint8Array;
        try {
          bytes = toBytes(text);
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError);
          return;
        }
        expect(toBytes(fromBytes(bytes))).toEqual(bytes);
      }),
      {
        numRuns: numRuns * 3,
        examples: [[['\udc80', '\udfff']], [['\ud800', '\udc80']], [['\udcff', '\udcff']]],
      },
    );
  });
});
