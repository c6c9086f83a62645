/**
 * What the kernel lists and what clients write as networks: values or the documented error; what is encoded
 * is read back.
 */
import { isWardenError } from '@warden/interface';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type AddressRange,
  formatAddress,
  METADATA,
  mergeRanges,
  parseAddress,
  parseRange,
  withoutReserved,
} from './ipv4-address.ts';
import {
  attribute,
  listAttributes,
  message,
  messageAttributes,
  messageType,
  nested,
  parseAttributes,
} from './netlink-message.ts';
import { NFGENMSG_BYTES, portElement, readPortElement } from './nftables-message.ts';
import { readAddress, readLink, readOutgoingLink, readPreferredSource } from './rtnetlink.ts';

const numRuns = 500 * Number(process.env.WARDEN_FUZZ_FACTOR ?? 1);
const address = fc.oneof(
  fc.integer({ min: 0, max: 0xffff_ffff }),
  fc.constantFrom(0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff),
);
const range = fc
  .tuple(address, address)
  .map(([a, b]): AddressRange => ({ first: Math.min(a, b), last: Math.max(a, b) }));
const bytes = fc.uint8Array({ maxLength: 80 }).map((one) => Buffer.from(one));

function holds(ranges: readonly AddressRange[], one: number): boolean {
  return ranges.some(({ first, last }) => first <= one && one <= last);
}

describe('addresses and networks (property)', () => {
  it('text is an address that is written just so, or INVALID_SPEC [config 2 network]', () => {
    const text = fc.oneof(
      fc.string({ maxLength: 24 }),
      fc
        .array(
          fc.oneof(
            fc.nat({ max: 300 }).map(String),
            fc.constantFrom('.', '-', '/', '', ' ', '00', '0x1', '٣'),
          ),
          { maxLength: 12 },
        )
        .map((parts) => parts.join('')),
      fc.tuple(address, fc.nat({ max: 40 })).map(([one, prefix]) => `${formatAddress(one)}/${prefix}`),
      range.map(({ first, last }) => `${formatAddress(first)}-${formatAddress(last)}`),
    );
    fc.assert(
      fc.property(text, (given) => {
        try {
          const { first, last } = parseRange(given);
          expect(first).toBeGreaterThanOrEqual(0);
          expect(last).toBeGreaterThanOrEqual(first);
          expect(last).toBeLessThanOrEqual(0xffff_ffff);
          expect(parseAddress(formatAddress(first))).toBe(first);
          if (!/[-/]/.test(given)) expect(formatAddress(first)).toBe(given);
        } catch (error) {
          expect(isWardenError(error, 'INVALID_SPEC')).toBe(true);
        }
      }),
      {
        numRuns,
        examples: [
          ['0.0.0.0/0'],
          ['1.2.3.4/33'],
          ['1.2.3.4-1.2.3.3'],
          ['01.2.3.4'],
          ['1.2.3.4\n'],
          ['::/0'],
          ['0/0; flush ruleset'],
        ],
      },
    );
  });

  it('joined ranges hold the same addresses, apart and in order', () => {
    fc.assert(
      fc.property(
        fc.array(range, { maxLength: 8 }),
        fc.array(address, { maxLength: 8 }),
        (ranges, probes) => {
          const merged = mergeRanges(ranges);
          for (const [at, one] of merged.entries())
            if (at > 0) expect(one.first).toBeGreaterThan(merged[at - 1]!.last + 1);
          const borders = ranges.flatMap(({ first, last }) => [first - 1, first, last, last + 1]);
          for (const probe of [...probes, ...borders])
            expect(holds(merged, probe)).toBe(holds(ranges, probe));
        },
      ),
      { numRuns },
    );
  });

  it('a range is opened without what is reserved, unless it lies within one of those', () => {
    const borders = METADATA.flatMap(({ first, last }) => [first - 1, first, last, last + 1]);
    const end = fc.oneof(address, fc.constantFrom(...borders));
    const near = fc
      .tuple(end, end)
      .map(([a, b]): AddressRange => ({ first: Math.min(a, b), last: Math.max(a, b) }));
    fc.assert(
      fc.property(near, address, (one, probe) => {
        const isAbout = METADATA.some(({ first, last }) => one.first >= first && one.last <= last);
        const parts = withoutReserved(one, METADATA);
        for (const at of [probe, one.first, one.last, ...borders])
          expect(holds(parts, at)).toBe(holds([one], at) && (isAbout || !holds(METADATA, at)));
      }),
      { numRuns },
    );
  });
});

/** Answers that a reader once failed on: attributes shorter than their number. */
const KNOWN_ANSWERS = [
  '24000000180000000000000000000000020000000000000000000000050004000100000005000700010000',
  '00000000',
  '',
];

describe('netlink attributes (property)', () => {
  it('what is nested comes back in order', () => {
    const list = fc.array(fc.tuple(fc.integer({ min: 1, max: 0x3fff }), fc.uint8Array({ maxLength: 20 })), {
      maxLength: 6,
    });
    fc.assert(
      fc.property(list, (attributes) => {
        const inner = attributes.map(([type, payload]) => attribute(type, payload));
        const [[type, payload]] = listAttributes(nested(7, ...inner)) as [[number, Buffer]];
        expect(type).toBe(7);
        expect(listAttributes(payload).map(([one, value]) => [one, new Uint8Array(value)])).toEqual(
          attributes,
        );
      }),
      { numRuns },
    );
  });

  it('answers of any bytes are read without an error', () => {
    fc.assert(
      fc.property(bytes, fc.nat({ max: 0xffff }), (payload, type) => {
        for (const received of [
          message({ type, flags: 0, payload }, 1),
          Buffer.concat([Buffer.alloc(16, 255), payload]),
        ]) {
          messageType(received);
          expect(messageAttributes(received, NFGENMSG_BYTES).size).toBeGreaterThanOrEqual(0);
          readPortElement(parseAttributes(payload));
          for (const read of [readAddress, readLink, readOutgoingLink, readPreferredSource]) read(received);
        }
      }),
      { numRuns, examples: KNOWN_ANSWERS.map((text) => [Buffer.from(text, 'hex'), 24]) },
    );
  });

  it('an element of the port map is read as it was written', () => {
    const port = fc.integer({ min: 1, max: 65_535 });
    const comment = fc.stringMatching(/^[a-z0-9-]{0,20}$/);
    fc.assert(
      fc.property(
        port,
        fc.uint8Array({ minLength: 4, maxLength: 4 }),
        port,
        comment,
        (from, to, inside, text) => {
          const [[, payload]] = listAttributes(
            portElement(from, { address: to, port: inside, comment: text }),
          ) as [[number, Buffer]];
          expect(readPortElement(parseAttributes(payload))).toEqual({
            port: from,
            address: Buffer.from(to).readUInt32BE(0),
            containerPort: inside,
            comment: text,
          });
        },
      ),
      { numRuns },
    );
  });
});
