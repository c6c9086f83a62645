/** Containers and each other, the network around the host, and what is left of the earlier owner of an address. */
import type { EgressRule, NetworkDriver, NetworkSpec } from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { count, forge } from './forger.ts';
import type { TestNamespace } from './test-namespace.ts';
import type { Topology } from './test-topology.ts';
import { HOST, makeContainer, makeDriver, makeTopology, OUTSIDE, POLICY, specOf } from './test-topology.ts';

const A = specOf(0);
const B = specOf(1);
const rule = (over: Partial<EgressRule>): EgressRule => ({ protocol: 'tcp', log: false, ...over });
const EVERYWHERE = { first: '0.0.0.0', last: '255.255.255.255' };

let net: Topology;
let driver: NetworkDriver;
const open: TestNamespace[] = [];
const attached: NetworkSpec[] = [];

beforeEach(async () => {
  net = await makeTopology();
  driver = makeDriver();
  await driver.setup(POLICY);
}, 240_000);
afterEach(async () => {
  for (const spec of attached.splice(0)) await driver.release(spec, {});
  await driver.close();
  await Promise.all(open.splice(0).map((one) => one.close()));
  await net.close();
});

async function container(spec: NetworkSpec): Promise<TestNamespace> {
  attached.push(spec);
  const made = await makeContainer(driver, spec);
  open.push(made);
  return made;
}

describe('another container', () => {
  it('is closed to rules and networks that merely cover it, and open to those about it [SECURITY N08]', async () => {
    const a = await container(A);
    const b = await container(B);
    await b.serve(80);
    for (const over of [
      { ports: { first: 1, last: 65_535 } },
      { protocol: 'all', network: EVERYWHERE } as const,
      { protocol: 'all', network: { first: '10.0.0.0', last: '10.255.255.255' } } as const,
    ]) {
      await driver.restore(A, {}, { mappings: [], egress: [rule(over)] });
      expect(await Promise.all([B.containerIp, B.hostIp].map((address) => a.connect(address, 80)))).toEqual([
        'refused',
        'refused',
      ]);
      expect(await a.ping(B.containerIp)).toBe(false);
    }
    await driver.restore(A, {}, { mappings: [], egress: [] });
    for (const allowNetworks of [['0.0.0.0/0'], ['10.0.0.0/8'], ['10.254.0.0/21']]) {
      await driver.setup({ ...POLICY, allowNetworks });
      expect(await a.connect(B.containerIp, 80)).toBe('refused');
    }
    await driver.setup({ ...POLICY, allowNetworks: ['0.0.0.0/0', '10.254.0.0/22'] });
    expect(await a.connect(B.containerIp, 80)).toBe(`from ${A.containerIp}`);
    await driver.setup(POLICY);
    expect(await a.connect(B.containerIp, 80)).toBe('refused');
    const pool = { first: '10.254.0.0', last: '10.254.3.255' };
    await driver.restore(A, {}, { mappings: [], egress: [rule({ network: pool })] });
    expect(await a.connect(B.containerIp, 80)).toBe(`from ${A.containerIp}`);
  }, 240_000);

  it('is reached at its published ports by whoever may go everywhere, and at no other', async () => {
    const a = await container(A);
    const b = await container(B);
    await Promise.all([b.serve(80), b.serve(81)]);
    await driver.mapPort(B, {}, { hostPort: 8080, containerPort: 80 });
    expect(await a.connect(HOST, 8080)).toBe('refused');
    await driver.allowEgress(A, {}, rule({ network: EVERYWHERE }));
    expect(await a.connect(HOST, 8080)).toBe(`from ${A.containerIp}`);
    expect(await a.connect(B.containerIp, 80)).toBe('refused');
    expect(await a.connect(B.containerIp, 81)).toBe('refused');
    expect(await a.connect(HOST, 8081)).toBe('refused');
    expect(await a.connect(B.hostIp, 8080)).toBe('refused');
    expect(await a.connect('127.0.0.1', 8080)).toBe('refused');
    // The same by configuration instead of a rule.
    await driver.restore(A, {}, { mappings: [], egress: [] });
    await driver.setup({ ...POLICY, allowNetworks: ['0.0.0.0/0'] });
    expect(await a.connect(HOST, 8080)).toBe(`from ${A.containerIp}`);
    expect(await a.connect(B.containerIp, 80)).toBe('refused');
    await driver.setup({ ...POLICY, allowNetworks: ['198.51.100.0/24', '203.0.113.0/24'] });
    expect(await a.connect(HOST, 8080)).toBe('refused');
  }, 240_000);
});

describe('a port of its own', () => {
  it('is open to the container itself as far as its rules go', async () => {
    const a = await container(A);
    await a.serve(80);
    await driver.mapPort(A, {}, { hostPort: 8080, containerPort: 80 });
    expect(await a.connect(HOST, 8080)).toBe('refused');
    await driver.allowEgress(A, {}, rule({ network: EVERYWHERE }));
    expect(await a.connect(HOST, 8080)).toBe(`from ${A.hostIp}`);
    await driver.restore(
      A,
      {},
      {
        mappings: [{ hostPort: 8080, containerPort: 80 }],
        egress: [
          rule({ network: { first: A.containerIp, last: A.containerIp }, ports: { first: 80, last: 80 } }),
        ],
      },
    );
    expect(await a.connect(HOST, 8080)).toBe(`from ${A.hostIp}`);
    expect(await a.connect(OUTSIDE, 80)).toBe('refused');
  });
});

describe('a neighbour of the host', () => {
  it('gets no packet of any kind to a container but to published ports [SECURITY N07]', async () => {
    const a = await container(A);
    await Promise.all([a.serve(80), a.serve(81)]);
    await driver.mapPort(A, {}, { hostPort: 8080, containerPort: 80 });
    await driver.allowEgress(A, {}, rule({ protocol: 'udp', network: { first: OUTSIDE, last: OUTSIDE } }));
    // A flow of the container's own to that neighbour is no way in.
    a.send(OUTSIDE, 7200);
    for (const link of ['all', 'wt-up', `w-${A.id}-0`])
      net.host.run(
        'sh',
        '-c',
        `echo 1 >/proc/sys/net/ipv4/conf/${link}/accept_source_route; echo 0 >/proc/sys/net/ipv4/conf/${link}/rp_filter`,
      );
    const inside = count(a, 'meta nfproto ipv4');
    const mac = /link\/ether (\S+)/.exec(net.host.run('ip', 'link', 'show', 'wt-up'))![1]!;
    forge(
      net.outside,
      { link: 'wt-out', to: mac },
      `
target, host = '${A.containerIp}', '${HOST}'
for source in ('${OUTSIDE}', '198.51.100.1', '8.8.8.8', '${B.containerIp}', '${A.hostIp}', '${B.hostIp}', '127.0.0.1', host, target):
    for port in (22, 80, 81, 8080): send(ip(source, target, 6, tcp(source, target, 4000, port, 2)))
    for flags in range(64): send(ip(source, target, 6, tcp(source, target, 4000, 80, flags, seq=9, ack=9)))
    for sport, dport in ((4000, 80), (7200, 80), (53, 1024), (7201, 7200)): send(ip(source, target, 17, udp(source, target, sport, dport)))
    for kind in range(32): send(ip(source, target, 1, icmp(kind, 0, b'\\0\\1\\0\\1', ip(target, source, 17, udp(target, source, 9, 9)))))
    for protocol in (4, 41, 47, 50, 132, 136): send(ip(source, target, protocol, ip(source, target, 17, udp(source, target, 1, 80))))
    # by way of the host, and to the broadcast addresses of the container's block
    send(ip(source, host, 17, udp(source, target, 4000, 80), bytes([131, 7, 4]) + address(target) + b'\\0'))
    for wide in ('10.254.0.3', '10.254.0.0'): send(ip(source, wide, 17, udp(source, wide, 4000, 80)))
`,
    );
    expect(inside.packets()).toBe(0);
    expect(await net.outside.connect(HOST, 8080)).toBe(`from ${OUTSIDE}`);
    expect(await net.outside.connect(HOST, 81)).toBe('refused');
    expect(await net.outside.connect(A.containerIp, 80)).toBe('no answer');
    expect(inside.packets()).toBeGreaterThan(0);
  }, 240_000);
});

describe("an address that is nobody's yet", () => {
  it('can be no way out of the container that gets it, and none in, for who has sent there before', async () => {
    const peer = await net.outside.start(
      'python3',
      '-u',
      '-c',
      `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 7300)); s.sendto(b'x', ('${B.containerIp}', 7301)); print('ready', flush=True)
while True:
    data, peer = s.recvfrom(64); print(data.decode(), peer[0], flush=True)
    if data == b'secret': s.sendto(b'order', peer)
`,
    );
    const b = await container(B);
    const inside = count(b, `ip saddr ${OUTSIDE}`);
    b.run(
      'python3',
      '-c',
      `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 7301))
try:
    for i in range(3): s.sendto(b'secret', ('${OUTSIDE}', 7300))
except OSError: pass
`,
    );
    net.host.send(OUTSIDE, 7300, { text: 'end' });
    await expect.poll(() => peer.output(), { timeout: 20_000 }).toContain('end');
    expect(peer.output()).not.toContain('secret');
    expect(inside.packets()).toBe(0);
    await peer.close();
  });
});

describe('what lives on of an earlier container', () => {
  /** Keeps a flow alive: writes a letter each time it is told to, and answers what came back. */
  const FLOW = `
import socket, sys
kind, own, target, port = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(('', own)); s.settimeout(3); s.connect((target, port))
s.send(b'x'); s.recv(9); print('ready', flush=True)
for line in sys.stdin:
    try: s.send(b'y'); print(s.recv(9).decode(), flush=True)
    except OSError as error: print('none', flush=True)
`;
  const ECHO = `
import socket, sys, threading
kind, port = sys.argv[1], int(sys.argv[2])
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(('', port)); print('ready', flush=True)
def serve(c):
    while True:
        data = c.recv(9)
        if not data: return
        c.send(data)
if kind == 'udp':
    while True:
        data, peer = s.recvfrom(9); s.sendto(data, peer)
s.listen(9)
while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
`;

  it.each(['udp', 'tcp'] as const)(
    'is no %s flow, in either direction',
    async (kind) => {
      const echo = await net.outside.start('python3', '-u', '-c', ECHO, kind, '7210');
      const first = await container(A);
      await driver.allowEgress(A, {}, rule({ protocol: kind, network: { first: OUTSIDE, last: OUTSIDE } }));
      const inner = await first.start('python3', '-u', '-c', ECHO, 'tcp', '80');
      await driver.mapPort(A, {}, { hostPort: 8080, containerPort: 80 });
      const flow = await first.start('python3', '-u', '-c', FLOW, kind, '4010', OUTSIDE, '7210');
      const inbound = await net.outside.start('python3', '-u', '-c', FLOW, 'tcp', '4011', HOST, '8080');
      await Promise.all([flow.close(), inner.close()]);
      await driver.release(A, {});
      await first.close();

      const heir = { ...A, id: specOf(7).id };
      const second = await container(heir);
      const outside = count(net.outside, `ip saddr ${HOST} ${kind} dport 7210`);
      const { interface: link, gatewayMac } = driver.inside(heir, {});
      // The new container goes on where the old one was: same addresses, same ports.
      forge(
        second,
        { link, to: gatewayMac },
        `
own, target = '${A.containerIp}', '${OUTSIDE}'
for flags in (0x18, 0x10, 0x11, 0x04, 0x12):
    send(ip(own, target, 6, tcp(own, target, 4010, 7210, flags, seq=99, ack=99)) if '${kind}' == 'tcp' else ip(own, target, 17, udp(own, target, 4010, 7210)))
`,
      );
      expect(outside.packets()).toBe(0);
      const inside = count(second, `ip saddr ${OUTSIDE}`);
      // The old peers go on as well: whoever was answered by the old container, and whoever used its published port.
      const mac = /link\/ether (\S+)/.exec(net.host.run('ip', 'link', 'show', 'wt-up'))![1]!;
      forge(
        net.outside,
        { link: 'wt-out', to: mac },
        `
own, host = '${OUTSIDE}', '${HOST}'
for flags in (0x18, 0x10): send(ip(own, host, 6, tcp(own, host, 4011, 8080, flags, seq=99, ack=99)))
send(ip(own, host, 17, udp(own, host, 7210, 4010))); send(ip(own, host, 6, tcp(own, host, 7210, 4010, 0x18, seq=99, ack=99)))
`,
      );
      expect(inside.packets()).toBe(0);
      await Promise.all([echo.close(), inbound.close()]);
    },
    60_000,
  );
});
