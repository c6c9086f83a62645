import dgram from 'node:dgram';
import { once } from 'node:events';
import fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { EgressRule, Logger, NetworkDenial, NetworkDriver } from '@warden/interface';
import { silentLogger } from '@warden/interface';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Lifetimes, nftablesNetwork } from '../src/index.ts';
import {
  ask,
  flood,
  floodAtOnce,
  floodPacked,
  serveNames,
  type TestNameServer,
  type Zone,
} from './name-server.ts';
import { answer, probe, type Target } from './prober.ts';
import type { TestNamespace } from './test-namespace.ts';
import type { Topology } from './test-topology.ts';
import { FAR, HOST, makeContainer, makeTopology, OUTSIDE, POLICY, specOf } from './test-topology.ts';

const [A, B] = [specOf(0), specOf(1)];
const SERVER = '192.0.2.53';
const PRIVATE = '10.99.0.7';
const DENIED = '198.51.100.77';
const PORT = 7010;
const ZONE: Zone = {
  'good.test': { addresses: [FAR] },
  'www.good.test': { alias: 'cdn.test', addresses: [OUTSIDE, FAR] },
  'short.test': { addresses: [FAR], ttl: 1 },
  'bad.test': { addresses: [FAR] },
  'inner.test': { addresses: [PRIVATE] },
  'rebind.test': {
    addresses: [
      '127.0.0.1',
      '0.0.0.0',
      '169.254.169.254',
      HOST,
      A.hostIp,
      B.containerIp,
      '100.100.100.200',
      DENIED,
      '224.0.0.1',
    ],
  },
  'mixed.test': { addresses: ['169.254.169.254', FAR] },
  'cut.test': { addresses: [FAR], cut: true },
  'forged.test': { addresses: [FAR], forged: OUTSIDE },
  'broken.test': { code: 2 },
  'silent.test': { silent: true },
};
const LIFETIMES: Lifetimes = { least: 60, most: 300 };
const POLICY_WITH_NAMES = { ...POLICY, denyNetworks: [DENIED], nameServers: [SERVER] };
const SOON = { timeout: 15_000, interval: 100 };

let net: Topology;
let driver: NetworkDriver;
let a: TestNamespace;
let b: TestNamespace;
let names: TestNameServer;
let server: { close(): Promise<void> };
let denials: NetworkDenial[] = [];
let unresolved = 0;

const makeNamed = (nameLifetimes = LIFETIMES): NetworkDriver => {
  const info = (event: string): void => {
    if (event === 'name-not-resolved') unresolved += 1;
  };
  const logger: Logger = { ...silentLogger, info, child: () => logger };
  const made = nftablesNetwork({ table: 'warden-test', nameLifetimes })({ logger });
  made.watchDenials?.((told) => {
    denials = [...denials, ...told];
  });
  return made;
};
const rule = (domain: string, over: Partial<EgressRule> = {}): EgressRule => ({
  protocol: 'tcp',
  log: false,
  domain,
  ...over,
});
const allowOnly = (...egress: EgressRule[]): Promise<void> => driver.restore(A, {}, { mappings: [], egress });
const tcp = (address: string, port = PORT): Target => ({ protocol: 'tcp', address, port });
const opens = (...addresses: string[]): boolean[] =>
  probe(
    a,
    addresses.map((one) => tcp(one)),
  );
const table = (): string => net.host.run('nft', '-s', 'list', 'table', 'inet', 'warden-test');

beforeAll(async () => {
  net = await makeTopology();
  for (const address of [SERVER, PRIVATE, DENIED])
    net.outside.run('ip', 'address', 'add', `${address}/32`, 'dev', 'wt-out');
  server = await answer(net.outside, [OUTSIDE, FAR, PRIVATE, DENIED], { first: PORT, last: PORT + 1 });
  names = await serveNames(net.outside, SERVER, ZONE);
  driver = makeNamed();
  await driver.setup(POLICY_WITH_NAMES);
  a = await makeContainer(driver, A);
  b = await makeContainer(driver, B);
}, 30_000);
beforeEach(async () => {
  await allowOnly();
  await names.change(ZONE);
  denials = [];
});
afterAll(async () => {
  for (const spec of [A, B]) await driver.release(spec, {});
  await driver.close();
  await Promise.all([server.close(), names.close(), a.close(), b.close()]);
  await net.close();
});

describe('a name that is allowed', () => {
  it('opens what it leads to, before the answer is there, and nothing else', async () => {
    await driver.allowEgress(A, {}, rule('good.test'));
    expect(opens(FAR)).toEqual([false]);
    expect(await ask(a, ['good.test'])).toEqual([[0, [FAR], 60]]);
    expect(opens(FAR, OUTSIDE)).toEqual([true, false]);
    expect(probe(b, [tcp(FAR)])).toEqual([false]);
  });

  it('is met in any case, over UDP and TCP, at whatever server is asked', async () => {
    await allowOnly(rule('good.test'));
    expect(await ask(a, ['GOOD.test'], { server: A.hostIp })).toEqual([[0, [FAR], 60]]);
    expect(await ask(a, ['gOOd.TEST'], { carrier: 'tcp' })).toEqual([[0, [FAR], 60]]);
  });

  it('opens the ports and the protocol of its rule only', async () => {
    await allowOnly(rule('good.test', { ports: { first: PORT, last: PORT } }));
    await ask(a, ['good.test']);
    expect(probe(a, [tcp(FAR), tcp(FAR, PORT + 1), { protocol: 'udp', address: FAR, port: PORT }])).toEqual([
      true,
      false,
      false,
    ]);
  });

  it('stands for all below it with a star, and not for itself; aliases are followed', async () => {
    await allowOnly(rule('*.good.test'));
    expect(await ask(a, ['good.test', 'www.good.test', 'bad.test'])).toEqual([
      [3, [], 0],
      [0, [FAR, OUTSIDE].sort(), 60],
      [3, [], 0],
    ]);
    expect(opens(FAR, OUTSIDE)).toEqual([true, true]);
  });

  it('of two rules opens what both say, also behind a restart', async () => {
    const [one, other] = [PORT, PORT + 1].map((port) =>
      rule('good.test', { ports: { first: port, last: port } }),
    ) as [EgressRule, EgressRule];
    await allowOnly(one, other);
    expect(await ask(a, ['good.test'])).toEqual([[0, [FAR], 60]]);
    expect(probe(a, [tcp(FAR), tcp(FAR, PORT + 1)])).toEqual([true, true]);
  });

  it('has no other records than addresses', async () => {
    await allowOnly(rule('good.test'));
    for (const type of [28, 16, 65]) expect(await ask(a, ['good.test'], { type })).toEqual([[0, [], 0]]);
  });

  it('is asked for over TCP where the answer is too long; forged answers are passed by', async () => {
    await allowOnly(rule('cut.test'), rule('forged.test'));
    expect(await ask(a, ['cut.test', 'forged.test'])).toEqual([
      [0, [FAR], 60],
      [0, [FAR], 60],
    ]);
    expect(opens(OUTSIDE)).toEqual([false]);
  });

  it('that does not exist, or that no server knows about, opens nothing', async () => {
    await allowOnly(rule('none.test'), rule('broken.test'));
    expect(await ask(a, ['none.test', 'broken.test'])).toEqual([
      [3, [], 0],
      [2, [], 0],
    ]);
  });
});

describe('what a name must not open', () => {
  it('stays closed: host, other containers, metadata, denied networks, loopback [SECURITY N12]', async () => {
    await allowOnly(rule('rebind.test', { protocol: 'all' }), rule('mixed.test'));
    expect(await ask(a, ['rebind.test', 'mixed.test'])).toEqual(
      [
        [0, [], 60],
        [0, [FAR], 60],
      ].map(([code, addresses]) => [code, addresses, (addresses as string[]).length > 0 ? 60 : 0]),
    );
    expect(table()).not.toContain('169.254.169.254 .');
    expect(table()).not.toContain(`${DENIED} .`);
    expect(opens(FAR)).toEqual([true]);
    const told = (): string[] =>
      denials.flatMap(({ name, destination }) => (name === 'rebind.test' ? [destination ?? ''] : []));
    await expect.poll(told, SOON).toEqual(expect.arrayContaining(ZONE['rebind.test']!.addresses!.slice()));
  });

  it('is refused by the kernel, too, when the networks change afterwards', async () => {
    await allowOnly(rule('good.test'));
    await ask(a, ['good.test']);
    expect(opens(FAR)).toEqual([true]);
    await driver.setup({ ...POLICY_WITH_NAMES, denyNetworks: [DENIED, FAR] });
    expect(opens(FAR)).toEqual([false]);
    await driver.setup(POLICY_WITH_NAMES);
    expect(opens(FAR)).toEqual([true]);
  });

  it('opens private addresses only for a rule that names their network', async () => {
    await allowOnly(rule('inner.test'));
    expect(await ask(a, ['inner.test'])).toEqual([[0, [], 0]]);
    expect(opens(PRIVATE)).toEqual([false]);
    await allowOnly(
      rule('inner.test', { network: { first: '10.99.0.0', last: '10.99.0.255' } }),
      rule('good.test'),
    );
    expect(await ask(a, ['inner.test'])).toEqual([[0, [PRIVATE], 60]]);
    expect(opens(PRIVATE, FAR)).toEqual([true, false]);
  });

  it('lets no addresses out of the network of its rule', async () => {
    await allowOnly(rule('good.test', { network: { first: '10.99.0.0', last: '10.99.0.255' } }));
    expect(await ask(a, ['good.test'])).toEqual([[0, [], 0]]);
    expect(opens(FAR)).toEqual([false]);
  });
});

describe('a container', () => {
  it('without rules about names reaches no resolver; with them, it asks nobody else', async () => {
    expect(await ask(b, ['good.test'], { carrier: '0.5' })).toEqual([null]);
    expect(await ask(b, ['good.test'], { server: B.hostIp, carrier: '0.5' })).toEqual([null]);
    await driver.allowEgress(B, {}, rule('good.test'));
    expect(await ask(b, ['good.test', 'bad.test'])).toEqual([
      [0, [FAR], 60],
      [3, [], 0],
    ]);
    expect(names.count('bad.test')).toBe(0);
    await driver.restore(B, {}, { mappings: [], egress: [] });
    expect(await ask(b, ['good.test'], { carrier: '0.5' })).toEqual([null]);
    expect(probe(b, [tcp(FAR)])).toEqual([false]);
  });

  it('is the only one who reaches the resolver, which listens at every address: nobody does from outside', async () => {
    await allowOnly(rule('good.test'));
    const [, port] = /map resolvers \{[^}]*: \S+ \. (\d+)/.exec(table()) ?? [];
    expect(Number(port)).toBeGreaterThan(0);
    for (const [allowHostAccess, address] of [
      [false, HOST],
      [true, A.hostIp],
    ] as const) {
      await driver.setup({ ...POLICY_WITH_NAMES, allowHostAccess });
      expect(probe(net.outside, [tcp(address, Number(port))])).toEqual([false]);
      expect(await ask(a, ['good.test'])).toEqual([[0, [FAR], 60]]);
    }
    await driver.setup(POLICY_WITH_NAMES);
  });

  it('cannot flood the resolver, and keeps no other from it', async () => {
    await driver.allowEgress(B, {}, rule('good.test'));
    await allowOnly(rule('silent.test'));
    const before = unresolved;
    const started = performance.now();
    const flooding = Promise.all([flood(a, 'silent.test', 2_000), flood(a, 'bad.test', 2_000)]);
    expect(await ask(b, ['good.test'])).toEqual([[0, [FAR], 60]]);
    await flooding;
    await delay(600);
    const seconds = (performance.now() - started) / 1_000;
    // those who asked for the same while it was being asked for were one question, of four tries at most
    expect(names.count('silent.test')).toBeLessThanOrEqual(4 * Math.ceil(1 + seconds / 6));
    const seen = denials.reduce((sum, { name, count }) => sum + (name === 'bad.test' ? count : 0), 0);
    expect(seen).toBeGreaterThan(0);
    expect(seen).toBeLessThanOrEqual(300 + 100 * Math.ceil(seconds));
    // more than may wait at a time, and each of them failed; a line of an earlier test may have been the last for now
    expect(unresolved - before).toBeLessThanOrEqual(1 + Math.floor(seconds / 5));
    // what waits for the silent one counts against the container until it has its answer
    await names.change({ ...ZONE, 'silent.test': { addresses: [FAR] } });
    await expect.poll(() => ask(a, ['silent.test']), SOON).toEqual([[0, [FAR], 60]]);
    await driver.restore(B, {}, { mappings: [], egress: [] });
  });

  it.each(['read', 'unread', 'segments'] as const)(
    'has no more questions answered when its packets carry many of them (%s)',
    async (carrier) => {
      await allowOnly(rule('good.test'));
      await driver.allowEgress(B, {}, rule('good.test'));
      const started = performance.now();
      const flooding = floodPacked(a, 'bad.test', carrier, 2);
      expect(await ask(b, ['good.test'])).toEqual([[0, [FAR], 60]]);
      await flooding;
      await delay(600);
      const seconds = (performance.now() - started) / 1_000;
      const seen = denials.reduce((sum, { name, count }) => sum + (name === 'bad.test' ? count : 0), 0);
      expect(seen).toBeGreaterThan(100);
      expect(seen).toBeLessThanOrEqual(300 + 100 * Math.ceil(seconds));
      await driver.restore(B, {}, { mappings: [], egress: [] });
    },
  );

  it('keeps no other from it by what it asks while the daemon is at something else', async () => {
    await driver.allowEgress(B, {}, rule('good.test'));
    await allowOnly(rule('good.test'));
    await ask(b, ['good.test']); // the neighbours know each other
    const asked = ask(b, ['good.test'], { carrier: '20', after: 1 });
    floodAtOnce(a, 'bad.test', 2_000); // nothing else is done here meanwhile
    const until = performance.now() + 3_000;
    while (performance.now() < until);
    expect(await asked).toEqual([[0, [FAR], 60]]);
    await driver.restore(B, {}, { mappings: [], egress: [] });
  }, 40_000);

  it('is answered although the last one that could ask loses its names at the same time', async () => {
    const nothing = { mappings: [], egress: [] };
    await allowOnly(rule('good.test'));
    await Promise.all([
      driver.restore(A, {}, nothing),
      driver.restore(B, {}, { mappings: [], egress: [rule('good.test')] }),
    ]);
    expect(await ask(b, ['good.test'])).toEqual([[0, [FAR], 60]]);
    await driver.restore(B, {}, nothing);
  });

  it('leaves nothing of its names behind', async () => {
    await driver.setup(POLICY_WITH_NAMES);
    const bare = table();
    await allowOnly(rule('good.test'));
    await ask(a, ['good.test']);
    expect(table()).toContain(FAR);
    await allowOnly();
    expect(table()).toBe(bare);
  });
});

describe('time', () => {
  it('closes what a name led to once its time is over', async () => {
    await driver.close();
    driver = makeNamed({ least: 1, most: 1, grace: 2 });
    await driver.setup(POLICY_WITH_NAMES);
    await allowOnly(rule('short.test'));
    await ask(a, ['short.test']);
    expect(opens(FAR)).toEqual([true]);
    await names.change({ ...ZONE, 'short.test': { addresses: [OUTSIDE], ttl: 1 } });
    expect(await ask(a, ['short.test'])).toEqual([[0, [OUTSIDE], 1]]);
    await expect.poll(() => opens(FAR), { timeout: 30_000, interval: 1_000 }).toEqual([false]);
  }, 40_000);

  it('goes on while no daemon is there, and the next one answers again', async () => {
    await driver.close();
    driver = makeNamed();
    await driver.setup(POLICY_WITH_NAMES);
    const egress = [rule('good.test')];
    await driver.restore(A, {}, { mappings: [], egress });
    await ask(a, ['good.test']);
    const before = driver;
    expect(opens(FAR)).toEqual([true]);
    await before.close();
    expect(opens(FAR)).toEqual([true]);
    expect(await ask(a, ['good.test'], { carrier: '0.3' })).toEqual([null]);
    driver = makeNamed();
    await driver.setup(POLICY_WITH_NAMES);
    expect(opens(FAR)).toEqual([true]);
    await driver.restore(A, {}, { mappings: [], egress });
    expect(await driver.sweep(new Set([A.id, B.id]))).toEqual([]);
    expect(opens(FAR, OUTSIDE)).toEqual([true, false]);
    expect(await ask(a, ['good.test'])).toEqual([[0, [FAR], 60]]);
  });
});

describe('a name server that finds no port', () => {
  const RANGE = '/proc/sys/net/ipv4/ip_local_port_range';
  const ONLY = 40_000;

  it('is tried again, for all whose rules were put in force meanwhile', async () => {
    const range = fs.readFileSync(RANGE, 'utf8');
    const holder = dgram.createSocket('udp4').bind(ONLY);
    await once(holder, 'listening');
    await driver.close();
    fs.writeFileSync(RANGE, `${ONLY} ${ONLY}\n`);
    try {
      driver = makeNamed();
      await driver.setup(POLICY_WITH_NAMES);
      await allowOnly(rule('good.test'));
      await driver.restore(B, {}, { mappings: [], egress: [rule('good.test')] });
      expect(await ask(a, ['good.test'], { carrier: '0.5' })).toEqual([null]);
    } finally {
      fs.writeFileSync(RANGE, range);
      holder.close();
    }
    for (const one of [a, b])
      await expect.poll(() => ask(one, ['good.test'], { carrier: '0.5' }), SOON).toEqual([[0, [FAR], 60]]);
    expect(opens(FAR, OUTSIDE)).toEqual([true, false]);
    // and nobody else
    await driver.restore(B, {}, { mappings: [], egress: [] });
    expect(await ask(b, ['good.test'], { carrier: '0.5' })).toEqual([null]);
  }, 60_000);
});

describe('denials', () => {
  it('are told: packets with address, protocol and port, and names', async () => {
    await allowOnly(rule('good.test'));
    // told in their order: behind this one nothing comes of what the tests before have asked
    probe(b, [{ protocol: 'udp', address: FAR, port: 98 }]);
    await expect.poll(() => denials.some(({ port }) => port === 98), SOON).toBe(true);
    denials = [];
    expect(opens(OUTSIDE, OUTSIDE)).toEqual([false, false]);
    // the kernel sends datagrams once only: they can be counted
    probe(a, [
      { protocol: 'udp', address: FAR, port: 99 },
      { protocol: 'udp', address: FAR, port: 99 },
      { protocol: 'icmp', address: FAR, type: 8, code: 0 },
      tcp(HOST, 22),
    ]);
    const has = (wanted: Readonly<Record<string, unknown>>): boolean =>
      denials.some((one) =>
        Object.entries(wanted).every(([key, value]) => one[key as keyof NetworkDenial] === value),
      );
    for (const wanted of [
      { id: A.id, destination: OUTSIDE, protocol: 'tcp', port: PORT },
      { id: A.id, destination: FAR, protocol: 'udp', port: 99 },
      { id: A.id, destination: FAR, protocol: 'icmp', port: undefined },
      { id: A.id, destination: HOST, protocol: 'tcp', port: 22 },
    ] as const)
      await expect.poll(() => has(wanted), { ...SOON, message: JSON.stringify(wanted) }).toBe(true);
    // what the tests before have asked may still count against what a container may ask
    for (const wanted of [
      { id: A.id, name: 'bad.test', protocol: 'dns', destination: undefined },
      { id: A.id, name: 'evil.example', protocol: 'dns' },
    ] as const) {
      const isTold = async (): Promise<boolean> => {
        await ask(a, [wanted.name]);
        return has(wanted);
      };
      await expect.poll(isTold, { ...SOON, message: JSON.stringify(wanted) }).toBe(true);
    }
    const datagrams = denials.filter(({ protocol, port }) => protocol === 'udp' && port === 99);
    expect(datagrams.reduce((sum, { count }) => sum + count, 0)).toBe(2);
    expect(denials.filter(({ id }) => id !== A.id)).toEqual([]);
  });
});
