import type { NetworkDriver } from '@warden/interface';
import { silentLogger } from '@warden/interface';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nftablesNetwork } from '../src/index.ts';
import type { TestNamespace } from './test-namespace.ts';
import type { Topology } from './test-topology.ts';
import {
  FAR,
  HOST,
  makeContainer,
  makeDriver,
  makeTopology,
  OUTSIDE,
  POLICY,
  specOf,
} from './test-topology.ts';

/** One that waits in connect(2) itself, as most programs do; those with a time-out of their own are told earlier. */
const WAITING_CLIENT = `
import socket, sys
try: socket.socket().connect((sys.argv[1], int(sys.argv[2])))
except OSError as error: print(error.errno)
`;
const SOON = { timeout: 20_000 };
const A = specOf(0);
const B = specOf(1);
let net: Topology;
let driver: NetworkDriver;
let a: TestNamespace;
let b: TestNamespace;

beforeAll(async () => {
  net = await makeTopology();
  driver = makeDriver();
  await driver.setup(POLICY);
  a = await makeContainer(driver, A);
  b = await makeContainer(driver, B);
  await Promise.all([
    net.outside.serve(80),
    net.outside.serve(81),
    net.host.serve(9000),
    a.serve(80),
    b.serve(80),
  ]);
}, 30_000);

afterAll(async () => {
  await driver.release(A, {});
  await driver.release(B, {});
  await driver.close();
  await Promise.all([a.close(), b.close()]);
  await net.close();
});

describe('default', () => {
  it('refuses egress, other containers and every address of the host', async () => {
    expect(await a.connect(OUTSIDE, 80)).toBe('refused');
    expect(await a.connect(FAR, 80)).toBe('refused');
    expect(await a.connect(B.containerIp, 80)).toBe('refused');
    expect(await a.connect(A.hostIp, 9000)).toBe('refused');
    expect(await a.connect(B.hostIp, 9000)).toBe('refused');
    expect(await a.connect(HOST, 9000)).toBe('refused');
    expect(await a.ping(OUTSIDE)).toBe(false);
  });

  it('refuses a TCP connection at once, not when the kernel inside asks a second time', () => {
    const asked = (): number => {
      const [names, counts] = a
        .run('cat', '/proc/net/netstat')
        .split('\n')
        .filter((line) => line.startsWith('TcpExt:'))
        .map((line) => line.split(' '));
      return Number(counts![names!.indexOf('TCPSynRetrans')]);
    };
    const before = asked();
    for (const [address, port] of [
      [OUTSIDE, 80],
      [FAR, 80],
      [B.containerIp, 80],
      [A.hostIp, 9000],
      [HOST, 9000],
    ] as const)
      expect(a.run('python3', '-c', WAITING_CLIENT, address, String(port)).trim(), address).toBe('111');
    expect(asked()).toBe(before);
  });

  it('lets the host in, and nobody else', async () => {
    expect(await net.host.connect(A.containerIp, 80)).toBe(`from ${A.hostIp}`);
    expect(await net.host.ping(A.containerIp)).toBe(true);
    expect(await net.outside.connect(A.containerIp, 80)).toBe('no answer');
  });

  it('drops what carries a foreign source', async () => {
    await driver.setup({ ...POLICY, allowNetworks: [FAR] });
    a.run('ip', 'address', 'add', '203.0.113.99/32', 'dev', 'lo');
    expect(await datagrams(() => a.send(FAR, 7000, { source: A.containerIp }))).toBe(1);
    expect(await datagrams(() => a.send(FAR, 7000, { source: '203.0.113.99' }))).toBe(0);
    // The guard did it, nothing else.
    net.host.run('nft', 'flush', 'chain', 'inet', 'warden-test', 'guard');
    expect(await datagrams(() => a.send(FAR, 7000, { source: '203.0.113.99' }))).toBe(1);
    await driver.setup(POLICY);
  });

  it('keeps the loopback of the host closed, even where a published port opens its routing', async () => {
    await driver.mapPort(A, {}, { hostPort: 8099, containerPort: 80 });
    await driver.setup({ ...POLICY, allowHostAccess: true });
    // What an attacker in the container would set: 127.0.0.2 leads to the gateway instead of lo.
    const { interface: name } = driver.inside(A, {});
    a.run('sh', '-c', `echo 1 >/proc/sys/net/ipv4/conf/${name}/route_localnet`);
    a.run(
      'ip',
      'route',
      'add',
      'table',
      '77',
      '127.0.0.2',
      'via',
      A.hostIp,
      'dev',
      name,
      'src',
      A.containerIp,
    );
    a.run('ip', 'rule', 'add', 'to', '127.0.0.2', 'lookup', '77', 'priority', '1');
    a.run('ip', 'rule', 'add', 'lookup', 'local', 'priority', '2');
    a.run('ip', 'rule', 'delete', 'lookup', 'local', 'priority', '0');
    expect(await a.connect('127.0.0.2', 9000)).toBe('no answer');
    net.host.run('nft', 'flush', 'chain', 'inet', 'warden-test', 'guard');
    expect(await a.connect('127.0.0.2', 9000)).toBe(`from ${A.containerIp}`);
    await driver.setup(POLICY);
  });
});

/** How many datagrams reach port 7000 of the outside. */
async function datagrams(send: () => void): Promise<number> {
  const received = net.outside.receive(7000);
  await received.ready;
  send();
  net.host.send(OUTSIDE, 7000, { text: 'end' });
  return received.count;
}

describe('allowEgress', () => {
  it('opens exactly what the rule says, behind the address of the host', async () => {
    await driver.allowEgress(
      A,
      {},
      {
        protocol: 'tcp',
        network: { first: OUTSIDE, last: OUTSIDE },
        ports: { first: 80, last: 80 },
        log: false,
      },
    );
    expect(await a.connect(OUTSIDE, 80)).toBe(`from ${HOST}`);
    expect(await a.connect(OUTSIDE, 81)).toBe('refused');
    expect(await a.connect(FAR, 80)).toBe('refused');
    expect(await b.connect(OUTSIDE, 80)).toBe('refused');
  });

  it('matches ranges of addresses and ports, and logs on request', async () => {
    await driver.allowEgress(
      A,
      {},
      {
        protocol: 'tcp',
        network: { first: '198.51.100.0', last: FAR },
        ports: { first: 79, last: 81 },
        log: true,
      },
    );
    expect(await a.connect(FAR, 81)).toBe(`from ${HOST}`);
    const chain = net.host.run('nft', 'list', 'chain', 'inet', 'warden-test', `i-${A.id}`);
    expect(chain).toContain(`log prefix "warden-i-${A.id} "`);
    // Newest first, and the log line in front of its acceptance.
    const lines = chain.split('\n').map((line) => line.trim().replace(/ counter packets 1 bytes \d+/, ''));
    expect(lines.slice(2, -3)).toEqual([
      `ip daddr 198.51.100.0-198.51.100.1 tcp dport 79-81 ct state invalid,new,untracked log prefix "warden-i-${A.id} "`,
      'ip daddr 198.51.100.0-198.51.100.1 tcp dport 79-81 accept',
      'ip daddr 203.0.113.2 tcp dport 80 accept',
      'goto default',
    ]);
    const shared = net.host.run('nft', 'list', 'chain', 'inet', 'warden-test', 'default');
    const refused = shared.split('\n').map((line) => line.trim());
    expect(refused.slice(2, -3)).toEqual([
      'jump open',
      expect.stringMatching(
        /^update @told \{ ip saddr timeout 5s limit rate 10\/second burst 40 packets \} log group \d+ snaplen 64$/,
      ),
      'ip daddr @deny_networks drop',
      'tcp flags syn / fin,syn,rst,ack reject with tcp reset',
      'reject',
    ]);
  });

  it('knows ICMP types and codes', async () => {
    expect(await b.ping(OUTSIDE)).toBe(false);
    await driver.allowEgress(B, {}, { protocol: 'icmp', icmpType: 8, icmpCode: 1, log: false });
    expect(await b.ping(OUTSIDE)).toBe(false);
    await driver.allowEgress(B, {}, { protocol: 'icmp', icmpType: 8, icmpCode: 0, log: false });
    expect(await b.ping(OUTSIDE)).toBe(true);
  });

  it('opens another container when asked to', async () => {
    await driver.allowEgress(
      B,
      {},
      { protocol: 'all', network: { first: A.containerIp, last: A.containerIp }, log: false },
    );
    expect(await b.connect(A.containerIp, 80)).toBe(`from ${B.containerIp}`);
    expect(await a.connect(B.containerIp, 80)).toBe('refused');
  });
});

describe('mapPort', () => {
  it('publishes at the outward address and at loopback, for the host and for the outside', async () => {
    expect(await net.outside.connect(HOST, 8080)).toBe('refused');
    await driver.mapPort(A, {}, { hostPort: 8080, containerPort: 80 });
    expect(await net.outside.connect(HOST, 8080)).toBe(`from ${OUTSIDE}`);
    expect(await net.host.connect(HOST, 8080)).toBe(`from ${HOST}`);
    expect(await net.host.connect('127.0.0.1', 8080)).toBe(`from ${A.hostIp}`);
  });

  it('leaves the same port of other addresses alone', async () => {
    expect(await net.host.connect(OUTSIDE, 8080)).toBe('refused');
    expect(await net.host.connect(B.hostIp, 8080)).toBe('refused');
  });

  it('needs an egress rule when another container uses it', async () => {
    await driver.mapPort(B, {}, { hostPort: 8081, containerPort: 80 });
    expect(await a.connect(HOST, 8081)).toBe('refused');
    expect(await b.connect(HOST, 8080)).toBe(`from ${B.containerIp}`);
  });

  it('is idempotent, and names the owner of a taken port', async () => {
    await driver.mapPort(A, {}, { hostPort: 8080, containerPort: 80 });
    await expect(driver.mapPort(B, {}, { hostPort: 8080, containerPort: 80 })).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
      fields: { owner: A.id },
    });
  });

  it('follows the outward address', async () => {
    net.host.run('ip', 'address', 'add', '203.0.113.50/24', 'dev', 'wt-up');
    net.host.run('ip', 'route', 'replace', 'default', 'via', OUTSIDE, 'src', '203.0.113.50');
    await driver.mapPort(A, {}, { hostPort: 8082, containerPort: 80 });
    expect(await net.outside.connect('203.0.113.50', 8080)).toBe(`from ${OUTSIDE}`);
    net.host.run('ip', 'route', 'replace', 'default', 'via', OUTSIDE, 'src', HOST);
  });

  it('follows it also while nothing is published, and when there was none', async () => {
    const lives = makeDriver();
    lives.watchRules!(() => {});
    const route = (...words: string[]): string => net.host.run('ip', 'route', ...words);
    try {
      route('del', 'default');
      await lives.setup(POLICY);
      expect(await net.outside.connect(HOST, 8080)).toBe('refused');
      net.host.run('ip', 'address', 'add', '203.0.113.51/24', 'dev', 'wt-up');
      for (const address of ['203.0.113.51', HOST]) {
        route('replace', 'default', 'via', OUTSIDE, 'src', address);
        await expect.poll(() => net.outside.connect(address, 8080), SOON).toBe(`from ${OUTSIDE}`);
      }
      expect(await net.outside.connect('203.0.113.51', 8080)).toBe('refused');
    } finally {
      route('replace', 'default', 'via', OUTSIDE, 'src', HOST);
      await lives.close();
    }
  });
});

describe('setup while containers live', () => {
  it('keeps rules and ports, and takes over a changed policy', async () => {
    await driver.setup({ ...POLICY, allowNetworks: [`${FAR}/32`, '198.51.100.0/24', '192.0.2.1-192.0.2.9'] });
    expect(await b.connect(FAR, 80)).toBe(`from ${HOST}`);
    expect(await a.connect(OUTSIDE, 80)).toBe(`from ${HOST}`);
    expect(await net.outside.connect(HOST, 8080)).toBe(`from ${OUTSIDE}`);
    await driver.setup({ ...POLICY, denyNetworks: [FAR], allowHostAccess: true });
    expect(await b.connect(FAR, 80)).toBe('no answer');
    expect(await b.connect(HOST, 9000)).toMatch(/^from/);
    await driver.setup(POLICY);
    expect(await b.connect(HOST, 9000)).toBe('refused');
  });

  it('lets routed traffic in when told to, as the original daemon did', async () => {
    const routed = nftablesNetwork({ table: 'warden-test', inbound: 'routed' })({ logger: silentLogger });
    await routed.setup(POLICY);
    expect(await net.outside.connect(A.containerIp, 80)).toBe(`from ${OUTSIDE}`);
    await routed.close();
    await driver.setup(POLICY);
    expect(await net.outside.connect(A.containerIp, 80)).toBe('no answer');
  });

  it('refuses all where the chain of a container has no rules, as for a moment when it gets the first', async () => {
    await driver.allowEgress(A, {}, { protocol: 'all', log: false });
    expect(await a.connect(OUTSIDE, 80)).toBe(`from ${HOST}`);
    net.host.run('nft', 'flush', 'chain', 'inet', 'warden-test', `i-${A.id}`);
    expect(await a.connect(OUTSIDE, 80)).toBe('refused');
    expect(await a.connect(HOST, 9000)).toBe('refused');
    await driver.setup(POLICY);
    expect(await a.connect(OUTSIDE, 80)).toBe('refused');
  });

  it('restores exactly what is recorded', async () => {
    const next = makeDriver();
    await next.setup(POLICY);
    const rule = { protocol: 'tcp', network: { first: FAR, last: FAR }, log: false } as const;
    await next.restore(A, {}, { mappings: [{ hostPort: 8090, containerPort: 80 }], egress: [rule] });
    expect(await a.connect(FAR, 80)).toBe(`from ${HOST}`);
    expect(await a.connect(OUTSIDE, 80)).toBe('refused');
    expect(await net.outside.connect(HOST, 8090)).toBe(`from ${OUTSIDE}`);
    expect(await net.outside.connect(HOST, 8080)).toBe('refused');
    await expect(next.restore(specOf(9), {}, { mappings: [], egress: [] })).rejects.toMatchObject({
      code: 'NATIVE_FAILED',
      fields: { errno: 'ENODEV' },
    });
    await next.close();
    await driver.close();
    driver = makeDriver();
  });
});
