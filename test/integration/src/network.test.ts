/** Ports, rules and bandwidth through the whole daemon, with packets between the test's namespaces. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import type { ClientContainer } from '@warden/client';
import {
  describeWith,
  FAR_ADDRESS,
  HOST_ADDRESS,
  type Namespace,
  OUTSIDE_ADDRESS,
  patience,
  startDaemon,
  withDaemon,
} from '@warden/test-harness';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { text } from './text.ts';

const GREETER = `
import socket, sys
s = socket.create_server(('0.0.0.0', int(sys.argv[1]))); print('ready', flush=True)
while True:
    c, peer = s.accept(); c.sendall(b'hello ' + peer[0].encode()); c.close()
`;
const CALL = `
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 3); print(s.recv(64).decode())
`;

async function greet(where: Namespace, port: number): Promise<ChildProcess> {
  const [program, ...args] = where.enter(['python3', '-c', GREETER, String(port)]);
  const child = spawn(program!, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  return child;
}

/** What a server says to a caller in a namespace; empty when it is not reached. */
const call = (from: Namespace, address: string, port: number): string =>
  from.try(['python3', '-c', CALL, address, String(port)]).stdout.trim();

/** What a server says to a caller in a container. */
const callFrom = async (box: ClientContainer, address: string, port: number): Promise<string> =>
  text((await box.run(`nc -w 3 ${address} ${port} </dev/null`)).stdout).trim();

/** Serves one line after another at a port inside. */
async function serveInside(box: ClientContainer, port: number, line: string): Promise<void> {
  await box.spawn(`while :; do echo ${line} | nc -l -p ${port} >/dev/null; done`);
  const { containerIp } = await box.info();
  const listens = `netstat -tln 2>/dev/null | grep -q :${port} || nc -z ${containerIp} ${port}`;
  await expect.poll(async () => (await box.run(listens)).exitStatus, { timeout: 10_000 }).toBe(0);
}

describeWith(['root', 'isolated', 'overlayfs', 'nft', 'python3'], 'the network of containers', () => {
  const suite = withDaemon({ config: { network: { mtu: 1454, release_delay: 0 } } });
  const servers: ChildProcess[] = [];
  let host: Namespace;
  let outside: Namespace;
  beforeAll(async () => {
    ({ host, outside } = suite.daemon.place.network);
    servers.push(await greet(outside, 7001), await greet(outside, 7002), await greet(host, 7003));
  });
  afterAll(() => {
    for (const server of servers) server.kill('SIGKILL');
  });

  it('denies everything at once, and lets the host in [linux-container 25 net default]', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    await using other = await warden.create();
    await serveInside(box, 8080, 'inside');
    const { hostIp = '', containerIp = '' } = await box.info();
    for (const [address, port] of [
      [OUTSIDE_ADDRESS, 7001],
      [HOST_ADDRESS, 7003],
      [hostIp, 7003],
    ] as const)
      expect(await callFrom(box, address, port)).toBe('');
    expect(await callFrom(other, containerIp, 8080)).toBe('');
    await expect.poll(() => call(host, containerIp, 8080), { timeout: 10_000 }).toBe('inside');
    expect(call(outside, containerIp, 8080)).toBe('');
  });

  it('gives all devices the configured MTU [linux-container 25 interfaces]', async () => {
    const warden = await suite.daemon.connect();
    const hasLinks = (): boolean => host.run('ip', '-o', 'link').includes(': w-');
    // those of the containers before go behind the answers
    await expect.poll(hasLinks, { timeout: patience(20_000) }).toBe(false);
    await using box = await warden.create({ handle: 'mtu' });
    await box.limitBandwidth({ rate: 1_000_000n, burst: 10_000n });
    const links = host
      .run('ip', '-o', 'link')
      .split('\n')
      .filter((line) => /: w-/.test(line));
    expect(links.map((line) => /: w-\S+?-(\d)[@:].* mtu (\d+)/.exec(line)?.slice(1)).sort()).toEqual([
      ['0', '1454'],
      ['2', '1454'],
    ]);
    const inside = text((await box.run('/bin/busybox ip link')).stdout);
    expect(inside).toMatch(/: w-\w{11}-1@.*LOWER_UP.* mtu 1454/);
    await box.destroy();
    await expect.poll(hasLinks, { timeout: patience(20_000) }).toBe(false);
  });

  it('publishes given and picked ports to the outside and to the host, of its own address only [behaviour 5 NetIn]', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    await serveInside(box, 8080, 'inside');
    const picked = await box.netIn({ containerPort: 8080 });
    const given = await box.netIn({ hostPort: 7001, containerPort: 8080 });
    const same = await box.netIn();
    expect(given).toEqual({ hostPort: 7001, containerPort: 8080 });
    expect(same.containerPort).toBe(same.hostPort);
    for (const { hostPort } of [picked, given])
      for (const [from, address] of [
        [outside, HOST_ADDRESS],
        [host, HOST_ADDRESS],
        [host, '127.0.0.1'],
      ] as const)
        await expect.poll(() => call(from, address, hostPort), { timeout: 10_000 }).toBe('inside');
    await box.netOut({ network: OUTSIDE_ADDRESS, port: 7001 });
    expect(await callFrom(box, OUTSIDE_ADDRESS, 7001)).toBe(`hello ${HOST_ADDRESS}`);
    await expect(box.netIn({ hostPort: 7003 })).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
      message: expect.stringContaining('port 7003 is taken by a program of the host'),
    });
    await expect(box.netIn({ hostPort: 65_536 })).rejects.toMatchObject({ code: 'INVALID_SPEC' });
  });

  it('opens what net_out names, the texts of its refusals are the original ones [behaviour 5 NetOut]', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    await box.netOut({ network: `${OUTSIDE_ADDRESS}/32`, portRange: '7002:7003', log: true });
    expect(await callFrom(box, OUTSIDE_ADDRESS, 7002)).toBe(`hello ${HOST_ADDRESS}`);
    expect(await callFrom(box, OUTSIDE_ADDRESS, 7001)).toBe('');
    expect(await callFrom(box, FAR_ADDRESS, 7002)).toBe('');
    for (const [spec, message] of [
      [{}, 'Please specify network, port, and/or port_range.'],
      [{ portRange: '2:1' }, 'Port range maximum must be greater than minimum'],
      [{ port: 80, protocol: 'icmp' }, 'command exited with failure: protocol icmp has no ports'],
    ] as const)
      await expect(box.netOut(spec)).rejects.toMatchObject({ message });
  });

  it('reports a bandwidth limit in all four fields [linux-container 25 limit_bandwidth]', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const all = (rate: bigint, burst: bigint): object => ({
      inRate: rate,
      inBurst: burst,
      outRate: rate,
      outBurst: burst,
    });
    expect((await box.info()).bandwidthStat).toEqual(all(4_294_967_295n, 4_294_967_295n));
    await box.limitBandwidth({ rate: 100_000n, burst: 1_000n });
    expect((await box.info()).bandwidthStat).toEqual(all(100_000n, 1_000n));
    await box.limitBandwidth({ rate: 200_000n, burst: 2_000n });
    expect((await box.info()).bandwidthStat).toEqual(all(200_000n, 2_000n));
    await expect(box.limitBandwidth({ rate: 0n, burst: 1n })).rejects.toMatchObject({
      code: 'INVALID_SPEC',
    });
  });
});

describeWith(['root', 'isolated', 'overlayfs', 'nft', 'python3'], 'the network as it is configured', () => {
  const suite = withDaemon({
    config: {
      network: {
        allow_networks: [`${OUTSIDE_ADDRESS}/32`],
        deny_networks: [FAR_ADDRESS],
        allow_host_access: true,
        dns_servers: ['192.0.2.53', '192.0.2.54'],
      },
    },
  });
  const servers: ChildProcess[] = [];
  beforeAll(async () => {
    const { host, outside } = suite.daemon.place.network;
    servers.push(await greet(outside, 7001), await greet(host, 7003));
  });
  afterAll(() => {
    for (const server of servers) server.kill('SIGKILL');
  });

  it('opens allow_networks and, with allow_host_access, the host, to containers that asked for nothing [config 2 network] [linux-container 25 net default]', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const { hostIp = '', containerIp } = await box.info();
    expect(await callFrom(box, OUTSIDE_ADDRESS, 7001)).toBe(`hello ${HOST_ADDRESS}`);
    expect(await callFrom(box, HOST_ADDRESS, 7003)).toBe(`hello ${containerIp}`);
    expect(await callFrom(box, hostIp, 7003)).toBe(`hello ${containerIp}`);
    expect(await callFrom(box, FAR_ADDRESS, 7001)).toBe('');
  });

  it('drops what goes to deny_networks, and refuses the rest [DECISIONS deny_networks]', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const failure = async (address: string): Promise<string> =>
      text((await box.run(`nc -w 2 ${address} 7001 </dev/null`)).stderr);
    expect(await failure('198.51.100.2')).toContain('refused');
    expect(await failure(FAR_ADDRESS)).not.toContain('refused');
    await box.netOut({ network: FAR_ADDRESS });
    expect(await callFrom(box, FAR_ADDRESS, 7001)).toBe(`hello ${HOST_ADDRESS}`);
  });

  it('gives containers the configured name servers, one a line, and nothing else [linux-container 5.4 a]', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    expect(text((await box.run('cat /etc/resolv.conf')).stdout)).toBe(
      'nameserver 192.0.2.53\nnameserver 192.0.2.54\n',
    );
  });
});

describeWith(['root', 'isolated', 'overlayfs', 'nft'], 'pools as they are configured', () => {
  const suite = withDaemon({
    config: {
      server: { container_grace_time: null },
      network: { pool_network: '10.254.0.0/30', release_delay: 3600 },
      port: { pool_start_port: 21_000, pool_size: 1_000 },
    },
  });

  it('hand out the configured ports, and their one network to nobody until release_delay is over [config 2 port] [config 2 release_delay] [config 2 container_grace_time]', async () => {
    const warden = await suite.daemon.connect();
    const box = await warden.create();
    const { containerPath } = await box.info();
    // of a container that no grace time ends
    const snapshot = JSON.parse(fs.readFileSync(path.join(containerPath!, 'snapshot.json'), 'utf8'));
    expect([snapshot.grace_time, snapshot.resources.network]).toEqual([null, '10.254.0.0']);
    expect(await box.netIn()).toEqual({ hostPort: 21_000, containerPort: 21_000 });
    await box.destroy();
    await expect(warden.create()).rejects.toMatchObject({ message: 'Could not acquire network' });
  });
});

describeWith(['root', 'isolated', 'overlayfs', 'nft', 'python3'], 'the network across daemons', () => {
  it('has ports, rules and bandwidth again after a restart, though somebody deleted the table meanwhile [linux-container 25 net_out]', async () => {
    let daemon = await startDaemon({ config: { network: { release_delay: 0 } } });
    const { place } = daemon;
    const { host, outside } = place.network;
    const server = await greet(outside, 7001);
    try {
      const box = await (await daemon.connect()).create({ handle: 'kept' });
      await serveInside(box, 8080, 'inside');
      const { hostPort } = await box.netIn({ containerPort: 8080 });
      await box.netOut({ network: OUTSIDE_ADDRESS, port: 7001 });
      await box.limitBandwidth({ rate: 500_000n, burst: 20_000n });
      await daemon.kill('SIGKILL');
      host.run('nft', 'delete', 'table', 'inet', place.name);
      for (const name of host.run('ip', '-o', 'link').match(/w-\w{11}-2/g) ?? [])
        host.run('ip', 'link', 'delete', name);
      daemon = await startDaemon({ place, config: { network: { release_delay: 0 } } });
      const same = (await daemon.connect()).container('kept');
      await expect.poll(() => call(outside, HOST_ADDRESS, hostPort), { timeout: 10_000 }).toBe('inside');
      expect(await callFrom(same, OUTSIDE_ADDRESS, 7001)).toBe(`hello ${HOST_ADDRESS}`);
      expect(await callFrom(same, OUTSIDE_ADDRESS, 7002)).toBe('');
      expect((await same.info()).bandwidthStat).toMatchObject({ inRate: 500_000n, outBurst: 20_000n });
      expect(host.run('tc', 'qdisc').match(/tbf .*rate 4Mbit/g)).toHaveLength(2);
      const other = await (await daemon.connect()).create();
      expect((await other.netIn()).hostPort).toBe(hostPort + 1);
      await same.destroy();
      expect(call(outside, HOST_ADDRESS, hostPort)).toBe('');
      expect(await other.netIn({ hostPort })).toEqual({ hostPort, containerPort: hostPort });
    } finally {
      server.kill('SIGKILL');
      await daemon.stop();
      await daemon.kill();
      await place.remove();
    }
  }, 60_000);
});
