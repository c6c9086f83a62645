import type { EgressRule, NetworkDriver } from '@warden/interface';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAddress } from '../src/ipv4-address.ts';
import { answer, probe, type Target } from './prober.ts';
import type { TestNamespace } from './test-namespace.ts';
import type { Topology } from './test-topology.ts';
import { FAR, makeContainer, makeDriver, makeTopology, OUTSIDE, POLICY, specOf } from './test-topology.ts';

const A = specOf(0);
const METADATA = ['169.254.169.254', '100.100.100.200', '168.63.129.16', '192.0.0.192'];
const EVERYTHING = { first: '0.0.0.0', last: '255.255.255.255' };
/** Of the outside: neighbours at both sides of what the rules cut. */
const ADDRESSES = [
  OUTSIDE,
  FAR,
  '198.51.100.7',
  '198.51.100.8',
  '198.51.100.15',
  '198.51.100.16',
  '192.0.2.1',
];
const FIRST_PORT = 7010;
const LAST_PORT = 7019;

let net: Topology;
let driver: NetworkDriver;
let a: TestNamespace;
let server: { close(): Promise<void> };

beforeAll(async () => {
  net = await makeTopology();
  for (const address of [...ADDRESSES.slice(2), ...METADATA])
    net.outside.run('ip', 'address', 'add', `${address}/32`, 'dev', 'wt-out');
  server = await answer(net.outside, [...ADDRESSES, ...METADATA], { first: FIRST_PORT, last: LAST_PORT });
  driver = makeDriver();
  await driver.setup(POLICY);
  a = await makeContainer(driver, A);
}, 30_000);
afterAll(async () => {
  await driver.release(A, {});
  await driver.close();
  await server.close();
  await a.close();
  await net.close();
});

/** Replaces all rules of the container. */
const allowOnly = (...egress: EgressRule[]): Promise<void> => driver.restore(A, {}, { mappings: [], egress });
const rule = (over: Partial<EgressRule>): EgressRule => ({ protocol: 'tcp', log: false, ...over });
const tcp = (address: string, port = FIRST_PORT): Target => ({ protocol: 'tcp', address, port });
const udp = (address: string, port = FIRST_PORT): Target => ({ protocol: 'udp', address, port });
const icmp = (address: string, type = 8, code = 0): Target => ({ protocol: 'icmp', address, type, code });

describe('rules and packets', () => {
  it.each<[string, Partial<EgressRule>, Target[], Target[]]>([
    [
      'a port of any network',
      { ports: { first: 7012, last: 7012 } },
      [tcp(OUTSIDE, 7012), tcp(FAR, 7012)],
      [tcp(OUTSIDE, 7011), tcp(OUTSIDE, 7013), udp(OUTSIDE, 7012)],
    ],
    [
      'an inclusive port range',
      { ports: { first: 7012, last: 7014 } },
      [tcp(FAR, 7012), tcp(FAR, 7013), tcp(FAR, 7014)],
      [tcp(FAR, 7011), tcp(FAR, 7015)],
    ],
    [
      'an address',
      { network: { first: FAR, last: FAR } },
      [tcp(FAR, 7010), tcp(FAR, 7019)],
      [tcp('198.51.100.7'), udp(FAR), icmp(FAR)],
    ],
    [
      'a CIDR',
      { network: { first: '198.51.100.8', last: '198.51.100.15' } },
      [tcp('198.51.100.8'), tcp('198.51.100.15')],
      [tcp('198.51.100.7'), tcp('198.51.100.16')],
    ],
    [
      'UDP',
      { protocol: 'udp', ports: { first: 7012, last: 7012 } },
      [udp(FAR, 7012)],
      [udp(FAR, 7013), tcp(FAR, 7012)],
    ],
    [
      'ICMP of a type and code',
      { protocol: 'icmp', icmpType: 8, icmpCode: 0 },
      [icmp(FAR)],
      [icmp(FAR, 8, 8), tcp(FAR)],
    ],
    ['ICMP of another type', { protocol: 'icmp', icmpType: 0, icmpCode: 0 }, [], [icmp(FAR)]],
    ['ICMP of another code', { protocol: 'icmp', icmpType: 8, icmpCode: 8 }, [icmp(FAR, 8, 8)], [icmp(FAR)]],
    [
      'any ICMP',
      { protocol: 'icmp', network: { first: FAR, last: FAR } },
      [icmp(FAR), icmp(FAR, 8, 8)],
      [icmp(OUTSIDE)],
    ],
    [
      'ALL',
      { protocol: 'all', network: { first: FAR, last: FAR } },
      [tcp(FAR), udp(FAR), icmp(FAR)],
      [tcp(OUTSIDE), udp(OUTSIDE), icmp(OUTSIDE)],
    ],
  ])('allow %s and nothing else [linux-container 25 net_out]', async (_what, over, open, closed) => {
    await allowOnly(rule(over));
    expect(probe(a, open)).toEqual(open.map(() => true));
    expect(probe(a, closed)).toEqual(closed.map(() => false));
  });

  it('agree in 256 random cases with what the rules say [behaviour 5 NetOut]', async () => {
    const random = generator(20_261_125);
    const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
    for (let set = 0; set < 16; set++) {
      const rules = Array.from({ length: 1 + Math.floor(random() * 3) }, () => randomRule(pick));
      const targets = Array.from({ length: 16 }, () => randomTarget(pick));
      await allowOnly(...rules);
      const expected = targets.map((target) => rules.some((one) => fits(one, target)));
      expect(probe(a, targets), JSON.stringify({ rules, targets })).toEqual(expected);
    }
  }, 120_000);
});

describe('reserved addresses', () => {
  const everywhere = { network: EVERYTHING };

  it.each(METADATA)(
    '%s stays closed to what merely covers it, and is opened by rules about it [SECURITY N09]',
    async (address) => {
      const target = [tcp(address), tcp(FAR)];
      const [first] = address.split('.');
      const around = { first: `${first}.0.0.0`, last: `${first}.255.255.255` };
      for (const over of [
        everywhere,
        { ports: { first: 7000, last: 7999 } },
        { protocol: 'all', ...everywhere } as const,
      ]) {
        await allowOnly(rule(over));
        expect(probe(a, target)).toEqual([false, true]);
      }
      await allowOnly(rule({ network: around }));
      expect(probe(a, target)[0]).toBe(false);
      await allowOnly(rule({ network: { first: address, last: address } }));
      expect(probe(a, target)).toEqual([true, false]);
      await allowOnly();
      await driver.setup({ ...POLICY, allowNetworks: ['0.0.0.0/0'] });
      expect(probe(a, target)).toEqual([false, true]);
      await driver.setup({ ...POLICY, allowNetworks: ['0.0.0.0/0', address] });
      expect(probe(a, target)).toEqual([true, true]);
      await driver.setup({ ...POLICY, allowNetworks: ['0.0.0.0/0'], denyNetworks: ['169.254.0.0/16'] });
      expect(probe(a, target)).toEqual([false, true]);
      await driver.setup(POLICY);
    },
    60_000,
  );

  it('of the link are opened as a whole by their network', async () => {
    await allowOnly(rule({ network: { first: '169.254.0.0', last: '169.254.255.255' } }));
    expect(probe(a, [tcp('169.254.169.254'), tcp(FAR)])).toEqual([true, false]);
    await allowOnly();
    await driver.setup({ ...POLICY, allowNetworks: ['0.0.0.0/0', '169.254.0.0/16'] });
    expect(probe(a, [tcp('169.254.169.254'), tcp(FAR)])).toEqual([true, true]);
    await driver.setup(POLICY);
  });
});

describe('logging', () => {
  /**
   * Packets the rule with a log has counted; where a packet is counted, the next step of the same rule writes
   * the line.
   */
  const logged = (): number[] =>
    net.host
      .run('nft', 'list', 'chain', 'inet', 'warden-test', `i-${A.id}`)
      .split('\n')
      .filter((line) => line.includes(`log prefix "warden-i-${A.id} "`))
      .map((line) => Number(/counter packets (\d+) bytes \d+ log prefix/.exec(line)?.[1]));

  it('tells of new TCP connections of a logged rule, with the prefix, and accepts them [linux-container 16.2 log]', async () => {
    await allowOnly(
      rule({ protocol: 'udp' }),
      rule({ protocol: 'all', network: { first: FAR, last: FAR }, log: true }),
      rule({ network: { first: OUTSIDE, last: OUTSIDE } }),
    );
    expect(logged()).toEqual([0]);
    expect(probe(a, [udp(FAR), icmp(FAR), tcp(OUTSIDE), tcp('192.0.2.1')])).toEqual([
      true,
      true,
      true,
      false,
    ]);
    expect(logged()).toEqual([0]);
    expect(probe(a, [tcp(FAR), tcp(FAR, 7011)])).toEqual([true, true]);
    expect(logged()).toEqual([2]);
  });

  it('logs no other protocol than TCP', async () => {
    await allowOnly(rule({ protocol: 'udp', log: true }), rule({ protocol: 'icmp', icmpType: 8, log: true }));
    expect(probe(a, [udp(FAR), icmp(FAR)])).toEqual([true, true]);
    expect(logged()).toEqual([]);
  });
});

function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return state / 0x8000_0000;
  };
}

type Pick = <T>(list: readonly T[]) => T;

function randomRule(pick: Pick): EgressRule {
  const protocol = pick(['tcp', 'tcp', 'udp', 'icmp', 'all'] as const);
  const network = pick([
    undefined,
    { first: FAR, last: FAR },
    { first: '198.51.100.0', last: '198.51.100.7' },
    { first: '198.51.100.8', last: '198.51.100.15' },
    { first: '192.0.2.0', last: '198.51.100.1' },
  ]);
  const low = pick([7010, 7012, 7015]);
  const ports =
    protocol === 'tcp' || protocol === 'udp'
      ? pick([undefined, { first: low, last: low + pick([0, 2]) }])
      : undefined;
  const type = protocol === 'icmp' ? pick([undefined, 8, 0]) : undefined;
  const code = type === undefined ? undefined : pick([undefined, 0, 8]);
  return rule({
    protocol,
    log: pick([true, false]),
    ...(network && { network }),
    ...(ports && { ports }),
    ...(type !== undefined && { icmpType: type }),
    ...(code !== undefined && { icmpCode: code }),
  });
}

function randomTarget(pick: Pick): Target {
  const address = pick(ADDRESSES);
  const protocol = pick(['tcp', 'udp', 'icmp'] as const);
  if (protocol === 'icmp') return icmp(address, 8, pick([0, 8]));
  return { protocol, address, port: pick([7010, 7011, 7012, 7013, 7014, 7015, 7016, 7017, 7018]) };
}

/** What a rule says, from its words alone. */
function fits(one: EgressRule, target: Target): boolean {
  if (one.protocol !== 'all' && one.protocol !== target.protocol) return false;
  const at = parseAddress(target.address);
  if (one.network && (at < parseAddress(one.network.first) || at > parseAddress(one.network.last)))
    return false;
  if (target.protocol === 'icmp') {
    if (one.protocol === 'all' || one.icmpType === undefined) return true;
    return one.icmpType === target.type && (one.icmpCode === undefined || one.icmpCode === target.code);
  }
  return one.ports === undefined || (target.port >= one.ports.first && target.port <= one.ports.last);
}
