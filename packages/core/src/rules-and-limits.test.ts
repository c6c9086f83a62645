/** What is open for a container, and what it may use. */
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type NetOutSpec,
  type NetworkDriver,
  silentLogger,
  type Warden,
  WardenError,
} from '@warden/interface';
import { describe, expect, it, vi } from 'vitest';
import { NETWORK, type TestHost } from '../test/host.ts';
import { eachAnew, SOON } from '../test/setting.ts';
import type { Core } from './index.ts';

let host: TestHost;
let core: Core;
let warden: Warden;

eachAnew(
  (setting) => ({ host, core, warden } = setting),
  () => core,
);

describe('ports, egress and limits', () => {
  it('picks ports from the pool and gives them back', async () => {
    const box = await warden.create();
    expect(await box.netIn()).toEqual({ hostPort: 61_000, containerPort: 61_000 });
    expect(await box.netIn({ hostPort: 61_002, containerPort: 80 })).toEqual({
      hostPort: 61_002,
      containerPort: 80,
    });
    expect((await box.netIn()).hostPort).toBe(61_001);
    expect((await box.netIn()).hostPort).toBe(61_003);
    await expect(box.netIn()).rejects.toMatchObject({ code: 'POOL_EXHAUSTED', message: 'no port available' });
    const other = await warden.create();
    await expect(other.netIn({ hostPort: 61_002 })).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
    await expect(other.netIn({ hostPort: 0 })).rejects.toMatchObject({ code: 'INVALID_SPEC' });
    await box.destroy();
    expect(await other.netIn({ hostPort: 61_002 })).toEqual({ hostPort: 61_002, containerPort: 61_002 });
  });

  it('maps a repeated port once, and names the owner of one that is taken [DECISIONS NetIn]', async () => {
    const box = await warden.create({ handle: 'owner' });
    const mapping = { hostPort: 61_002, containerPort: 80 };
    expect(await box.netIn(mapping)).toEqual(mapping);
    expect(await box.netIn(mapping)).toEqual(mapping);
    expect(host.links.inventory()[0]).toContain(JSON.stringify([mapping]));
    const taken = 'port 61002 is taken by container owner';
    await expect(box.netIn({ hostPort: 61_002 })).rejects.toMatchObject({ message: taken });
    const other = await warden.create();
    await expect(other.netIn(mapping)).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
      message: taken,
      fields: { owner: 'owner' },
    });
    expect((await other.netIn()).hostPort).toBe(61_000);
    await box.destroy();
    expect(await other.netIn(mapping)).toEqual(mapping);
  });

  it('passes by ports of the pool that the host uses, and comes back to them', async () => {
    host.links.hostPorts.add(61_000).add(61_001);
    const box = await warden.create();
    expect((await box.netIn()).hostPort).toBe(61_002);
    await expect(box.netIn({ hostPort: 61_001 })).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
      fields: { owner: 'host' },
    });
    expect((await box.netIn()).hostPort).toBe(61_003);
    await expect(box.netIn()).rejects.toMatchObject({ code: 'ALREADY_EXISTS', fields: { owner: 'host' } });
    host.links.hostPorts.delete(61_000);
    expect((await box.netIn()).hostPort).toBe(61_000);
    host.links.hostPorts.clear();
    expect((await box.netIn()).hostPort).toBe(61_001);
    await expect(box.netIn()).rejects.toMatchObject({
      code: 'POOL_EXHAUSTED',
      message: 'no port available',
      fields: { pool: 'port', used: 4, limit: 4 },
    });
  });

  it('gives the port of a failed mapping back exactly once [behaviour 20 #55]', async () => {
    const box = await warden.create();
    const [link] = host.links.links.values();
    host.links.links.clear();
    await expect(box.netIn()).rejects.toMatchObject({ code: 'NATIVE_FAILED' });
    host.links.links.set(link!.spec.id, link!);
    const picked = [];
    for (let i = 0; i < 4; i++) picked.push((await box.netIn()).hostPort);
    expect(new Set(picked).size).toBe(4);
    await expect(box.netIn()).rejects.toMatchObject({ code: 'POOL_EXHAUSTED' });
    await box.destroy();
    const other = await warden.create();
    for (let i = 0; i < 4; i++) picked.push((await other.netIn()).hostPort);
    expect(new Set(picked.slice(4)).size).toBe(4);
    await expect(other.netIn()).rejects.toMatchObject({ code: 'POOL_EXHAUSTED' });
  });

  it('records no port and no rule that could not be put in force', async () => {
    await core.close();
    const drivers = host.drivers();
    const refuse = async (): Promise<never> => {
      throw new WardenError('NATIVE_FAILED', 'no room');
    };
    core = await host.start({
      drivers: { ...drivers, network: { ...drivers.network, mapPort: refuse, allowEgress: refuse } },
    });
    const box = await core.openSession().create();
    await expect(box.netIn({ hostPort: 61_001, containerPort: 80 })).rejects.toThrow('no room');
    await expect(box.netOut({ network: '10.0.0.0/8' })).rejects.toThrow('no room');
    const record = path.join((await box.info()).containerPath!, 'snapshot.json');
    expect(JSON.parse(fs.readFileSync(record, 'utf8')).resources).toMatchObject({
      ports: [],
      net_in: [],
      net_out: [],
    });
    expect((await box.info()).ports ?? []).toEqual([]);
  });

  it('records a bandwidth limit, and puts it in force again after a restart [behaviour 20 #61]', async () => {
    const box = await warden.create({ handle: 'shaped' });
    await box.limitBandwidth({ rate: 100_000n, burst: 1_000n });
    const stat = { inRate: 100_000n, inBurst: 1_000n, outRate: 100_000n, outBurst: 1_000n };
    expect((await box.info()).bandwidthStat).toEqual(stat);
    for (const [rate, burst, what] of [
      [0n, 1n, 'rate 0'],
      [1n, 0n, 'burst 0'],
      [1n << 64n, 1n, 'rate 18446744073709551616'],
      [1n, 1n << 32n, 'burst 4294967296'],
    ] as const)
      await expect(box.limitBandwidth({ rate, burst })).rejects.toMatchObject({
        code: 'INVALID_SPEC',
        message: expect.stringContaining(`bandwidth ${what} is not in 1..`),
      });
    await core.close();
    for (const link of host.links.links.values()) link.bandwidth = undefined;
    core = await host.start();
    expect((await core.openSession().container('shaped').info()).bandwidthStat).toEqual(stat);
  });

  it.each<[NetOutSpec, string]>([
    [{}, 'Please specify network, port, and/or port_range.'],
    [{ protocol: 'icmp', icmpType: 8 }, 'Please specify network, port, and/or port_range.'],
    [{ protocol: 'all', log: true }, 'Please specify network, port, and/or port_range.'],
    [{ protocol: 'icmp', port: 80 }, 'command exited with failure: protocol icmp has no ports'],
    [{ protocol: 'all', portRange: '1:2' }, 'command exited with failure: protocol all has no ports'],
    [{ portRange: '9:1', port: 80 }, 'Port range maximum must be greater than minimum'],
    [
      { portRange: '1:2:3' },
      "'1:2:3' is no range of ports: write FIRST:LAST, two whole numbers from 1 to 65535, the first less than the last",
    ],
    [
      { portRange: 'http' },
      "'http' is no range of ports: write FIRST:LAST, two whole numbers from 1 to 65535, the first less than the last",
    ],
    [
      { portRange: '80 -j ACCEPT' },
      "'80 -j ACCEPT' is no range of ports: write FIRST:LAST, two whole numbers from 1 to 65535, the first less than the last",
    ],
    [{ portRange: '1:65536' }, "'65536' is no port: ports are whole numbers from 1 to 65535"],
    [{ portRange: '65536' }, "'65536' is no port: ports are whole numbers from 1 to 65535"],
    [{ port: 0 }, "'0' is no port: ports are whole numbers from 1 to 65535"],
    [{ network: '1.2.3.4', protocol: 'icmp', icmpType: -2 }, 'icmp type or code -2 is not in -1..255'],
    [{ network: '1.2.3.4', protocol: 'icmp', icmpType: 256 }, 'icmp type or code 256 is not in -1..255'],
    ...[
      '1.2.3.4 -j ACCEPT',
      '0/0; flush ruleset',
      '}',
      '$(id)',
      '1.2.3.4-1.2.3.3',
      '1.2.3.4/33',
      '1.2.3.4/',
      '1.2.3.4/24/8',
      '1.2.3.4-1.2.3.5-1.2.3.6',
      '1.2.3.4-',
      '::/0',
      '0a000001',
      '010.0.0.1',
      '1.2.3',
      '1.2.3.256',
    ].map(
      (network) =>
        [{ network }, `${network} is no address, CIDR or range of addresses`] as [NetOutSpec, string],
    ),
    [{ network: '1.2.3.4\n' }, '1.2.3.4\\n is no address, CIDR or range of addresses'],
    [{ network: 'x'.repeat(4_096) }, `${'x'.repeat(60)}… is no address, CIDR or range of addresses`],
    [{ portRange: '2000:1000' }, 'Port range maximum must be greater than minimum'],
    [{ portRange: '2000:2000' }, 'Port range maximum must be greater than minimum'],
    [{ portRange: '2000:' }, 'Port range maximum must be greater than minimum'],
    [{ network: '10.0.0.0/33' }, '10.0.0.0/33 is no address, CIDR or range of addresses'],
    [{ network: '10.0.0.9-10.0.0.1' }, '10.0.0.9-10.0.0.1 is no address, CIDR or range of addresses'],
    [{ port: 70_000 }, "'70000' is no port: ports are whole numbers from 1 to 65535"],
  ])('refuses egress %j', async (spec, message) => {
    const box = await warden.create();
    await expect(box.netOut(spec)).rejects.toMatchObject({ code: 'INVALID_SPEC', message });
  });

  it('says what a range of ports is beside the text of the contract', async () => {
    const box = await warden.create();
    await expect(box.netOut({ portRange: '9:1' })).rejects.toMatchObject({
      fields: { advice: expect.stringMatching(/FIRST:LAST, two whole numbers from 1 to 65535/) },
    });
  });

  it('says what a rule may name beside the text of the contract, which knows no names', async () => {
    const box = await warden.create();
    await expect(box.netOut({})).rejects.toMatchObject({
      fields: { advice: 'name what may be reached: a network, a port, a port_range, or a domain' },
    });
  });

  it('says of a name that stands for an address where names belong', async () => {
    const box = await warden.create();
    await expect(box.netOut({ network: 'registry.example.org' })).rejects.toMatchObject({
      fields: { advice: 'a name is allowed by domain, not by network' },
    });
    const refused: unknown = await box.netOut({ network: '1.2.3.256' }).catch((error: unknown) => error);
    expect((refused as WardenError).fields).not.toHaveProperty('advice');
  });

  it('takes any text of up to 4096 characters as a handle, and no longer one [SECURITY P17]', async () => {
    for (const handle of ['', 'x', '..', '/', 'a/b', '-', '\n', '\0', '😀', '\udcff', 'h'.repeat(4_096)])
      expect((await (await warden.create({ handle })).info()).state).toBe('active');
    await expect(warden.create({ handle: 'h'.repeat(4_097) })).rejects.toMatchObject({
      code: 'INVALID_SPEC',
      message: 'the handle has 4097 characters, at most 4096 will do',
    });
  });

  it('takes 1024 egress rules of a container and no more, so that every restart can bring them back', async () => {
    const box = await warden.create();
    for (let port = 1; port <= 1024; port++) await box.netOut({ port });
    await expect(box.netOut({ port: 1025 })).rejects.toMatchObject({
      code: 'POOL_EXHAUSTED',
      message: expect.stringContaining('the container has 1024 egress rules, the most it may have'),
      fields: { pool: 'egress rules', used: 1024, limit: 1024 },
    });
    await (await warden.create()).netOut({ port: 1025 });
  });

  it('turns egress requests into rules', async () => {
    const box = await warden.create();
    await box.netOut({ network: '10.1.2.3/16', portRange: ':2000' });
    await box.netOut({ network: '10.0.0.1-10.0.0.9', protocol: 'icmp', icmpType: 8, icmpCode: -1 });
    await box.netOut({ network: '1.1.1.1', protocol: 'icmp', icmpType: -1, icmpCode: 999 });
    await box.netOut({ portRange: '8080', port: 1, protocol: 'udp', icmpType: 999, log: true });
    const rules = JSON.parse(/ (\[\{.*)$/.exec(host.links.inventory()[0]!)![1]!) as object[];
    expect(rules).toEqual([
      { protocol: 'udp', log: true, ports: { first: 8080, last: 8080 } },
      { protocol: 'icmp', log: false, network: { first: '1.1.1.1', last: '1.1.1.1' } },
      { protocol: 'icmp', log: false, network: { first: '10.0.0.1', last: '10.0.0.9' }, icmpType: 8 },
      {
        protocol: 'tcp',
        log: false,
        network: { first: '10.1.0.0', last: '10.1.255.255' },
        ports: { first: 1, last: 2000 },
      },
    ]);
  });

  it('lists what is open in forms that are requests again, and takes all that are about the same [net rules]', async () => {
    const box = await warden.create();
    const asked: NetOutSpec[] = [
      { network: '10.1.2.3/16', portRange: ':2000' },
      { network: '10.0.0.1-10.0.0.9', protocol: 'icmp', icmpType: 8, icmpCode: -1 },
      { network: '10.0.0.4-10.0.0.7', protocol: 'all' },
      { port: 80, log: true },
      { domain: 'A.Example.', protocol: 'udp', portRange: '8080' },
    ];
    for (const spec of asked) await box.netOut(spec);
    const listed: NetOutSpec[] = [
      { protocol: 'tcp', network: '10.1.0.0/16', portRange: '1:2000' },
      { protocol: 'icmp', network: '10.0.0.1-10.0.0.9', icmpType: 8 },
      { protocol: 'all', network: '10.0.0.4/30' },
      { protocol: 'tcp', port: 80, log: true },
      { protocol: 'udp', domain: 'a.example', port: 8080 },
    ];
    expect((await box.netRules()).egress).toEqual(listed);
    for (const spec of listed) await box.netOut(spec);
    expect((await box.netRules()).egress).toEqual([...listed, ...listed]);
    // any address is every address, except by a name, which leads to some
    const others = [
      { network: '0.0.0.0/0', port: 80 },
      { domain: 'a.example', port: 8080 },
    ];
    expect((await box.removeNetRules({ egress: others })).egress).toHaveLength(8);
    expect((await box.removeNetRules({ egress: asked })).egress).toEqual([]);
    expect(host.links.inventory()[0]).toMatch(/ \[\]$/);
  });

  it('gives ports back to the pool, and to others', async () => {
    const [box, other] = [await warden.create(), await warden.create()];
    const { hostPort } = await box.netIn();
    await box.netIn({ hostPort: 8080 });
    const before = await warden.metrics();
    expect(await box.removeNetRules({ ports: [hostPort, 8080] })).toEqual({ ports: [], egress: [] });
    const used = ({ pools }: Awaited<ReturnType<Warden['metrics']>>): number | undefined =>
      pools.find(({ name }) => name === 'ports')?.used;
    expect(used(await warden.metrics())).toBe(used(before)! - 1);
    expect(await other.netIn({ hostPort: 8080 })).toMatchObject({ hostPort: 8080 });
    await expect(box.removeNetRules({ ports: [8080] })).resolves.toMatchObject({ ports: [] });
    expect((await other.netRules()).ports).toHaveLength(1);
  });

  it('takes nothing back when that cannot be written down, nor by a driver that cannot', async () => {
    const box = await warden.create();
    await box.netOut({ port: 80 });
    const { hostPort } = await box.netIn();
    const before = host.links.inventory();
    const { containerPath } = await box.info();
    const record = path.join(containerPath!, 'snapshot.json.new');
    fs.mkdirSync(record);
    await expect(box.removeNetRules({ ports: [hostPort], egress: [{ port: 80 }] })).rejects.toMatchObject({
      code: 'NATIVE_FAILED',
    });
    fs.rmdirSync(record);
    expect(host.links.inventory()).toEqual(before);
    expect(await box.netRules()).toMatchObject({ ports: [{ hostPort }], egress: [{ port: 80 }] });
    await core.close();
    const drivers = host.drivers();
    const { withdrawal: _none, ...supports } = drivers.network.supports;
    core = await host.start({ drivers: { ...drivers, network: { ...drivers.network, supports } } });
    const again = core.openSession().container(box.handle);
    expect(await again.netRules()).toMatchObject({ ports: [{ hostPort }], egress: [{ port: 80 }] });
    await expect(again.removeNetRules({ ports: [hostPort] })).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringContaining('cannot take back what it has opened'),
    });
    expect(host.links.inventory()).toEqual(before);
  });

  it('names what was asked for when a rule or a port to take back is none', async () => {
    const box = await warden.create();
    const wrong = [
      { egress: [{}] },
      { egress: [{ port: 0 }] },
      { egress: [{ network: 'nowhere' }] },
      { egress: [{ domain: '-' }] },
      { egress: [{ portRange: '9:1' }] },
      { ports: [0] },
    ];
    await Promise.all(
      wrong.map((rules) =>
        expect(box.removeNetRules(rules), JSON.stringify(rules)).rejects.toMatchObject({
          code: 'INVALID_SPEC',
          fields: { operation: 'net rules' },
        }),
      ),
    );
    await expect(box.netOut({ port: 0 })).rejects.toMatchObject({ fields: { operation: 'net out' } });
  });

  it('has rules about names only of a driver that has them, and records none otherwise', async () => {
    const box = await warden.create();
    await box.netOut({ domain: '*.Example.org', port: 443 });
    expect(host.links.inventory()[0]).toContain('"domain":"*.example.org"');
    await core.close();
    const drivers = host.drivers();
    const { namedEgress: _none, ...supports } = drivers.network.supports;
    core = await host.start({ drivers: { ...drivers, network: { ...drivers.network, supports } } });
    const other = await core.openSession().create();
    const before = host.links.inventory();
    await expect(other.netOut({ domain: 'a.example', port: 443 })).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringContaining('the network driver memory has no rules about names here'),
    });
    expect(host.links.inventory()).toEqual(before);
  });

  it('tells of what its network driver kept containers from, and of none that it does not know', async () => {
    await core.close();
    const drivers = host.drivers();
    let tell: Parameters<NonNullable<NetworkDriver['watchDenials']>>[0] | undefined;
    const network: NetworkDriver = {
      ...drivers.network,
      watchDenials: (listener) => {
        tell = listener;
      },
    };
    core = await host.start({ drivers: { ...drivers, network } });
    const session = core.openSession();
    await session.create({ handle: 'denied' });
    const events = await session.events({ types: ['network-denied'] });
    const id = Object.keys(Object.fromEntries(host.links.links))[0]!;
    const what = { destination: '192.0.2.1', protocol: 'tcp', port: 443, count: 3 } as const;
    tell?.([
      { id: 'zzzzzzzzzzz', ...what },
      { id, ...what },
      { id, name: 'a.example', protocol: 'dns', count: 1 },
    ]);
    expect((await events.next()).value).toMatchObject({ type: 'network-denied', handle: 'denied', ...what });
    expect((await events.next()).value).toMatchObject({
      handle: 'denied',
      name: 'a.example',
      protocol: 'dns',
    });
    await events.return?.();
  });

  it('gives nobody a network that the host has on links of others, also of a pool that has grown', async () => {
    await core.close();
    const drivers = host.drivers();
    let foreign = ['10.254.0.1', '10.254.0.9'];
    const network: NetworkDriver = { ...drivers.network, foreignAddresses: async () => foreign };
    const warn = vi.fn();
    core = await host.start({
      drivers: { ...drivers, network },
      network: { ...NETWORK, pool: '10.254.0.0/28' },
      logger: { ...silentLogger, warn },
    });
    expect(warn).toHaveBeenCalledWith(
      'networks-in-use',
      expect.objectContaining({ count: 2, addresses: foreign }),
    );
    const session = core.openSession();
    const addressOf = async (): Promise<string> => (await (await session.create()).info()).containerIp!;
    expect([await addressOf(), await addressOf()]).toEqual(['10.254.0.6', '10.254.0.14']);
    await expect(session.create()).rejects.toMatchObject({ code: 'POOL_EXHAUSTED' });
    await expect(session.create({ network: '10.254.0.8' })).rejects.toMatchObject({ code: 'POOL_EXHAUSTED' });
    foreign = [...foreign, '10.254.0.5', '10.254.0.22'];
    await core.reconfigure({ network: { ...NETWORK, pool: '10.254.0.0/27' } });
    expect([await addressOf(), await addressOf(), await addressOf()]).toEqual([
      '10.254.0.18',
      '10.254.0.26',
      '10.254.0.30',
    ]);
    await expect(session.create()).rejects.toMatchObject({ code: 'POOL_EXHAUSTED' });
    // of one that is its own, whatever the link says
    expect(warn).toHaveBeenLastCalledWith('networks-in-use', expect.objectContaining({ count: 3 }));
  });

  it("puts back rules that its network driver misses: the host's, and those of each container; again until it has succeeded", async () => {
    await core.close();
    const drivers = host.drivers();
    const calls: string[] = [];
    let miss: (() => void) | undefined;
    let refusals = 0;
    const network: NetworkDriver = {
      ...drivers.network,
      watchRules: (listener) => {
        miss = listener;
      },
      setup: async (spec) => {
        calls.push('setup');
        if (refusals-- > 0) throw new Error('no memory for rules');
        await drivers.network.setup(spec);
      },
      restore: async (spec, state, recorded) => {
        calls.push(`restore ${recorded.egress.length}`);
        await drivers.network.restore(spec, state, recorded);
      },
    };
    const logged: string[] = [];
    const log = (message: string): number => logged.push(message);
    core = await host.start({
      drivers: { ...drivers, network },
      logger: { ...silentLogger, warn: log, error: log },
    });
    const session = core.openSession();
    const box = await session.create({ handle: 'ruled' });
    await box.netOut({ network: '198.51.100.0/24' });
    await session.create({ handle: 'plain' });
    calls.length = 0;
    refusals = 2;
    for (const round of [1, 2]) {
      miss!();
      miss!(); // it is at it
      await vi.waitFor(() => expect(calls).toHaveLength(round), SOON);
      await delay(1);
    }
    miss!();
    await vi.waitFor(() => expect(logged).toEqual(['rules-not-put-back', 'rules-put-back']), SOON);
    expect(calls.splice(0)).toEqual(['setup', 'setup', 'setup', 'restore 1', 'restore 0']);
    await core.close();
    miss!();
    await delay(1);
    expect(calls).toEqual([]);
  });

  it.each([false, true])(
    'throws the layer away before its files are removed one by one; fails: %s',
    async (fails) => {
      await core.close();
      const drivers = host.drivers();
      const { filesystem, quota } = drivers;
      const calls: string[] = [];
      core = await host.start({
        drivers: {
          ...drivers,
          filesystem: {
            ...filesystem,
            release: async (...call) => {
              calls.push('filesystem.release');
              await filesystem.release(...call);
            },
          },
          quota: {
            ...quota,
            discard: async () => {
              calls.push('quota.discard');
              if (fails) throw new WardenError('NATIVE_FAILED', 'no image');
            },
            release: async (...call) => {
              calls.push('quota.release');
              await quota.release(...call);
            },
          },
        },
      });
      await (await core.openSession().create()).destroy();
      expect(calls).toEqual(['quota.discard', 'filesystem.release', 'quota.release']);
    },
  );

  it('stops a container whose memory ran out, with an event', async () => {
    const box = await warden.create();
    expect(await box.limitMemory()).toBe(9_223_372_036_854_771_712n);
    expect(await box.limitMemory(1_048_576n)).toBe(1_048_576n);
    const [group] = host.groups.groups.keys();
    host.groups.join(`${group}/cgroup.procs`, { pid: 7, rss: 0n, onEnd: () => {} });
    host.groups.allocate(7, 2_000_000);
    await vi.waitFor(
      async () => expect(await box.info()).toMatchObject({ state: 'stopped', events: ['out of memory'] }),
      SOON,
    );
  });
});
