import type { NetworkDriver } from '@warden/interface';
import { silentLogger } from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { nftablesNetwork } from '../src/index.ts';
import { answer } from './prober.ts';
import { TestNamespace } from './test-namespace.ts';
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
const ANY_UDP = { protocol: 'udp', network: { first: FAR, last: OUTSIDE }, log: false } as const;

let net: Topology;
let driver: NetworkDriver;
const open: TestNamespace[] = [];

beforeEach(async () => {
  net = await makeTopology();
  driver = makeDriver();
  await driver.setup(POLICY);
}, 240_000);
afterEach(async () => {
  for (const spec of [A, B]) await driver.release(spec, {});
  await driver.close();
  await Promise.all(open.splice(0).map((one) => one.close()));
  await net.close();
});

async function container(spec: typeof A): Promise<TestNamespace> {
  const made = await makeContainer(driver, spec);
  open.push(made);
  return made;
}

/** Sends IPv4 packets with this source from a raw socket, as root inside can. */
const RAW = `
import socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
source, target, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
udp = struct.pack('!HHHH', 4000, port, 9, 0) + b'x'
ip = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, socket.inet_aton(source), socket.inet_aton(target))
s.sendto(ip + udp, (target, 0))
`;

async function received(send: () => void): Promise<number> {
  const receiver = net.outside.receive(7000);
  await receiver.ready;
  send();
  net.host.send(OUTSIDE, 7000, { text: 'end' });
  return receiver.count;
}

describe('a hostile container', () => {
  it('sends nothing with a source that is not its own [SECURITY N01]', async () => {
    const a = await container(A);
    await container(B);
    await driver.setup({ ...POLICY, allowNetworks: [OUTSIDE] });
    const raw = (source: string) => () => a.run('python3', '-c', RAW, source, OUTSIDE, '7000');
    expect(await received(raw(A.containerIp))).toBe(1);
    for (const source of [
      A.hostIp,
      B.containerIp,
      B.hostIp,
      HOST,
      OUTSIDE,
      '8.8.8.8',
      '10.254.0.0',
      '10.254.0.3',
      '127.0.0.1',
      '169.254.1.1',
      '255.255.255.255',
      '224.0.0.1',
    ])
      expect(await received(raw(source)), source).toBe(0);
  }, 240_000);

  it("changes no neighbour of the host, and takes no other container's packets, by ARP [SECURITY N02]", async () => {
    const a = await container(A);
    const b = await container(B);
    await b.serve(80);
    const neighbours = (): string =>
      net.host
        .run('ip', 'neighbour', 'show', 'nud', 'all')
        .split('\n')
        .filter((line) => line.includes(' w-'))
        .sort()
        .join('\n');
    const before = neighbours();
    a.run(
      'python3',
      '-c',
      `
import socket, struct, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind((sys.argv[1], 0x806))
own = s.getsockname()[4]
for claimed in sys.argv[2:]:
    for operation in (1, 2):
        for to in (claimed, '${A.hostIp}'):
            frame = b'\\xff' * 6 + own + b'\\x08\\x06' + struct.pack('!HHBBH', 1, 0x800, 6, 4, operation)
            s.send(frame + own + socket.inet_aton(claimed) + b'\\xff' * 6 + socket.inet_aton(to))
`,
      driver.inside(A, {}).interface,
      A.hostIp,
      B.containerIp,
      B.hostIp,
      OUTSIDE,
    );
    expect(neighbours()).toBe(before);
    expect(await net.host.connect(B.containerIp, 80)).toBe(`from ${B.hostIp}`);
  });

  it('meets no IPv6 at the near end of its link, also after somebody switched it on, once the daemon has started again [SECURITY N05]', async () => {
    await container(A);
    const link = `w-${A.id}-0`;
    const setting = `/proc/sys/net/ipv6/conf/${link}/disable_ipv6`;
    const routes = (): string => net.host.run('ip', '-6', 'route', 'show', 'table', 'all', 'dev', link);
    expect(net.host.run('cat', setting)).toBe('1\n');
    expect(routes()).toBe('');
    net.host.run('sh', '-c', `echo 0 >${setting}`);
    expect(routes()).toContain('ff00::/8');
    await driver.setup(POLICY);
    await driver.restore(A, {}, { mappings: [], egress: [] });
    expect(net.host.run('cat', setting)).toBe('1\n');
    expect(routes()).toBe('');
  });

  it('reaches nothing by IPv6, not even where the host has an address on the link [SECURITY N05]', async () => {
    const a = await container(A);
    const inside = driver.inside(A, {}).interface;
    net.host.run('sh', '-c', `echo 0 >/proc/sys/net/ipv6/conf/w-${A.id}-0/disable_ipv6`);
    net.host.run('ip', '-6', 'address', 'add', 'fe80::1/64', 'dev', `w-${A.id}-0`, 'nodad');
    net.host.run('ip', '-6', 'neighbour', 'add', 'fe80::2', 'lladdr', macOf(a, inside), 'dev', `w-${A.id}-0`);
    a.run('ip', '-6', 'address', 'add', 'fe80::2/64', 'dev', inside, 'nodad');
    a.run(
      'ip',
      '-6',
      'neighbour',
      'add',
      'fe80::1',
      'lladdr',
      driver.inside(A, {}).gatewayMac,
      'dev',
      inside,
    );
    const server = await net.host.start(
      'python3',
      '-c',
      `
import socket
s = socket.socket(socket.AF_INET6); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(('::', 9006)); s.listen(4); print('ready', flush=True)
while True: s.accept()[0].close()
`,
    );
    const connects = (): number =>
      a.try(
        'python3',
        '-c',
        `import socket; s = socket.socket(socket.AF_INET6); s.settimeout(2); s.connect(('fe80::1', 9006, 0, socket.if_nametoindex('${inside}')))`,
      );
    expect(connects()).not.toBe(0);
    // The guard did it, nothing else.
    net.host.run('nft', 'flush', 'chain', 'inet', 'warden-test', 'guard');
    net.host.run('nft', 'flush', 'chain', 'inet', 'warden-test', 'input');
    expect(connects()).toBe(0);
    await server.close();
  }, 240_000);

  it('does not inherit the connections of who had its address before', async () => {
    const server = await answer(net.outside, [OUTSIDE], { first: 7030, last: 7030 });
    const exchange = (from: TestNamespace): number =>
      from.try(
        'python3',
        '-c',
        `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 4000)); s.settimeout(2); s.connect(('${OUTSIDE}', 7030))
for i in range(3): s.send(b'x'); s.recv(16)
`,
      );
    const b = await container(B);
    await driver.allowEgress(B, {}, ANY_UDP);
    expect(exchange(b)).toBe(0);
    const first = await container(A);
    await driver.allowEgress(A, {}, ANY_UDP);
    expect(exchange(first)).toBe(0);
    await driver.release(A, {});
    await first.close();
    // At once, and with the id of another container: the addresses are what counts.
    const heir = { ...A, id: specOf(7).id };
    const second = await container(heir);
    expect(exchange(second)).not.toBe(0);
    // Others keep theirs: without its rule, what B began goes on.
    await driver.restore(B, {}, { mappings: [], egress: [] });
    expect(exchange(b)).toBe(0);
    await driver.release(heir, {});
    await server.close();
  }, 240_000);

  it('finds no connections that an earlier daemon left with its address', async () => {
    const server = await answer(net.outside, [OUTSIDE], { first: 7031, last: 7031 });
    const send = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 4001)); s.settimeout(2); s.connect(('${OUTSIDE}', 7031))
for i in range(3): s.send(b'x'); s.recv(16)
`;
    const first = await container(A);
    await driver.allowEgress(A, {}, ANY_UDP);
    expect(first.try('python3', '-c', send)).toBe(0);
    // That daemon is gone, and nothing of its container is claimed by the next.
    const next = makeDriver();
    await next.setup(POLICY);
    expect(await next.sweep(new Set())).toEqual([A.id]);
    await first.close();
    const second = await TestNamespace.make();
    open.push(second);
    const heir = { ...A, id: specOf(8).id };
    await next.attach(heir, {}, second.pid);
    const { interface: name, gateway, gatewayMac } = next.inside(heir, {});
    second.run('ip', 'address', 'add', `${A.containerIp}/30`, 'dev', name);
    second.run('ip', 'link', 'set', name, 'up');
    second.run('ip', 'neighbour', 'add', gateway, 'lladdr', gatewayMac, 'dev', name);
    second.run('ip', 'route', 'add', 'default', 'via', gateway);
    expect(second.try('python3', '-c', send)).not.toBe(0);
    await next.release(heir, {});
    await next.close();
    await server.close();
  }, 240_000);
});

describe('the host', () => {
  it('finds the tables, rules and routes of others unchanged after 100 containers [SECURITY N22]', async () => {
    net.host.run(
      'nft',
      `add table inet foreign; add chain inet foreign c { type filter hook forward priority 5; policy accept; }; add rule inet foreign c ip saddr 10.254.0.0/16 accept;
       add table ip nat; add chain ip nat p { type nat hook postrouting priority 100; }; add rule ip nat p oifname "nothing" masquerade; add table netdev n; add table bridge br`,
    );
    const state = (): string =>
      [
        ...['inet foreign', 'ip nat', 'netdev n', 'bridge br'].map((name) =>
          net.host.run('nft', '-j', '-a', 'list', 'table', ...name.split(' ')),
        ),
        net.host.run('nft', 'list', 'tables'),
        net.host.run('ip', 'rule'),
        net.host.run('ip', '-4', 'route', 'show', 'table', 'all', 'dev', 'wt-up'),
        net.host.run('tc', 'qdisc', 'show', 'dev', 'wt-up'),
      ].join();
    const before = state();
    const peer = await TestNamespace.make();
    open.push(peer);
    for (let i = 0; i < 100; i++) {
      await driver.attach(A, {}, peer.pid);
      await driver.mapPort(A, {}, { hostPort: 8080, containerPort: 80 });
      await driver.allowEgress(A, {}, ANY_UDP);
      if (i % 10 === 0) await driver.setBandwidth(A, {}, { rate: 1_000_000n, burst: 10_000n });
      await driver.release(A, {});
    }
    await driver.sweep(new Set());
    expect(state()).toBe(before);
    for (const name of ['inet foreign', 'ip nat', 'netdev n', 'bridge br'])
      net.host.run('nft', 'delete', 'table', ...name.split(' '));
  }, 240_000);

  it('restores everything after its table was deleted [linux-container 25 net_out]', async () => {
    const a = await container(A);
    await a.serve(80);
    await net.outside.serve(7040);
    net.host.run('nft', 'delete', 'table', 'inet', 'warden-test');
    const next = makeDriver();
    await next.setup(POLICY);
    // Whose address it is, is not known before the record is read.
    expect(await a.connect(OUTSIDE, 7040)).toBe('no answer');
    const egress = [{ protocol: 'tcp', network: { first: OUTSIDE, last: OUTSIDE }, log: false } as const];
    await next.restore(A, {}, { mappings: [{ hostPort: 8095, containerPort: 80 }], egress });
    expect(await a.connect(OUTSIDE, 7040)).toBe(`from ${HOST}`);
    expect(await a.connect(FAR, 7040)).toBe('refused');
    expect(await net.outside.connect(HOST, 8095)).toBe(`from ${OUTSIDE}`);
    await next.close();
  });

  it('refuses a port that one of its programs listens on, unless at another address [SECURITY N15]', async () => {
    await container(A);
    await net.host.serve(8096);
    await expect(driver.mapPort(A, {}, { hostPort: 8096, containerPort: 80 })).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
      message: 'port 8096 is taken by a program of the host, which listens on 0.0.0.0',
      fields: { owner: 'host' },
    });
    const listen = (address: string, port: number, takesBoth = false): Promise<{ close(): Promise<void> }> =>
      net.host.start(
        'python3',
        '-c',
        `
import socket, sys, time
s = socket.create_server((sys.argv[1], ${port}), family=socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, dualstack_ipv6=sys.argv[2] == 'true'); print('ready', flush=True); time.sleep(60)
`,
        address,
        String(takesBoth),
      );
    for (const [index, address] of ['127.0.0.1', HOST, '::'].entries()) {
      const server = await listen(address, 8100 + index, address === '::'); // of IPv6, what takes IPv4, too
      await expect(
        driver.mapPort(A, {}, { hostPort: 8100 + index, containerPort: 80 }),
      ).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
      await server.close();
      await driver.mapPort(A, {}, { hostPort: 8100 + index, containerPort: 80 });
    }
    for (const [index, address] of [A.hostIp, '::1', '::'].entries()) {
      const server = await listen(address, 8110 + index);
      await driver.mapPort(A, {}, { hostPort: 8110 + index, containerPort: 80 });
      await server.close();
    }
  }, 240_000);

  it('publishes at the address it was told', async () => {
    net.host.run('ip', 'address', 'add', '203.0.113.77/32', 'dev', 'wt-up');
    const told = nftablesNetwork({ table: 'warden-test', outwardAddress: '203.0.113.77' })({
      logger: silentLogger,
    });
    await told.setup(POLICY);
    const a = await makeContainer(told, A);
    open.push(a);
    await a.serve(80);
    await told.mapPort(A, {}, { hostPort: 8097, containerPort: 80 });
    expect(await net.outside.connect('203.0.113.77', 8097)).toBe(`from ${OUTSIDE}`);
    expect(await net.outside.connect(HOST, 8097)).toBe('refused');
    expect(await net.host.connect('127.0.0.1', 8097)).toBe(`from ${A.hostIp}`);
    await told.close();
    expect(() => nftablesNetwork({ table: 'warden-test', outwardAddress: 'here' })).toThrow(
      /not an IPv4 address/,
    );
  });
});

describe('a daemon that lives in a container', () => {
  it('lets in what comes by its uplink, and nothing by another link [linux-container 16.1 default interface]', async () => {
    await net.close();
    net = await makeTopology(`w-${specOf(30).id}-1`);
    await driver.setup(POLICY);
    const a = await container(A);
    await a.serve(80);
    expect(await net.outside.connect(A.containerIp, 80)).toBe(`from ${OUTSIDE}`);
    const b = await container(B);
    expect(await b.connect(A.containerIp, 80)).toBe('refused');
    expect(await a.connect(OUTSIDE, 80)).toBe('refused');
  }, 240_000);
});

function macOf(where: TestNamespace, link: string): string {
  return /link\/ether (\S+)/.exec(where.run('ip', 'link', 'show', link))?.[1] ?? '';
}
