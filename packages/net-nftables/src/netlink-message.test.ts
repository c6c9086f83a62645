import { describe, expect, it, vi } from 'vitest';
import {
  attribute,
  attribute32,
  attributeText,
  bigEndian16,
  bigEndian32,
  cString,
  listAttributes,
  message,
  messageAttributes,
  messages,
  messageType,
  nested,
  parseAttributes,
  textAttribute,
  uint8,
  uint16,
  uint32,
} from './netlink-message.ts';

describe('attributes', () => {
  it('are padded to four bytes, which the length does not count', () => {
    expect(attribute(3, Buffer.from('ab')).toString('hex')).toBe('0600030061620000');
    expect(attribute(4, uint32(1500)).toString('hex')).toBe('08000400dc050000');
    expect(attribute(1, Buffer.alloc(0)).toString('hex')).toBe('04000100');
  });

  it('hold text with its closing NUL, in as many bytes as it has', () => {
    for (const text of ['', 'a', 'veth', 'Zürich', '容器'])
      expect(textAttribute(7, text)).toEqual(attribute(7, cString(text)));
    expect(textAttribute(3, 'abc').toString('hex')).toBe('0800030061626300');
  });

  it('carry the nested flag when they hold others', () => {
    expect(nested(18, attribute(1, cString('veth'))).toString('hex')).toBe(
      '1000128009000100766574680000000' + '0',
    );
  });

  it('hold nothing of the memory that they are made in', () => {
    const used = vi.spyOn(Buffer, 'allocUnsafe').mockImplementation((size) => Buffer.alloc(size, 0xee));
    try {
      const numbers = nested(1, attribute32(2, -4), attribute(3, Buffer.from('a')));
      expect(numbers.toString('hex')).toBe('140001800800' + '0200fffffffc' + '0500030061000000');
      expect(textAttribute(1, 'ab').toString('hex')).toBe('0700010061620000');
      expect(message({ type: 1, flags: 2, payload: Buffer.from('abcde') }, 3).toString('hex')).toBe(
        '15000000010002000300000000000000' + '6162636465000000',
      );
      expect(used).toHaveBeenCalledTimes(5);
    } finally {
      used.mockRestore();
    }
  });

  it('are read back, repetitions included, up to a length that does not fit', () => {
    const bytes = Buffer.concat([
      attribute(1, cString('a')),
      attribute(1, cString('b')),
      nested(2, attribute(7, uint8(9))),
    ]);
    expect(listAttributes(bytes).map(([type]) => type)).toEqual([1, 1, 2]);
    expect(attributeText(parseAttributes(bytes).get(1))).toBe('b');
    expect(parseAttributes(parseAttributes(bytes).get(2) ?? Buffer.alloc(0)).get(7)?.[0]).toBe(9);
    expect(
      listAttributes(Buffer.concat([attribute(1, uint8(1)), Buffer.from('ff000100', 'hex')])),
    ).toHaveLength(1);
    expect(listAttributes(Buffer.from('00000100', 'hex'))).toEqual([]);
  });
});

describe('numbers', () => {
  it('are in host order or big-endian, as the field wants', () => {
    expect(uint16(0x1234).toString('hex')).toBe('3412');
    expect(uint32(-1).toString('hex')).toBe('ffffffff');
    expect(bigEndian16(8080).toString('hex')).toBe('1f90');
    expect(bigEndian32(-4).toString('hex')).toBe('fffffffc');
  });
});

describe('message', () => {
  it('is length, type, flags, sequence and port in front of the payload', () => {
    const bytes = message({ type: 0x10, flags: 0x605, payload: attribute(1, uint32(7)) }, 42);
    expect(bytes.toString('hex')).toBe(
      '18000000' + '1000' + '0506' + '2a000000' + '00000000' + '0800010007000000',
    );
    expect(messageType(bytes)).toBe(16);
    expect(messageAttributes(bytes, 0).get(1)?.toString('hex')).toBe('07000000');
  });

  it('travels with others, each with its own number and padding', () => {
    const [one, other] = [
      { type: 1, flags: 2, payload: Buffer.from('abcde') },
      { type: 0x1234, flags: 0x8001, payload: Buffer.alloc(0) },
    ];
    expect(messages([one, other], [0x01020304, 0xfffffffe])).toEqual(
      Buffer.concat([message(one, 0x01020304), message(other, 0xfffffffe)]),
    );
    expect(messages([other], [0xfffffffe]).toString('hex')).toBe(
      '10000000' + '3412' + '0180' + 'feffffff' + '00000000',
    );
    expect(messages([], [])).toHaveLength(0);
  });
});
