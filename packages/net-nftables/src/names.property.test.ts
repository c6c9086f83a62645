/**
 * What containers ask, what name servers answer, and what the kernel tells of refused packets: values or the
 * documented refusal, in bounded time.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readRefused } from './denials.ts';
import {
  answerMessage,
  DnsMalformed,
  MAX_ADDRESSES,
  questionMessage,
  readAnswer,
  readQuery,
} from './dns-message.ts';

const numRuns = 500 * Number(process.env.WARDEN_FUZZ_FACTOR ?? 1);
const label = fc.stringMatching(/^[a-z0-9_-]{1,12}$/);
const name = fc.array(label, { minLength: 1, maxLength: 6 }).map((labels) => labels.join('.'));
const id = fc.nat({ max: 0xffff });
const address = fc.integer({ min: 0, max: 0xffff_ffff });
const answer = fc.record({
  addresses: fc.uniqueArray(address, { maxLength: MAX_ADDRESSES }),
  ttl: fc.nat({ max: 0x7fff_ffff }),
});
/** A message with some of its bytes changed, cut, or followed by others. */
const damaged = (whole: fc.Arbitrary<Buffer>): fc.Arbitrary<Buffer> =>
  fc
    .tuple(
      whole,
      fc.array(fc.tuple(fc.nat({ max: 300 }), fc.nat({ max: 255 })), { maxLength: 6 }),
      fc.option(fc.nat({ max: 300 })),
      fc.uint8Array({ maxLength: 24 }),
    )
    .map(([bytes, changes, cut, tail]) => {
      const copy = Buffer.concat([bytes.subarray(0, cut ?? bytes.length), tail]);
      for (const [at, value] of changes) if (at < copy.length) copy[at] = value;
      return copy;
    });

function orMalformed<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    expect(error).toBeInstanceOf(DnsMalformed);
    return undefined;
  }
}

describe('messages of the domain name system (property)', () => {
  it('are read back as they were written [SECURITY N12]', () => {
    fc.assert(
      fc.property(id, name, answer, (number, asked, found) => {
        const query = readQuery(questionMessage(number, asked));
        expect(query).toMatchObject({ id: number, name: asked, type: 1, isInternet: true });
        const read = readAnswer(answerMessage(query, 0, found), { id: number, name: asked });
        expect(read.addresses).toEqual(found.addresses);
        if (found.addresses.length > 0) expect(read.ttl).toBe(found.ttl);
      }),
      { numRuns },
    );
  });

  it('are understood or refused, whatever they are: questions', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 600 }).map((one) => Buffer.from(one)),
      damaged(fc.tuple(id, name).map(([number, asked]) => questionMessage(number, asked))),
    );
    fc.assert(
      fc.property(bytes, (given) => {
        const query = orMalformed(() => readQuery(given));
        if (query === undefined) return;
        expect(query.name).toMatch(/^([a-z0-9_-]|\\\d{3}|\.)*$/);
        expect(answerMessage(query, 3).length).toBeLessThanOrEqual(512);
      }),
      { numRuns },
    );
  });

  it('are understood or refused, whatever they are: answers', () => {
    const given = fc.tuple(id, name, answer).chain(([number, asked, found]) => {
      const whole = answerMessage(readQuery(questionMessage(number, asked)), 0, found);
      return damaged(fc.constant(whole)).map((bytes) => ({ bytes, asked: { id: number, name: asked } }));
    });
    fc.assert(
      fc.property(given, ({ bytes, asked }) => {
        const read = orMalformed(() => readAnswer(bytes, asked));
        if (read === undefined) return;
        expect(read.ttl).toBeGreaterThanOrEqual(0);
        for (const one of read.addresses) expect(one).toBeLessThanOrEqual(0xffff_ffff);
      }),
      { numRuns },
    );
  });
});

describe('a refused packet (property)', () => {
  it('is read, or is nothing of ours', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const read = readRefused(Buffer.from(bytes));
        if (read === undefined) return;
        expect(read.destination).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
        expect(['tcp', 'udp', 'icmp']).toContain(read.protocol);
      }),
      { numRuns },
    );
  });

  it('has its address, protocol and port', () => {
    const head = Buffer.from('450000280000400040060000 0afe0002 c6336401'.replaceAll(' ', ''), 'hex');
    const tcp = Buffer.concat([head, Buffer.from('9c4001bb', 'hex')]);
    expect(readRefused(tcp)).toEqual({
      source: 0x0afe0002,
      destination: '198.51.100.1',
      protocol: 'tcp',
      port: 443,
    });
    const later = Buffer.from(tcp);
    later.writeUInt16BE(0x0010, 6); // a fragment that has no port
    expect(readRefused(later)).not.toHaveProperty('port');
    expect(readRefused(head)).not.toHaveProperty('port');
  });
});
