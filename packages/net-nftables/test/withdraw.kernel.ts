/** Rules and ports that are taken back: what of it ends at once, connections too, and what must not notice. */
import fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { EgressRule, NetworkDriver, NetworkRules, PortMapping } from '@warden/interface';
import { silentLogger } from '@warden/interface';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { forgetListed } from '../src/connection-tracking.ts';
import { nftablesNetwork } from '../src/index.ts';
import { parseAddress } from '../src/ipv4-address.ts';
import { NetlinkConnection } from '../src/netlink-connection.ts';
import { ask, serveNames, type TestNameServer } from './name-server.ts';
import { probe } from './prober.ts';
import type { TestNamespace } from './test-namespace.ts';
import type { Topology } from './test-topology.ts';
import { FAR, HOST, makeContainer, makeTopology, OUTSIDE, POLICY, specOf } from './test-topology.ts';

const A = specOf(0);
const SERVER = '192.0.2.53';
const SOON = { timeout: 30_000, interval: 50 };

/** Sends back what it gets, at TCP and UDP ports of addresses, for as long as the other end likes. */
const ECHO = `
import selectors, socket, sys
s = selectors.DefaultSelector()
def serve(kind, address, port):
    one = socket.socket(socket.AF_INET, kind); one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind((address, port)); one.setblocking(False)
    if kind == socket.SOCK_STREAM: one.listen(64)
    s.register(one, selectors.EVENT_READ, 'listener' if kind == socket.SOCK_STREAM else 'datagram')
for where in sys.argv[1:]:
    address, port = where.split(':')
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM): serve(kind, address, int(port))
print('ready', flush=True)
while True:
    for key, _ in s.select():
        try:
            if key.data == 'listener':
                c, _ = key.fileobj.accept(); c.setblocking(False); s.register(c, selectors.EVENT_READ, 'stream')
            elif key.data == 'datagram':
                data, peer = key.fileobj.recvfrom(2048); key.fileobj.sendto(data, peer)
            else:
                data = key.fileobj.recv(2048)
                if data: key.fileobj.send(data)
                else: s.unregister(key.fileobj); key.fileobj.close()
        except OSError: pass
`;
/**
 * Keeps one connection to each target, sends on all of them again and again, and prints how often each was
 * answered.
 */
const HOLD = `
import json, socket, sys, time
def make(target):
    kind, address, port = target.split(':')
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)
    s.settimeout(5); s.connect((address, int(port))); s.send(b'x'); s.recv(16); s.settimeout(0.1)
    return s
held = {t: make(t) for t in sys.argv[1:]}
count = dict.fromkeys(held, 0)
while True:
    for name, s in held.items():
        try:
            s.send(b'x')
            if s.recv(16): count[name] += 1
        except OSError: pass
    print(json.dumps({'at': time.time() * 1000, **count}), flush=True); time.sleep(0.02)
`;
/** Sends to each who connects, every few milliseconds and unasked, and says when one was lost. */
const SPEAK = `
import socket, threading, time
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(('0.0.0.0', 80)); s.listen(8); print('ready', flush=True)
def speak(c):
    try:
        while True: c.send(b't'); time.sleep(0.005)
    except OSError as e: print('lost', e, flush=True)
while True: threading.Thread(target=speak, args=(s.accept()[0],), daemon=True).start()
`;
/** Listens to it, says a word now and then, and prints after each how much it has heard. */
const LISTEN = `
import socket, sys, time
s = socket.socket(); s.settimeout(5); s.connect((sys.argv[1], int(sys.argv[2]))); heard = len(s.recv(64))
try:
    while True:
        print(heard, flush=True); time.sleep(0.1); s.send(b'x'); heard += len(s.recv(65536))
except OSError as e: print('lost', e, flush=True)
`;

/** Sends again and again from one port, and prints whether something came back. */
const TRY = `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.1); s.connect((sys.argv[1], int(sys.argv[2])))
while True:
    try: s.send(b'x'); s.recv(16); print('answer', flush=True)
    except OSError: print('nothing', flush=True)
`;

type Counts = Readonly<Record<string, number>>;

interface Held {
  /** Those of `targets` that are still answered. */
  living(): Promise<string[]>;
  close(): Promise<void>;
}

async function hold(from: TestNamespace, ...targets: readonly string[]): Promise<Held> {
  const program = await from.start('python3', '-u', '-c', HOLD, ...targets);
  const lines = (): Counts[] =>
    program
      .output()
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Counts);
  /** The fourth round from this moment on: what was sent before has been answered by then, or never will be. */
  const later = async (): Promise<Counts> => {
    const begin = Date.now();
    const rounds = (): Counts[] => lines().filter(({ at }) => at! > begin);
    await expect.poll(() => rounds().length, SOON).toBeGreaterThanOrEqual(4);
    return rounds()[3]!;
  };
  return {
    living: async () => {
      const before = await later();
      const after = await later();
      return targets.filter((one) => after[one]! > before[one]!);
    },
    close: () => program.close(),
  };
}

let net: Topology;
let driver: NetworkDriver;
let a: TestNamespace;
let names: TestNameServer;
let echo: { close(): Promise<void> };
const open: { close(): Promise<void> }[] = [];

const rule = (over: Partial<EgressRule>): EgressRule => ({ protocol: 'tcp', log: false, ...over });
const to = (address: string, port: number, protocol: 'tcp' | 'udp' | 'all' = 'tcp'): EgressRule =>
  rule({
    protocol,
    network: { first: address, last: address },
    ...(protocol !== 'all' && { ports: { first: port, last: port } }),
  });
const rules = (egress: readonly EgressRule[], mappings: readonly PortMapping[] = []): NetworkRules => ({
  egress,
  mappings,
});
const allow = (...egress: readonly EgressRule[]): Promise<void> => driver.restore(A, {}, rules(egress));
const withdraw = (withdrawn: NetworkRules, kept: NetworkRules): Promise<void> =>
  driver.withdraw!(A, {}, { withdrawn, kept });
const keep = async (held: Promise<Held>): Promise<Held> => {
  const one = await held;
  open.push(one);
  return one;
};

beforeAll(async () => {
  net = await makeTopology();
  net.outside.run('ip', 'address', 'add', `${SERVER}/32`, 'dev', 'wt-out');
  const places = [OUTSIDE, FAR].flatMap((address) => [7010, 7011].map((port) => `${address}:${port}`));
  echo = await net.outside.start('python3', '-c', ECHO, ...places);
  names = await serveNames(net.outside, SERVER, {
    'one.test': { addresses: [FAR] },
    'other.test': { addresses: [OUTSIDE] },
  });
  driver = nftablesNetwork({ table: 'warden-test' })({ logger: silentLogger });
  await setUp();
  a = await makeContainer(driver, A);
}, 60_000);
beforeEach(() => setUp());
afterEach(async () => {
  await Promise.all(open.splice(0).map((one) => one.close()));
});
afterAll(async () => {
  await driver.release(A, {});
  await driver.close();
  await Promise.all([echo.close(), names.close(), a.close()]);
  await net.close();
});

async function setUp(allowNetworks: readonly string[] = []): Promise<void> {
  await driver.setup({ ...POLICY, nameServers: [SERVER], allowNetworks });
}

describe('an egress rule that is taken back', () => {
  it('ends the connections that it had allowed, TCP and UDP, and no others', async () => {
    const [gone, left] = [
      [to(OUTSIDE, 7010), to(OUTSIDE, 7010, 'udp')],
      [to(OUTSIDE, 7011), to(FAR, 7010, 'udp')],
    ];
    await allow(...gone, ...left);
    const [ending, lasting] = [
      [`tcp:${OUTSIDE}:7010`, `udp:${OUTSIDE}:7010`],
      [`tcp:${OUTSIDE}:7011`, `udp:${FAR}:7010`],
    ];
    const held = await keep(hold(a, ...ending, ...lasting));
    expect(await held.living()).toEqual([...ending, ...lasting]);
    await withdraw(rules(gone), rules(left));
    expect(await held.living()).toEqual(lasting);
    expect(
      probe(a, [
        { protocol: 'tcp', address: OUTSIDE, port: 7010 },
        { protocol: 'tcp', address: OUTSIDE, port: 7011 },
      ]),
    ).toEqual([false, true]);
  });

  it('ends nothing that another rule or the configured networks allow as well', async () => {
    const narrow = to(OUTSIDE, 7010);
    const wide = to(OUTSIDE, 0, 'all');
    await allow(narrow, wide);
    const held = await keep(hold(a, `tcp:${OUTSIDE}:7010`));
    await withdraw(rules([narrow]), rules([wide]));
    expect(await held.living()).toEqual([`tcp:${OUTSIDE}:7010`]);
    await setUp([OUTSIDE]);
    await withdraw(rules([wide]), rules([]));
    expect(await held.living()).toEqual([`tcp:${OUTSIDE}:7010`]);
    await setUp();
    await withdraw(rules([wide]), rules([]));
    expect(await held.living()).toEqual([]);
  });

  it('about a name closes what the name had opened, and leaves what others have', async () => {
    const [one, other] = ['one.test', 'other.test'].map((domain) => rule({ domain, protocol: 'all' })) as [
      EgressRule,
      EgressRule,
    ];
    await allow(one, other);
    await ask(a, ['one.test', 'other.test']);
    const held = await keep(hold(a, `tcp:${FAR}:7010`, `tcp:${OUTSIDE}:7010`));
    await withdraw(rules([one]), rules([other]));
    expect(await held.living()).toEqual([`tcp:${OUTSIDE}:7010`]);
    const learned = net.host.run('nft', 'list', 'set', 'inet', 'warden-test', 'learned');
    expect([learned.includes(FAR), learned.includes(OUTSIDE)]).toEqual([false, true]);
    expect(await ask(a, ['one.test', 'other.test'])).toEqual([
      [3, [], 0],
      [0, [OUTSIDE], 60],
    ]);
    await withdraw(rules([other]), rules([]));
    expect(await held.living()).toEqual([]);
    expect(net.host.run('nft', 'list', 'set', 'inet', 'warden-test', 'learned')).not.toContain(OUTSIDE);
  });
});

describe('a port that is taken back', () => {
  it('leads nowhere, ends its connections, and leaves those of other ports and of the container itself', async () => {
    await allow(to(OUTSIDE, 7010));
    const [gone, left] = [
      { hostPort: 8080, containerPort: 80 },
      { hostPort: 8081, containerPort: 80 },
    ];
    open.push(await a.start('python3', '-c', ECHO, '0.0.0.0:80'));
    for (const mapping of [gone, left]) await driver.mapPort(A, {}, mapping);
    const inwards = await keep(hold(net.outside, `tcp:${HOST}:8080`, `tcp:${HOST}:8081`));
    const near = await keep(hold(net.host, 'tcp:127.0.0.1:8080', 'tcp:127.0.0.1:8081'));
    const outwards = await keep(hold(a, `tcp:${OUTSIDE}:7010`));
    await withdraw(rules([], [gone]), rules([to(OUTSIDE, 7010)], [left]));
    expect(await inwards.living()).toEqual([`tcp:${HOST}:8081`]);
    expect(await near.living()).toEqual(['tcp:127.0.0.1:8081']);
    expect(await outwards.living()).toEqual([`tcp:${OUTSIDE}:7010`]);
    expect(await net.outside.connect(HOST, 8080)).toBe('refused');
    await driver.mapPort(A, {}, gone);
    await withdraw(rules([], [gone, left]), rules([]));
    expect(await net.outside.connect(HOST, 8080)).toBe('refused');
  });
});

describe('a connection to a published port that the host has forgotten', () => {
  it('goes on when the outside is heard again: what the container sends before is dropped, and answered by no reset', async () => {
    open.push(await a.start('python3', '-u', '-c', SPEAK));
    await driver.mapPort(A, {}, { hostPort: 8080, containerPort: 80 });
    const listener = await net.outside.start('python3', '-u', '-c', LISTEN, HOST, '8080');
    open.push(listener);
    const heard = (): number => Number(listener.output().trim().split('\n').at(-1));
    const connections = NetlinkConnection.open();
    try {
      for (let round = 0; round < 5; round++) {
        const before = heard();
        // the container sends twenty times as often, and so first
        forgetListed(connections, () => true);
        await expect.poll(heard, SOON).toBeGreaterThan(before + 20);
      }
    } finally {
      connections.close();
      await withdraw(rules([], [{ hostPort: 8080, containerPort: 80 }]), rules([]));
    }
  });
});

describe('a sweep', () => {
  it('ends no connections of what is kept, although nobody has restored it', async () => {
    await allow(to(OUTSIDE, 7010));
    const quiet = `
import socket, time
s = socket.create_connection(('${OUTSIDE}', 7010)); print('ready', flush=True); time.sleep(60)
`;
    open.push(await a.start('python3', '-c', quiet));
    const connections = NetlinkConnection.open();
    const isKnown = (): boolean => {
      const addresses = new Set<number>();
      forgetListed(connections, (address) => addresses.add(address) === undefined);
      return addresses.has(parseAddress(A.containerIp));
    };
    const next = nftablesNetwork({ table: 'warden-test' })({ logger: silentLogger });
    try {
      await next.setup(POLICY);
      expect(isKnown()).toBe(true);
      expect(await next.sweep(new Set([A.id]))).toEqual([]);
      expect(isKnown()).toBe(true);
    } finally {
      connections.close();
      await next.close();
    }
  });
});

describe('a withdrawal', () => {
  it('is one transaction: whoever looks sees all of it or nothing', async () => {
    const mappings = Array.from({ length: 20 }, (_, n) => ({ hostPort: 9000 + n, containerPort: 80 }));
    const egress = Array.from({ length: 20 }, (_, n) => to(FAR, 7100 + n));
    await driver.restore(A, {}, { egress, mappings });
    const whole = count();
    expect(whole).toEqual([20, 20]);
    const watcher = await net.host.start(
      'sh',
      '-c',
      'echo ready; while :; do nft list table inet warden-test | grep -o -w -e "dport 71.." -e "90.. comment" | wc -l; done',
    );
    await expect.poll(() => watcher.output().split('\n').length, SOON).toBeGreaterThan(3);
    await withdraw({ egress, mappings }, rules([]));
    const seen = watcher.output().split('\n').length;
    await expect.poll(() => watcher.output().split('\n').length, SOON).toBeGreaterThan(seen + 2);
    await watcher.close();
    expect(count()).toEqual([0, 0]);
    const amounts = new Set(watcher.output().split('\n').slice(1, -1));
    expect(amounts).toEqual(new Set(['40', '0']));
  });

  it('that fails has changed nothing', async () => {
    const [egress, other] = [[to(OUTSIDE, 7010)], [to(FAR, 7011)]];
    await allow(...egress, ...other);
    const held = await keep(hold(a, `tcp:${OUTSIDE}:7010`));
    net.host.run('nft', 'rename', 'chain', 'inet', 'warden-test', 'default', 'elsewhere');
    await expect(withdraw(rules(egress), rules(other))).rejects.toMatchObject({ code: 'NATIVE_FAILED' });
    net.host.run('nft', 'rename', 'chain', 'inet', 'warden-test', 'elsewhere', 'default');
    expect(await held.living()).toEqual([`tcp:${OUTSIDE}:7010`]);
  });
});

/** Rules of egress to port 71xx, and published ports. */
function count(): [egress: number, ports: number] {
  const table = net.host.run('nft', 'list', 'table', 'inet', 'warden-test');
  return [table.match(/dport 71\d\d/g)?.length ?? 0, table.match(/90\d\d comment/g)?.length ?? 0];
}

describe('forwarding that another program switches off', () => {
  it('is switched on again', async () => {
    const FORWARDING = '/proc/sys/net/ipv4/ip_forward';
    driver.watchRules!(() => {});
    await setUp();
    for (let round = 0; round < 2; round++) {
      fs.writeFileSync(FORWARDING, '0\n');
      await expect.poll(() => fs.readFileSync(FORWARDING, 'utf8'), SOON).toBe('1\n');
    }
  });
});

describe('a table that another program takes away', () => {
  const losses = async (from: NetworkDriver): Promise<() => number> => {
    let told = 0;
    from.watchRules!(() => {
      told += 1;
    });
    await from.setup({ ...POLICY, nameServers: [SERVER] });
    return () => told;
  };
  const tcp = (address: string) => ({ protocol: 'tcp', address, port: 7010 }) as const;

  it('is missed within seconds, again and again; nothing is told while it is there, or of one that the driver changes', async () => {
    const told = await losses(driver);
    await driver.allowEgress(A, {}, to(OUTSIDE, 7010));
    await setUp();
    await delay(2_500);
    expect(told()).toBe(0);
    net.host.run('nft', 'flush', 'ruleset');
    await expect.poll(told, SOON).toBeGreaterThan(1);
    await setUp();
    const before = told();
    await delay(2_500);
    expect(told()).toBe(before);
    // and one of the same name in its place
    net.host.run('nft', 'delete table inet warden-test; add table inet warden-test');
    await expect.poll(told, SOON).toBeGreaterThan(before);
    await setUp();
  });

  it('is denied again with the set-up, and with its own rules has lost what it could begin meanwhile', async () => {
    const egress = [to(OUTSIDE, 7010), rule({ domain: 'one.test', protocol: 'tcp' })];
    await allow(...egress);
    await ask(a, ['one.test']);
    // others go on tracking and translating connections, as a container engine or a firewall does
    net.host.run(
      'nft',
      'table inet other { chain f { type filter hook forward priority 0; ct state established accept; }; chain n { type nat hook postrouting priority 100; }; }',
    );
    try {
      const [allowed, named, forbidden] = [
        `tcp:${OUTSIDE}:7010`,
        `tcp:${FAR}:7010`,
        `tcp:${OUTSIDE}:7011`,
      ] as const;
      const before = await keep(hold(a, allowed, named));
      net.host.run('nft', 'delete', 'table', 'inet', 'warden-test');
      const begun = await keep(hold(a, allowed, named, forbidden));
      expect(await begun.living()).toEqual([allowed, named, forbidden]);
      await setUp();
      expect(probe(a, [tcp(OUTSIDE), tcp(FAR)])).toEqual([false, false]);
      await allow(...egress);
      expect(await begun.living()).toEqual([allowed, named]);
      expect(await before.living()).toEqual([allowed, named]);
    } finally {
      net.host.run('nft', 'delete', 'table', 'inet', 'other');
    }
    expect(probe(a, [tcp(OUTSIDE), tcp(FAR), tcp(HOST)])).toEqual([true, true, false]);
  });

  it('lets nobody keep what led to the host, or from outside to a container, while it was away', async () => {
    const everything = rule({ protocol: 'all', network: { first: '0.0.0.0', last: '255.255.255.255' } });
    await allow(everything);
    const [own, inner] = [
      await net.host.start('python3', '-c', ECHO, `${HOST}:7012`, `${A.hostIp}:7012`),
      await a.start('python3', '-c', ECHO, '0.0.0.0:7013'),
    ];
    open.push(own, inner);
    net.host.run(
      'nft',
      'table inet other { chain f { type filter hook forward priority 0; ct state established accept; }; chain n { type nat hook postrouting priority 100; }; }',
    );
    try {
      net.host.run('nft', 'delete', 'table', 'inet', 'warden-test');
      const targets = ['tcp', 'udp'].flatMap((kind) =>
        [HOST, A.hostIp].map((address) => `${kind}:${address}:7012`),
      );
      const outwards = await keep(hold(a, ...targets));
      const inwards = await keep(hold(net.outside, `tcp:${A.containerIp}:7013`, `udp:${A.containerIp}:7013`));
      const hosts = `tcp:${A.containerIp}:7013`;
      const near = await keep(hold(net.host, hosts));
      expect((await outwards.living()).length + (await inwards.living()).length).toBe(6);
      await setUp();
      await allow(everything);
      expect(await outwards.living()).toEqual([]);
      expect(await inwards.living()).toEqual([]);
      expect(await near.living()).toEqual([hosts]);
    } finally {
      net.host.run('nft', 'delete', 'table', 'inet', 'other');
    }
  });

  it('keeps no flow under the address of the container that went out while it was away', async () => {
    await allow(to(OUTSIDE, 7010, 'udp'));
    net.host.run(
      'nft',
      'table inet other { chain f { type filter hook forward priority 0; ct state established accept; }; }',
    );
    net.outside.run('ip', 'route', 'delete', '10.254.0.0/22');
    try {
      net.host.run('nft', 'delete', 'table', 'inet', 'warden-test');
      const trying = await a.start('python3', '-u', '-c', TRY, OUTSIDE, '7010');
      open.push(trying);
      const lines = (): string[] => trying.output().split('\n').slice(0, -1);
      const before = lines().length;
      await expect.poll(() => lines().length, SOON).toBeGreaterThan(before + 3);
      expect(lines()).not.toContain('answer');
      await setUp();
      await allow(to(OUTSIDE, 7010, 'udp'));
      await expect.poll(lines, SOON).toContain('answer');
    } finally {
      net.outside.run('ip', 'route', 'add', '10.254.0.0/22', 'via', HOST);
      net.host.run('nft', 'delete', 'table', 'inet', 'other');
    }
  });

  it('is named by what fails meanwhile', async () => {
    await allow();
    net.host.run('nft', 'flush', 'ruleset');
    await expect(driver.allowEgress(A, {}, to(OUTSIDE, 7010))).rejects.toMatchObject({
      code: 'NATIVE_FAILED',
      message: expect.stringContaining('another program has removed the nftables table inet warden-test'),
      fields: { operation: 'allow-egress', object: A.id, errno: 'ENOENT' },
    });
    await setUp();
  });

  it('is back with the address of a container that has no rules of its own yet, and of one whose rules were lost before it had its link', async () => {
    const [early, late] = [specOf(1), specOf(2)];
    const made = await makeContainer(driver, early);
    await driver.begin!(late, {});
    net.host.run('nft', 'flush', 'ruleset');
    await setUp([OUTSIDE]);
    const other = await makeContainer(driver, late);
    try {
      expect(probe(made, [tcp(OUTSIDE), tcp(FAR)])).toEqual([true, false]);
      expect(probe(other, [tcp(OUTSIDE), tcp(FAR)])).toEqual([true, false]);
    } finally {
      await driver.release(early, {});
      await driver.release(late, {});
      await Promise.all([made.close(), other.close()]);
    }
  });

  it('is noticed by a driver that finds links without it, and by none that finds nothing', async () => {
    const logged: string[] = [];
    const logger = { ...silentLogger, error: (message: string) => logged.push(message), child: () => logger };
    const next = nftablesNetwork({ table: 'warden-test' })({ logger });
    await allow();
    await driver.close();
    net.host.run('nft', 'flush', 'ruleset');
    await next.setup(POLICY);
    expect(logged).toEqual(['rules-lost']);
    await next.setup(POLICY);
    await next.close();
    const fresh = nftablesNetwork({ table: 'warden-test' })({ logger });
    await fresh.setup(POLICY);
    await fresh.close();
    expect(logged).toEqual(['rules-lost']);
    await setUp();
  });
});
