import { describe, expect, it } from 'vitest';
import { egressRules } from './egress-rule.ts';
import { addressBytes, parseAddress, parseRange } from './ipv4-address.ts';
import { listAttributes, message, messageAttributes, parseAttributes } from './netlink-message.ts';
import {
  compare,
  compareByte,
  ctIsReply,
  ctState,
  ctStatusHas,
  META,
  memberOf,
  meta,
  notMemberOf,
  PAYLOAD,
  payload,
  valueFrom,
  verdict,
  verdictFrom,
} from './nftables-expression.ts';
import {
  NFGENMSG_BYTES,
  portElement,
  rangeElements,
  readPortElement,
  TableMessages,
  transaction,
} from './nftables-message.ts';

const table = new TableMessages('wt');
const NAME = '07000100' + '77740000'; // attribute 1, "wt"

/** Bytes after header: family inet, version 0, resource 0. */
function payloadOf(body: { payload: Buffer }): string {
  expect(body.payload.subarray(0, 4).toString('hex')).toBe('01000000');
  return body.payload.subarray(4).toString('hex');
}

describe('changes', () => {
  it('name table and chain', () => {
    expect(table.addTable()).toMatchObject({ type: 0x0a00, flags: 0x401 });
    expect(payloadOf(table.addTable())).toBe(NAME);
    expect(table.deleteChain('c')).toMatchObject({ type: 0x0a05, flags: 0x1 });
    expect(payloadOf(table.deleteChain('c'))).toBe(`${NAME}0600030063000000`);
  });

  it('hook base chains in by number and priority, with policy accept', () => {
    const body = table.addChain('f', { type: 'nat', hook: 'postrouting', priority: -100 });
    expect(payloadOf(body)).toBe(
      `${NAME}0600030066000000` +
        '14000480' +
        '0800010000000004' +
        '08000200ffffff9c' +
        '0800050000000001' +
        '080007006e617400',
    );
  });

  it('travel between the edges of a batch', () => {
    const bodies = transaction([table.addTable()]);
    expect(bodies.map((body) => body.type)).toEqual([0x10, 0x0a00, 0x11]);
    expect(bodies[0]?.payload.toString('hex')).toBe('0000000a');
  });

  it('append rules, or put them in front', () => {
    expect(table.addRule('c', [verdict('accept')]).flags).toBe(0xc01);
    expect(table.addRule('c', [verdict('accept')], 'first').flags).toBe(0x401);
  });
});

describe('expressions', () => {
  const hex = (bytes: Buffer): string => bytes.toString('hex');

  it('load and compare', () => {
    expect(hex(meta(META.iifname))).toBe(
      '24000180' + '090001006d65746100000000' + '14000280' + '0800010000000001' + '0800020000000006',
    );
    expect(hex(compare(Buffer.of(6)))).toBe(
      '2c000180' +
        '08000100636d7000' +
        '20000280' +
        '0800010000000001' +
        '0800020000000000' +
        '0c000380' +
        '0500010006000000',
    );
  });

  it('decide', () => {
    expect(hex(verdict('drop'))).toBe(
      '30000180' +
        '0e000100696d6d656469617465000000' +
        '1c000280' +
        '0800010000000000' +
        '10000280' +
        '0c000280' +
        '0800010000000000',
    );
    expect(hex(verdict({ goto: 'x' }))).toContain('08000100fffffffc' + '0600020078000000');
    expect(hex(verdict({ jump: 'x' }))).toContain('08000100fffffffd');
  });

  it('test connection states as bits in host order', () => {
    const [load, masked, test] = ctState(2 | 4).map(hex);
    expect(load).toContain('0700010063740000');
    expect(masked).toContain('0800010006000000');
    expect(test).toContain('0800020000000001');
  });

  it('that many rules have are made once, and none is taken for another', () => {
    const make = (): Buffer[] => [
      ...Object.values(META).map(meta),
      payload(PAYLOAD.network, 16, 4),
      payload(PAYLOAD.network, 16, 4, 'second'),
      payload(PAYLOAD.network, 12, 4),
      payload(PAYLOAD.transport, 16, 4),
      payload(PAYLOAD.transport, 1, 64),
      payload(PAYLOAD.transport, 16, 1),
      compareByte(1),
      compareByte(1, 'is-not'),
      compareByte(11),
      ...['s', 's 3', 't'].flatMap((set) => [
        memberOf(set),
        notMemberOf(set),
        verdictFrom(set),
        valueFrom(set),
      ]),
      verdict('accept'),
      verdict('drop'),
      ctState(1)[0]!,
      ctIsReply()[0]!,
      ctStatusHas(1)[0]!,
    ];
    const made = make();
    expect(new Set(made.map(hex)).size).toBe(made.length);
    for (const [at, again] of make().entries()) expect(again).toBe(made[at]);
    expect(hex(compareByte(6))).toBe(hex(compare(Buffer.of(6))));
  });
});

describe('elements', () => {
  it('of the port map survive the way there and back', () => {
    const bytes = portElement(8080, {
      address: addressBytes(parseAddress('10.254.0.2')),
      port: 80,
      comment: '0123456789a',
    });
    const [element] = listAttributes(bytes);
    expect(readPortElement(parseAttributes(element?.[1] ?? Buffer.alloc(0)))).toEqual({
      port: 8080,
      address: 0x0afe0002,
      containerPort: 80,
      comment: '0123456789a',
    });
    expect(readPortElement(new Map())).toBeUndefined();
  });

  it('of an interval end with a flagged one, except at the top', () => {
    const first = addressBytes(parseAddress('10.0.0.0'));
    const [start, end] = rangeElements(first, addressBytes(parseAddress('11.0.0.0'))).map((bytes) =>
      bytes.toString('hex'),
    );
    expect(start).toBe('10000180' + '0c000180' + '080001000a000000');
    expect(end).toBe('18000180' + '0c000180' + '080001000b000000' + '0800030000000001');
    expect(rangeElements(first, undefined)).toHaveLength(1);
  });

  it('of interface sets are filled up to 16 bytes', () => {
    const attributes = messageAttributes(message(table.addSet('s', 'interfaces', 1), 1), NFGENMSG_BYTES);
    expect(attributes.get(5)?.readUInt32BE()).toBe(16);
    expect(attributes.get(4)?.readUInt32BE()).toBe(41);
  });
});

describe('egressRules', () => {
  it('refuses ports where the protocol has none', () => {
    for (const protocol of ['icmp', 'all'] as const) {
      expect(() =>
        egressRules('0123456789a', { protocol, ports: { first: 1, last: 2 }, log: false }, undefined),
      ).toThrow(expect.objectContaining({ code: 'INVALID_SPEC' }));
    }
  });

  it('logs TCP only', () => {
    const count = (protocol: 'tcp' | 'udp' | 'icmp' | 'all'): number =>
      egressRules('0123456789a', { protocol, log: true }, undefined).length;
    expect([count('tcp'), count('udp'), count('icmp'), count('all')]).toEqual([2, 1, 1, 2]);
  });

  it('ignores an ICMP code without a type', () => {
    const plain = egressRules('0123456789a', { protocol: 'icmp', log: false }, undefined);
    const coded = { protocol: 'icmp', icmpCode: 3, log: false } as const;
    expect(egressRules('0123456789a', coded, undefined)).toEqual(plain);
  });

  it('open of the containers what is published, unless the rule is about them [SECURITY N08]', () => {
    const pool = parseRange('10.254.0.0/22');
    const count = (first: string, last: string): number =>
      egressRules('0123456789a', { protocol: 'tcp', network: { first, last }, log: false }, pool).length;
    expect(count('10.254.0.6', '10.254.0.6')).toBe(1);
    expect(count('10.254.0.0', '10.254.3.255')).toBe(1);
    expect(count('198.51.100.0', '198.51.100.255')).toBe(1);
    expect(count('10.254.3.255', '10.254.4.0')).toBe(2);
    expect(count('0.0.0.0', '255.255.255.255')).toBe(2);
  });
});
