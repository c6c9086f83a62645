import { describe, expect, it } from 'vitest';
import {
  answerMessage,
  DnsMalformed,
  MAX_ADDRESSES,
  questionMessage,
  readAnswer,
  readQuery,
} from './dns-message.ts';
import { parseAddress } from './ipv4-address.ts';

const hex = (...parts: string[]): Buffer => Buffer.from(parts.join('').replaceAll(' ', ''), 'hex');
const HEAD = '1234 0100 0001 0000 0000 0000';
const A_TEST = '01 61 04 74657374 00'; // a.test
const TYPE_A = '0001 0001';
const ASKED = { id: 0x1234, name: 'a.test' };
const answerOf = (count: string, ...records: string[]): Buffer =>
  hex(`1234 8180 0001 ${count} 0000 0000`, A_TEST, TYPE_A, ...records);
const record = (owner: string, type: string, ttl: string, data: string): string => {
  const bytes = data.replaceAll(' ', '').length / 2;
  return `${owner} ${type} 0001 ${ttl} ${bytes.toString(16).padStart(4, '0')} ${data}`;
};

/** The code of the refusal of a question, `silence`, or what was read. */
function outcome(bytes: Buffer): unknown {
  try {
    return readQuery(bytes);
  } catch (error) {
    if (!(error instanceof DnsMalformed)) throw error;
    return error.answer === undefined ? 'silence' : (error.answer[3] ?? 0) & 0xf;
  }
}

describe('a question', () => {
  it('is read, with its case kept for the answer', () => {
    const bytes = hex(HEAD, '01 41 04 54657354 00', TYPE_A);
    const query = readQuery(bytes);
    expect(query).toMatchObject({ id: 0x1234, name: 'a.test', type: 1, isInternet: true });
    const answer = answerMessage(query, 0, { addresses: [parseAddress('192.0.2.1')], ttl: 60 });
    expect(answer.toString('hex')).toBe(
      hex(
        '1234 8180 0001 0001 0000 0000',
        '01 41 04 54657354 00',
        TYPE_A,
        'c00c 0001 0001 0000003c 0004 c0000201',
      ).toString('hex'),
    );
  });

  it('may carry one option, which is passed by', () => {
    const option = '00 0029 04d0 00000000 0004 00010000';
    expect(outcome(hex('1234 0100 0001 0000 0000 0001', A_TEST, TYPE_A, option))).toMatchObject({
      name: 'a.test',
    });
    expect(
      outcome(hex('1234 0100 0001 0000 0000 0001', A_TEST, TYPE_A, '00 0029 04d0 00000000 0009 00010000')),
    ).toBe(1);
    expect(outcome(hex('1234 0100 0001 0000 0000 0001', A_TEST, TYPE_A, '00 0001 04d0 00000000 0000'))).toBe(
      1,
    );
  });

  it.each<[string, Buffer, unknown]>([
    ['nothing', Buffer.alloc(0), 'silence'],
    ['half a header', hex('1234 0100 0001'), 'silence'],
    ['an answer', hex('1234 8100 0001 0000 0000 0000', A_TEST, TYPE_A), 'silence'],
    ['more than 512 bytes', Buffer.alloc(513), 'silence'],
    ['an update', hex('1234 2900 0001 0000 0000 0000', A_TEST, TYPE_A), 4],
    ['no question', hex('1234 0100 0000 0000 0000 0000'), 1],
    ['two questions', hex('1234 0100 0002 0000 0000 0000', A_TEST, TYPE_A, A_TEST, TYPE_A), 1],
    ['an answer in a question', hex('1234 0100 0001 0001 0000 0000', A_TEST, TYPE_A), 1],
    ['a name that is cut off', hex(HEAD, '05 61'), 1],
    ['a name without an end', hex(HEAD, '01 61'), 1],
    ['no type', hex(HEAD, A_TEST, '0001'), 1],
    ['bytes behind it', hex(HEAD, A_TEST, TYPE_A, '00'), 1],
    ['a pointer', hex(HEAD, 'c00c', TYPE_A), 1],
    ['a label of an unknown kind', hex(HEAD, '41 61 00', TYPE_A), 1],
    ['a name of 256 bytes', hex(HEAD, `3f${'61'.repeat(63)}`.repeat(4), '00', TYPE_A), 1],
  ])('that is %s is refused', (_what, bytes, expected) => {
    expect(outcome(bytes)).toBe(expected);
  });

  it('with bytes that no name of a host has is read so that it is no such name', () => {
    expect(readQuery(hex(HEAD, '03 612e62 04 74657374 00', TYPE_A)).name).toBe('a\\046b.test');
  });

  it('gets at most as many addresses as fit into 512 bytes', () => {
    const longest = `${`3f${'61'.repeat(63)}`.repeat(3)}3d${'61'.repeat(61)}`;
    const query = readQuery(hex(HEAD, longest, '00', TYPE_A));
    const answer = answerMessage(query, 0, {
      addresses: Array.from({ length: 99 }, (_none, i) => i),
      ttl: 1,
    });
    expect(answer.readUInt16BE(6)).toBe(MAX_ADDRESSES);
    expect(answer.length).toBeLessThanOrEqual(512);
  });
});

describe('an answer', () => {
  it('leads by aliases to addresses, with the least time of all', () => {
    const bytes = answerOf(
      '0004',
      record('c00c', '0005', '00000100', '01 62 c00e'), // a.test -> b.test
      record('01 62 04 74657374 00', '0001', '00000050', 'c0000201'),
      record('01 62 c00e', '0001', '00000060', 'c0000202'),
      record('01 63 c00e', '0001', '00000001', 'c0000203'), // of another name
    );
    expect(readAnswer(bytes, ASKED)).toEqual({
      code: 0,
      isTruncated: false,
      addresses: [parseAddress('192.0.2.1'), parseAddress('192.0.2.2')],
      ttl: 0x50,
    });
  });

  it('takes a time that is negative as none, and each address once', () => {
    const one = record('c00c', '0001', '80000000', 'c0000201');
    expect(readAnswer(answerOf('0002', one, one), ASKED)).toMatchObject({
      addresses: [parseAddress('192.0.2.1')],
      ttl: 0,
    });
  });

  it('is believed nothing when it is cut', () => {
    const bytes = answerOf('0001', record('c00c', '0001', '00000050', 'c0000201'));
    bytes.writeUInt16BE(0x8380, 2);
    expect(readAnswer(bytes, ASKED)).toMatchObject({ isTruncated: true, addresses: [] });
  });

  it.each<[string, Buffer]>([
    ['another id', answerOf('0000').fill(0, 0, 1)],
    ['a question', questionMessage(0x1234, 'a.test')],
    ['another name', hex('1234 8180 0001 0000 0000 0000', '01 62 04 74657374 00', TYPE_A)],
    ['another type', hex('1234 8180 0001 0000 0000 0000', A_TEST, '001c 0001')],
    ['no question', hex('1234 8180 0000 0000 0000 0000')],
    ['fewer records than it says', answerOf('0002', record('c00c', '0001', '00000050', 'c0000201'))],
    ['an address of three bytes', answerOf('0001', record('c00c', '0001', '00000050', 'c00002'))],
    ['data behind its end', answerOf('0001', 'c00c 0001 0001 00000050 0008 c0000201')],
    ['a pointer to itself', answerOf('0001', 'c018 0001 0001 00000050 0004 c0000201')],
    ['a pointer forwards', answerOf('0001', 'c0ff 0001 0001 00000050 0004 c0000201')],
    [
      'a pointer forwards to a name',
      answerOf(
        '0002',
        'c028 0001 0001 00000050 0004 c0000201',
        record(A_TEST, '0001', '00000050', 'c0000202'),
      ),
    ],
    ['a pointer into the header', answerOf('0001', 'c002 0001 0001 00000050 0004 c0000201')],
    ['aliases in a circle', answerOf('0001', record('c00c', '0005', '00000050', 'c00c'))],
    ['an alias with something behind it', answerOf('0001', record('c00c', '0005', '00000050', 'c00c 00'))],
    ['too many records', answerOf('ffff')],
  ])('with %s is none', (_what, bytes) => {
    expect(() => readAnswer(bytes, ASKED)).toThrow(DnsMalformed);
  });

  it('to a question of ours is read back', () => {
    const query = readQuery(questionMessage(0x1234, 'a.test'));
    const addresses = ['192.0.2.1', '198.51.100.1'].map(parseAddress);
    expect(readAnswer(answerMessage(query, 0, { addresses, ttl: 9 }), ASKED)).toEqual({
      code: 0,
      isTruncated: false,
      addresses,
      ttl: 9,
    });
  });
});

describe('what an answer leads to', () => {
  const B_TEST = '01 62 04 74657374 00'; // b.test
  const alias = record('c00c', '0005', '00000005', B_TEST);
  const address = record(B_TEST, '0001', '0000003c', 'c0000201');

  it('holds for the least time of all that led there, aliases too', () => {
    expect(readAnswer(answerOf('0002', alias, address), ASKED)).toMatchObject({
      addresses: [parseAddress('192.0.2.1')],
      ttl: 5,
    });
  });

  it('is nothing of another class, and nothing that is cut off', () => {
    const chaos = `${B_TEST} 0001 0003 0000003c 0004 c0000201`;
    expect(readAnswer(answerOf('0002', alias, chaos), ASKED).addresses).toEqual([]);
    const whole = answerOf('0002', alias, address);
    for (let cut = 1; cut <= 4; cut++)
      expect(() => readAnswer(whole.subarray(0, -cut), ASKED), `${cut} bytes less`).toThrow(DnsMalformed);
    const text = record(B_TEST, '0010', '0000003c', '03616263');
    expect(() => readAnswer(answerOf('0002', alias, text).subarray(0, -1), ASKED)).toThrow(DnsMalformed);
  });
});
