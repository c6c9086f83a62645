import type { EgressRule, NetworkHostSpec } from '@warden/interface';
import { describe, expect, it } from 'vitest';
import type { TrackedConnection } from './connection-tracking.ts';
import { parseAddress } from './ipv4-address.ts';
import { withdrawnEgress, withdrawnInbound } from './withdrawn-connections.ts';

const HOST: NetworkHostSpec = {
  pool: '10.254.0.0/22',
  allowNetworks: ['10.0.0.0/8', '192.0.2.0/24'],
  denyNetworks: ['198.51.100.0/24'],
  allowHostAccess: false,
};
const [GATEWAY, CONTAINER, FAR, DENIED, OPEN] = [
  '203.0.113.1',
  '10.254.0.6',
  '203.0.113.9',
  '198.51.100.7',
  '192.0.2.1',
] as const;

function connection(
  to: string,
  over: Partial<TrackedConnection> & { readonly via?: string } = {},
): TrackedConnection {
  const { via = to, ...rest } = over;
  return {
    protocol: 6,
    to: parseAddress(via),
    toPort: 80,
    end: parseAddress(to),
    endPort: 80,
    answeredTo: parseAddress(GATEWAY),
    isAnswered: true,
    icmpType: undefined,
    icmpCode: undefined,
    ...rest,
  };
}

const rule = (over: Partial<EgressRule> = {}): EgressRule => ({ protocol: 'tcp', log: false, ...over });
const to = (address: string): EgressRule => rule({ network: { first: address, last: address } });

/** Whether a connection ends when `withdrawn` is taken away and `kept` stays. */
function ends(
  one: TrackedConnection,
  withdrawn: EgressRule,
  kept: readonly EgressRule[] = [],
  host: NetworkHostSpec = HOST,
): boolean {
  const rules = { withdrawn: { egress: [withdrawn], mappings: [] }, kept: { egress: kept, mappings: [] } };
  return withdrawnEgress(rules, { host, isLearned: () => true })(one);
}

describe('a connection that a container has begun', () => {
  it('ends with the only rule that it has, and with no other', () => {
    expect(ends(connection(FAR), to(FAR))).toBe(true);
    expect(ends(connection(FAR), to(FAR), [rule()])).toBe(false);
    for (const other of [
      to(GATEWAY),
      rule({ protocol: 'udp' }),
      rule({ ports: { first: 81, last: 90 } }),
      rule({ ports: { first: 1, last: 79 } }),
      rule({ protocol: 'icmp' }),
    ])
      expect(ends(connection(FAR), other), JSON.stringify(other)).toBe(false);
    for (const ports of [
      { first: 80, last: 80 },
      { first: 1, last: 80 },
      { first: 80, last: 90 },
    ])
      expect(ends(connection(FAR), rule({ ports })), JSON.stringify(ports)).toBe(true);
  });

  it('goes on where the configured networks open it', () => {
    expect(ends(connection(OPEN), rule())).toBe(false);
    expect(ends(connection('10.1.2.3'), rule())).toBe(false);
  });

  it('to another container goes on by its published port where networks cover it, and ends where it went there itself', () => {
    expect(ends(connection(CONTAINER, { via: GATEWAY }), rule())).toBe(false);
    expect(ends(connection(CONTAINER), to(CONTAINER))).toBe(true);
    // a rule about all opens of the containers what is published, one about this one all
    expect(ends(connection(CONTAINER), to(CONTAINER), [rule()])).toBe(true);
    expect(ends(connection(CONTAINER), rule(), [to(CONTAINER)])).toBe(false);
    const closed = { ...HOST, allowNetworks: [] };
    expect(ends(connection(CONTAINER, { via: GATEWAY }), to(CONTAINER), [rule()], closed)).toBe(false);
    expect(ends(connection(CONTAINER, { via: GATEWAY }), to(CONTAINER), [], closed)).toBe(true);
  });

  it('is allowed by no name where names open nothing', () => {
    const named = rule({ domain: 'good.test' });
    expect(ends(connection(FAR), rule(), [named])).toBe(false);
    for (const closed of [DENIED, '169.254.169.254'])
      expect(ends(connection(closed), rule({ network: { first: closed, last: closed } }), [named])).toBe(
        true,
      );
    expect(ends(connection(CONTAINER), to(CONTAINER), [named], { ...HOST, allowNetworks: [] })).toBe(true);
  });

  it('that asks by ICMP ends with the rule of its type and code', () => {
    const ping = connection(FAR, { protocol: 1, icmpType: 8, icmpCode: 0, endPort: undefined });
    const icmp = (over: Partial<EgressRule>): EgressRule => rule({ protocol: 'icmp', ...over });
    expect(
      [icmp({}), icmp({ icmpType: 8 }), icmp({ icmpType: 8, icmpCode: 0 })].map((one) => ends(ping, one)),
    ).toEqual([true, true, true]);
    expect(
      [icmp({ icmpType: 13 }), icmp({ icmpType: 8, icmpCode: 1 })].map((one) => ends(ping, one)),
    ).toEqual([false, false]);
  });
});

describe('a connection that a container answers', () => {
  const isOver = withdrawnInbound([{ hostPort: 61_000, containerPort: 80 }]);
  const published = { via: GATEWAY, toPort: 61_000 };

  it('ends when it came by the port that is withdrawn, and by that only', () => {
    expect(isOver(connection(CONTAINER, published))).toBe(true);
    expect(isOver(connection(CONTAINER, { ...published, toPort: 61_001 }))).toBe(false);
    expect(isOver(connection(CONTAINER, { ...published, endPort: 81 }))).toBe(false);
    expect(isOver(connection(CONTAINER, { ...published, protocol: 17 }))).toBe(false);
    // to the container itself, on a port of that number
    expect(isOver(connection(CONTAINER, { toPort: 61_000, endPort: 80 }))).toBe(false);
  });
});
