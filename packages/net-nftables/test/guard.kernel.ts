/** What a container that may send any bytes (root with every capability) does not get past the guard. */
import type { NetworkDriver } from '@warden/interface';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { count, forge } from './forger.ts';
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

const A = specOf(0);
const B = specOf(1);
const TABLE = ['inet', 'warden-test'] as const;
/** The most a rule can open. */
const EVERYTHING = {
  protocol: 'all',
  network: { first: '0.0.0.0', last: '255.255.255.255' },
  log: false,
} as const;

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
}, 240_000);
beforeEach(async () => {
  await driver.setup(POLICY);
  await driver.restore(A, {}, { mappings: [], egress: [EVERYTHING] });
  await driver.restore(B, {}, { mappings: [], egress: [] });
});
afterEach(() => {
  for (const where of [net.host, net.outside, a, b]) where.try('nft', 'delete', 'table', 'inet', 'count');
});
afterAll(async () => {
  for (const spec of [A, B]) await driver.release(spec, {});
  await driver.close();
  await Promise.all([a.close(), b.close()]);
  await net.close();
});

/** From A onto its link. */
function fromA(script: string, ...words: string[]): void {
  const { interface: link, gatewayMac } = driver.inside(A, {});
  forge(a, { link, to: gatewayMac }, script, A.containerIp, ...words);
}

/** Takes the guard away: what did not pass before must pass now, or the test shows nothing. */
function withoutGuard(): void {
  net.host.run('nft', 'flush', 'chain', ...TABLE, 'guard');
}

describe('packets with options', () => {
  const SEND = `
own, target = sys.argv[3:5]
for options in (b'', bytes([131, 7, 4]) + address('${FAR}') + b'\\0', bytes([137, 7, 4]) + address('${FAR}') + b'\\0',
                bytes([7, 7, 4, 0, 0, 0, 0, 0]), bytes([68, 8, 5, 0, 0, 0, 0, 0]), bytes([148, 4, 0, 0]), b'\\1\\1\\1\\0'):
    send(ip(own, target, 17, udp(own, target, 4000, 7100), options))
`;

  it('leave the container in none of their kinds: source routes, records, timestamps, alerts [SECURITY N11]', () => {
    net.host.run('sh', '-c', 'for f in /proc/sys/net/ipv4/conf/*/accept_source_route; do echo 1 >$f; done');
    // A source route's next hop is where the packet goes first.
    const seen = count(net.outside, 'udp dport 7100');
    fromA(SEND, OUTSIDE);
    expect(seen.packets()).toBe(1);
    withoutGuard();
    fromA(SEND, OUTSIDE);
    expect(seen.packets()).toBeGreaterThan(5);
  });

  it('reach no other container and no port of the host either', () => {
    const inside = count(b, 'meta nfproto ipv4 udp dport 7100');
    const atHost = count(net.host, 'iifname "w-*" udp dport 7100', { hook: 'input', priority: 10 });
    fromA(SEND, B.containerIp);
    fromA(SEND, HOST);
    expect([inside.packets(), atHost.packets()]).toEqual([0, 0]);
  });
});

describe('other protocols than TCP, UDP and ICMP', () => {
  const SEND = `
own, target = sys.argv[3:5]
for protocol in (0, 2, 4, 41, 47, 50, 51, 89, 94, 103, 108, 112, 132, 136, 137, 253, 255):
    send(ip(own, target, protocol, ip(own, target, 17, udp(own, target, 4000, 7101)) if protocol == 4 else b'\\0' * 32))
send(ip(own, target, 17, udp(own, target, 4000, 7101)))
`;

  it('do not leave it, not even by a rule for all [SECURITY N11]', () => {
    const seen = count(net.outside, `ip daddr ${OUTSIDE} ip protocol != { icmp, tcp }`);
    fromA(SEND, OUTSIDE);
    expect(seen.packets()).toBe(1);
    withoutGuard();
    fromA(SEND, OUTSIDE);
    expect(seen.packets()).toBeGreaterThan(10);
  });
});

describe('ICMP messages', () => {
  it('that redirect leave the container neither for the host nor for a peer it may talk to [SECURITY N11]', async () => {
    const about = { first: B.containerIp, last: B.containerIp };
    await driver.restore(A, {}, { mappings: [], egress: [{ protocol: 'all', network: about, log: false }] });
    const datagram = (address: string, port: number, to: string): string =>
      `import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('${address}', ${port})); s.sendto(b'x', ('${to}', 7102))`;
    // Connections such a message can be about: one to a peer, one of the host's.
    a.run('python3', '-c', datagram('0.0.0.0', 7103, B.containerIp));
    net.host.run('python3', '-c', datagram(A.hostIp, 7104, A.containerIp));
    const redirects = `
own, peer, host = sys.argv[3], '${B.containerIp}', '${A.hostIp}'
for code in range(4):
    send(ip(own, peer, 1, icmp(5, code, address(own), ip(peer, own, 17, udp(peer, own, 7102, 7103)))))
    send(ip(own, host, 1, icmp(5, code, address(own), ip(host, own, 17, udp(host, own, 7104, 7102)))))
`;
    const atPeer = count(b, 'icmp type redirect');
    const atHost = count(net.host, 'iifname "w-*" icmp type redirect', { hook: 'input', priority: 10 });
    fromA(redirects);
    expect([atPeer.packets(), atHost.packets()]).toEqual([0, 0]);
    withoutGuard();
    fromA(redirects);
    expect([atPeer.packets(), atHost.packets()]).toEqual([4, 4]);
  }, 240_000);

  it("end no connection of another container's, and still tell of the own", async () => {
    // B takes what it gets, so that only a forged message can tell of a closed port.
    const sink = await b.start(
      'python3',
      '-c',
      `
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 7106)); print('ready', flush=True); time.sleep(60)
`,
    );
    const victim = await net.host.start(
      'python3',
      '-c',
      `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('${B.hostIp}', 7105)); s.connect(('${B.containerIp}', 7106)); s.send(b'x'); s.settimeout(20)
print('ready', flush=True)
try: s.recv(9)
except OSError as error: print(error.errno, flush=True)
`,
    );
    const attack = `
own = sys.argv[3]
quoted = ip('${B.hostIp}', '${B.containerIp}', 17, udp('${B.hostIp}', '${B.containerIp}', 7105, 7106))
for kind, code in ((3, 3), (3, 4), (3, 1), (4, 0), (11, 0), (12, 0)): send(ip(own, '${B.hostIp}', 1, icmp(kind, code, b'\\0' * 4, quoted)))
`;
    const atHost = count(net.host, 'iifname "w-*" icmp type { 3, 4, 11, 12 }', {
      hook: 'input',
      priority: 10,
    });
    fromA(attack);
    expect(atHost.packets()).toBe(0);
    expect(victim.output().trim()).toBe('ready');
    // An honest one: nobody listens there.
    expect(
      net.host.try(
        'python3',
        '-c',
        `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.connect(('${A.containerIp}', 7107)); s.send(b'x')
try: s.recv(9)
except ConnectionRefusedError: sys.exit(0)
sys.exit(1)
`,
      ),
    ).toBe(0);
    net.host.run('nft', 'flush', 'chain', ...TABLE, 'guard-icmp');
    fromA(attack);
    await expect.poll(() => victim.output(), { timeout: 10_000 }).toMatch(/ready\n\d+/);
    await Promise.all([victim.close(), sink.close()]);
  }, 240_000);
});

describe('fragments', () => {
  const RULE = {
    protocol: 'udp',
    network: { first: OUTSIDE, last: OUTSIDE },
    ports: { first: 7110, last: 7110 },
    log: false,
  } as const;
  const MORE = '0x2000';

  it('of allowed datagrams arrive whole, of others none does, however they are cut [SECURITY N11]', async () => {
    await driver.restore(A, {}, { mappings: [], egress: [RULE] });
    const allowed = count(net.outside, `ip daddr ${OUTSIDE} ip saddr ${HOST} ip protocol udp`);
    fromA(`
own, target = sys.argv[3], '${OUTSIDE}'
whole = udp(own, target, 4000, 7110, b'y' * 2400)
for at in range(0, len(whole), 1200):
    send(ip(own, target, 17, whole[at:at + 1200], ident=7, fragment=at // 8 | (${MORE} if at + 1200 < len(whole) else 0)))
`);
    expect(allowed.packets()).toBeGreaterThan(1);
    allowed.remove();
    // The first fragment holds the port, so it is counted; the later ones of a denied datagram have no first one.
    const seen = count(net.outside, 'udp dport 7111');
    // The counter sees one cut in the port numbers where it is allowed.
    await driver.allowEgress(A, {}, { ...RULE, ports: { first: 7111, last: 7111 } });
    fromA(`
own, target = sys.argv[3], '${OUTSIDE}'
whole = udp(own, target, 4000, 7111, b'z' * 64)
send(ip(own, target, 17, whole[:8], ident=9, fragment=${MORE})); send(ip(own, target, 17, whole[8:], ident=9, fragment=1))
`);
    expect(seen.packets()).toBe(1);
    await driver.restore(A, {}, { mappings: [], egress: [RULE] });
    const everywhere = count(b, 'meta nfproto ipv4');
    const atHost = count(net.host, 'iifname "w-*" ip protocol udp', { hook: 'input', priority: 10 });
    fromA(`
own = sys.argv[3]
for target in ('${OUTSIDE}', '${HOST}', '${A.hostIp}', '${B.containerIp}'):
    denied, fine = udp(own, target, 4000, 7111, b'z' * 64), udp(own, target, 4000, 7110, b'z' * 64)
    def piece(body, at, more, ident): send(ip(own, target, 17, body, ident=ident, fragment=at // 8 | (${MORE} if more else 0)))
    # cut in the port numbers, in any order
    piece(denied[:8], 0, True, 20); piece(denied[8:], 8, False, 20)
    piece(denied[8:], 8, False, 21); piece(denied[:8], 0, True, 21)
    # the end alone, the beginning alone, a hole
    piece(denied[8:], 8, False, 22); piece(denied[:8], 0, True, 23); piece(denied[:8], 0, True, 24); piece(denied[24:], 24, False, 24)
    # allowed at first, then overwritten by what is not, and the other way round
    piece(fine[:16], 0, True, 25); piece(denied[:16], 0, True, 25); piece(fine[16:], 16, False, 25)
    piece(denied[:16], 0, True, 26); piece(fine[:16], 0, True, 26); piece(denied[16:], 16, False, 26)
    piece(fine[:8], 0, True, 27); piece(fine[8:32], 8, True, 27); piece(denied[:24], 0, True, 27); piece(fine[32:], 32, False, 27)
    # longer than a packet can be, and thousands that never end
    piece(denied[:8], 0, True, 28); piece(b'q' * 1000, 65528, False, 28)
    for n in range(3000): piece(denied[:8], 0, True, 1000 + n)
`);
    expect(seen.packets()).toBe(1);
    expect([everywhere.packets(), atHost.packets()]).toEqual([0, 0]);
  }, 240_000);
});

describe('frames', () => {
  it('with tags, of other types or to groups carry nothing past the rules [SECURITY N03]', () => {
    const SEND = `
own = sys.argv[3]
broadcast, group = b'\\xff' * 6, bytes.fromhex('01005e000001')
for target in ('${OUTSIDE}', '${HOST}', '${A.hostIp}', '${B.containerIp}', '127.0.0.1'):
    for source in (own, '${B.containerIp}', '${OUTSIDE}'):
        packet = ip(source, target, 17, udp(source, target, 4000, 7120))
        for to in (gateway_mac, broadcast, group, own_mac):
            for tags in (b'', struct.pack('!HH', 0x8100, 0), struct.pack('!HH', 0x8100, 5), struct.pack('!HHHH', 0x88a8, 0, 0x8100, 0)):
                send(packet, to=to, tags=tags)
        for kind in (0x806, 0x8035, 0x86dd, 0x8847, 0x8863, 0x8864, 0x888e, 0x88cc, 0x22f0): send(packet, ethertype=kind)
`;
    const match = 'udp dport 7120';
    const seen = count(net.outside, match);
    const inside = count(b, match);
    const atHost = count(net.host, `iifname "w-*" ${match}`, { hook: 'input', priority: 10 });
    // A has no rule here: everything is denied.
    net.host.run('nft', 'flush', 'chain', ...TABLE, `i-${A.id}`);
    net.host.run('nft', 'add', 'rule', ...TABLE, `i-${A.id}`, 'goto', 'default');
    fromA(SEND);
    expect([seen.packets(), inside.packets(), atHost.packets()]).toEqual([0, 0, 0]);
    net.host.run('nft', 'insert', 'rule', ...TABLE, `i-${A.id}`, 'accept');
    fromA(SEND);
    expect(seen.packets()).toBeGreaterThan(0);
    expect(inside.packets()).toBeGreaterThan(0);
  }, 240_000);

  it('to broadcast addresses and groups reach neither host nor container nor outside [SECURITY N08]', () => {
    for (const group of ['224.0.0.1', '239.1.2.3', '224.0.0.251'])
      for (const link of ['wt-up', `w-${A.id}-0`, `w-${B.id}-0`])
        net.host.try('ip', 'address', 'add', group, 'dev', link, 'autojoin');
    const SEND = `
own = sys.argv[3]
for target in ('224.0.0.1', '224.0.0.251', '239.1.2.3', '255.255.255.255', '0.0.0.0', '10.254.0.3', '10.254.0.7', '10.254.0.0', '10.254.0.4', '203.0.113.255', '203.0.113.0'):
    for to in (gateway_mac, b'\\xff' * 6, bytes.fromhex('01005e') + socket.inet_aton(target)[1:]):
        send(ip(own, target, 17, udp(own, target, 4000, 7121)), to=to)
        send(ip(own, target, 1, icmp(8, 0)), to=to)
`;
    // Not what the host itself tells its links of the groups it has joined.
    const match = 'ip protocol { icmp, udp }';
    const seen = count(net.outside, `ip saddr { ${HOST}, ${A.containerIp} } ip protocol { icmp, udp }`);
    const inside = count(b, match);
    const atHost = count(net.host, `iifname "w-*" ${match}`, { hook: 'input', priority: 10 });
    fromA(SEND);
    expect([seen.packets(), inside.packets(), atHost.packets()]).toEqual([0, 0, 0]);
    // The host takes them where it is told to, so they do arrive.
    net.host.run('nft', 'flush', 'chain', ...TABLE, 'input');
    fromA(SEND);
    expect(atHost.packets()).toBeGreaterThan(5);
  }, 240_000);
});

describe('the host', () => {
  /** Every port of every address, by TCP and UDP. */
  const SCAN = `
own = sys.argv[3]
def every(packet, port_at, sum_at, step):
    # one packet, its port counted up and its checksum with it
    frame = bytearray(gateway_mac + own_mac + b'\\x08\\0' + packet)
    base = ~struct.unpack_from('!H', frame, 14 + sum_at)[0] & 0xffff
    for port in range(1, 65536, step):
        struct.pack_into('!H', frame, 14 + port_at, port)
        t = base + port
        struct.pack_into('!H', frame, 14 + sum_at, ~((t & 0xffff) + (t >> 16)) & 0xffff)
        while True:
            try: wire.send(frame); break
            except OSError: time.sleep(0.01)
for target in sys.argv[4:]:
    every(ip(own, target, 6, tcp(own, target, 4000, 0, 2)), 22, 36, 1)
    for port in range(1, 65536, 7): send(ip(own, target, 17, udp(own, target, 4000, port)))
`;
  const addresses = [HOST, A.hostIp, B.hostIp, '192.0.2.77', '127.0.0.1'];

  it('is closed at every port of every address, whatever rules allow [SECURITY N04]', async () => {
    net.host.run('ip', 'address', 'replace', '192.0.2.77/32', 'dev', 'lo');
    await driver.setup({ ...POLICY, allowNetworks: ['0.0.0.0/0'] });
    // A published port sets route_localnet on the link.
    await driver.mapPort(A, {}, { hostPort: 7130, containerPort: 80 });
    const atHost = count(net.host, 'iifname "w-*"', { hook: 'input', priority: 10 });
    fromA(SCAN, ...addresses);
    expect(atHost.packets()).toBe(0);
    await driver.setup({ ...POLICY, allowHostAccess: true });
    fromA(SCAN, HOST);
    // Opened by name it gets them, up to the one that is published.
    expect(atHost.packets()).toBeGreaterThan(65_000);
    net.host.run('ip', 'address', 'delete', '192.0.2.77/32', 'dev', 'lo');
  }, 240_000);

  it('gets no packet that pretends to belong to a connection', () => {
    const atHost = count(net.host, 'iifname "w-*"', { hook: 'input', priority: 10 });
    fromA(`
own = sys.argv[3]
for target in ('${HOST}', '${A.hostIp}'):
    for flags in range(64):
        for port in (22, 80, 7131): send(ip(own, target, 6, tcp(own, target, 4000, port, flags, seq=7, ack=7)))
    for kind in range(256): send(ip(own, target, 1, icmp(kind, 0, b'\\0\\1\\0\\1')))
`);
    expect(atHost.packets()).toBe(0);
  });
});

describe('IPv6', () => {
  it('neither announces routers nor neighbours to the host, nor is forwarded [SECURITY N05]', () => {
    const link = `w-${A.id}-0`;
    const { interface: inside, gatewayMac } = driver.inside(A, {});
    // A host that has IPv6 on its links all the same, trusts them and routes it: the worst there can be.
    for (const setting of [
      `${link}/disable_ipv6=0`,
      'all/forwarding=1',
      `${link}/accept_ra=2`,
      `${link}/autoconf=1`,
      `${link}/accept_redirects=1`,
    ]) {
      const [name, value] = setting.split('=');
      net.host.run('sh', '-c', `echo ${value} >/proc/sys/net/ipv6/conf/${name}`);
    }
    net.host.run('ip', '-6', 'address', 'replace', 'fe80::1/64', 'dev', link, 'nodad');
    net.host.run('ip', '-6', 'address', 'replace', '2001:db8:1::1/64', 'dev', 'wt-up', 'nodad');
    net.outside.run('ip', '-6', 'address', 'replace', '2001:db8:1::2/64', 'dev', 'wt-out', 'nodad');
    const state = (): string =>
      ['route show table all', 'neighbour', 'address']
        .map((what) =>
          net.host.run('ip', '-6', ...what.split(' ')).replaceAll(/expires \S+|valid_lft.*/g, ''),
        )
        .join();
    const before = state();
    const SEND = `
def v6(source, target, following, body, hops=255):
    a, b = socket.inet_pton(10, source), socket.inet_pton(10, target)
    return struct.pack('!IHBB', 6 << 28, len(body), following, hops) + a + b + body
def icmp6(source, target, kind, rest):
    a, b = socket.inet_pton(10, source), socket.inet_pton(10, target)
    head = lambda c: struct.pack('!BBH', kind, 0, c) + rest
    return v6(source, target, 58, head(total(a + b + struct.pack('!II', len(head(0)), 58) + head(0))))
prefix = struct.pack('!BBBBIII', 3, 4, 64, 0xc0, 86400, 86400, 0) + socket.inet_pton(10, '2001:db8:66::')
me = socket.inet_pton(10, 'fe80::2')
for target in ('ff02::1', 'fe80::1', '2001:db8:1::1', '2001:db8:1::2', '::1', 'ff02::2', 'ff05::1', '2001:db8:1::ffff'):
    for to in (gateway_mac, bytes.fromhex('333300000001'), b'\\xff' * 6):
        for source in ('fe80::2', '2001:db8:1::2', '2001:db8:66::2', '::1', '::'):
            send(icmp6(source, target, 134, struct.pack('!BBHII', 64, 0, 9000, 0, 0) + prefix + b'\\1\\1' + own_mac), 0x86dd, to)
            send(icmp6(source, target, 136, struct.pack('!I', 0xe0000000) + me + b'\\2\\1' + own_mac), 0x86dd, to)
            send(icmp6(source, target, 135, b'\\0' * 4 + socket.inet_pton(10, 'fe80::1') + b'\\1\\1' + own_mac), 0x86dd, to)
            send(icmp6(source, target, 137, b'\\0' * 4 + me + socket.inet_pton(10, '2001:db8:1::2')), 0x86dd, to)
            send(icmp6(source, target, 128, struct.pack('!HH', 1, 1)), 0x86dd, to)
            send(v6(source, target, 17, struct.pack('!HHHH', 4000, 7140, 8, 0)), 0x86dd, to)
            send(v6(source, target, 4, ip('${A.containerIp}', '${OUTSIDE}', 17, udp('${A.containerIp}', '${OUTSIDE}', 1, 7140))), 0x86dd, to)
`;
    const seen = count(net.outside, 'udp dport 7140');
    const atHost = count(net.host, 'iifname "w-*" meta nfproto ipv6', { hook: 'input', priority: 10 });
    forge(a, { link: inside, to: gatewayMac }, SEND);
    expect(state()).toBe(before);
    expect([seen.packets(), atHost.packets()]).toEqual([0, 0]);
    withoutGuard();
    net.host.run('nft', 'flush', 'chain', ...TABLE, 'input');
    forge(a, { link: inside, to: gatewayMac }, SEND);
    expect(state()).not.toBe(before);
    expect(atHost.packets()).toBeGreaterThan(0);
    net.host.run('sh', '-c', 'echo 0 >/proc/sys/net/ipv6/conf/all/forwarding');
    for (const name of [link, 'wt-up']) net.host.run('ip', '-6', 'address', 'flush', 'dev', name);
  }, 240_000);
});
