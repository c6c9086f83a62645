import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { NetworkDriver } from '@warden/interface';
import { silentLogger } from '@warden/interface';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BANDWIDTH_MODES } from '../src/bandwidth.ts';
import type { BandwidthMode } from '../src/index.ts';
import { nftablesNetwork } from '../src/index.ts';
import type { TestNamespace } from './test-namespace.ts';
import type { Topology } from './test-topology.ts';
import { makeContainer, makeTopology, OUTSIDE, POLICY, specOf } from './test-topology.ts';
import { bytesSent } from './throughput.ts';

const A = specOf(0);
const B = specOf(1);
const UNLIMITED = 4294967295n;
const RATE = 500_000;
const BURST = 30_000;
const LIMIT = { rate: BigInt(RATE), burst: BigInt(BURST) };
const SECONDS = 2;
const HOST_END = `w-${A.id}-0`;
const shaperOf = ({ id }: typeof A): string => `w-${id}-2`;
const SHAPER = shaperOf(A);

function make(bandwidth?: BandwidthMode): NetworkDriver {
  const options = { table: 'warden-test', ...(bandwidth === undefined ? {} : { bandwidth }) };
  return nftablesNetwork(options)({ logger: silentLogger });
}

it('chooses queues on a kernel that has them', async () => {
  const driver = make();
  expect(driver.supports.bandwidth).toBe(true);
  await driver.close();
});

describe.each(['queue', 'ends', 'limit'] as const)('bandwidth by %s', (mode) => {
  let net: Topology;
  let driver: NetworkDriver;
  let a: TestNamespace;
  let b: TestNamespace;
  // A rule grants one second's worth beside the burst; a queue holds 25 ms of it.
  const grant = BURST + (mode === 'limit' ? RATE : 0);
  /** 1.3: headers are not counted at the sink, but the clock of a busy machine is late. */
  const most = (seconds: number, rate = RATE): number => 1.3 * rate * seconds + grant + 70_000;

  beforeAll(async () => {
    net = await makeTopology();
    driver = make(mode);
    await driver.setup({ ...POLICY, allowNetworks: [OUTSIDE] });
    a = await makeContainer(driver, A);
    b = await makeContainer(driver, B);
  }, 30_000);
  afterAll(async () => {
    for (const spec of [A, B]) await driver.release(spec, {});
    await driver.close();
    await Promise.all([a.close(), b.close()]);
    await net.close();
  });

  const up = (seconds = SECONDS, meanwhile?: () => Promise<void>): Promise<number> =>
    bytesSent({ from: a, to: net.outside, address: OUTSIDE }, seconds, meanwhile);
  const down = (seconds = SECONDS): Promise<number> =>
    bytesSent({ from: net.host, to: a, address: A.containerIp }, seconds);

  it('reports no limit as 4294967295 and has none [protocol 8 Info BandwidthStat]', async () => {
    expect(await driver.bandwidth(A, {})).toEqual({
      inRate: UNLIMITED,
      inBurst: UNLIMITED,
      outRate: UNLIMITED,
      outBurst: UNLIMITED,
    });
    expect(await up(1)).toBeGreaterThan(4 * RATE);
    expect(await down(1)).toBeGreaterThan(4 * RATE);
  }, 60_000);

  it('holds the set rate in both directions, and of this container only [behaviour 5 LimitBandwidth]', async () => {
    await driver.setBandwidth(A, {}, LIMIT);
    for (const measured of [await up(), await down()]) {
      expect(measured).toBeLessThan(most(SECONDS));
      expect(measured).toBeGreaterThan(0.15 * RATE * SECONDS);
    }
    expect(await bytesSent({ from: b, to: net.outside, address: OUTSIDE }, 1)).toBeGreaterThan(4 * RATE);
  }, 60_000);

  it('reports the requested numbers in all four fields and replaces them [linux-container 25 limit_bandwidth]', async () => {
    for (const [rate, burst] of [
      [100_000n, 1_000n],
      [200_000n, 2_000n],
    ] as const) {
      await driver.setBandwidth(A, {}, { rate, burst });
      expect(await driver.bandwidth(A, {})).toEqual({
        inRate: rate,
        inBurst: burst,
        outRate: rate,
        outBurst: burst,
      });
    }
  });

  it('has no unlimited moment while the numbers change [linux-container 16.3]', async () => {
    await driver.setBandwidth(A, {}, LIMIT);
    const changes = async (): Promise<void> => {
      for (let i = 0; i < 40; i++) {
        await driver.setBandwidth(A, {}, { rate: BigInt(RATE - (i % 2) * 1_000), burst: LIMIT.burst });
        await delay(20);
      }
    };
    // Each change fills the bucket; a redirection or a queue that was lost for a moment would let far more through.
    expect(await up(SECONDS, changes)).toBeLessThan(most(SECONDS) + 40 * grant);
  }, 60_000);

  it('lets a full packet pass however small the burst, and is out of the reach of root inside', async () => {
    await driver.setBandwidth(A, {}, { rate: LIMIT.rate, burst: 1n });
    const inside = driver.inside(A, {}).interface;
    // with the capabilities of this test, which no container has, the far end's bucket could be taken away
    for (const where of mode === 'ends' ? [] : (['root', 'ingress'] as const))
      a.try('tc', 'qdisc', 'del', 'dev', inside, where);
    if (mode !== 'ends') a.run('ip', 'link', 'set', inside, 'txqueuelen', '100000');
    const measured = await up();
    expect(measured).toBeGreaterThan(0.05 * RATE * SECONDS);
    expect(measured).toBeLessThan(most(SECONDS));
  }, 60_000);

  it('lets a full packet of the link that there is pass, whatever MTU the next daemon gives to new ones', async () => {
    const large = { ...specOf(2), mtu: 9_000 };
    const c = await makeContainer(driver, large);
    const link = `w-${large.id}-0`;
    const next = make(mode);
    try {
      await next.setup({ ...POLICY, allowNetworks: [OUTSIDE] });
      const bandwidth = { rate: 1_000n, burst: 1n };
      await next.restore({ ...large, mtu: 1_500 }, {}, { mappings: [], egress: [], bandwidth });
      const shown =
        mode === 'limit'
          ? net.host.run('nft', 'list', 'table', 'inet', 'warden-test')
          : net.host.run('tc', 'qdisc', 'show', 'dev', link);
      expect(shown).toMatch(mode === 'limit' ? /burst 9014 bytes/ : /burst 9014b/);
      if (mode === 'queue') expect(net.host.run('ip', 'link', 'show', shaperOf(large))).toMatch(/ mtu 9000 /);
    } finally {
      await next.release(large, {});
      await next.close();
      await c.close();
    }
  }, 60_000);

  it.each([
    [0n, 1n, 'rate'],
    [-1n, 1n, 'rate'],
    [1n << 64n, 1n, 'rate'],
    [1n, 0n, 'burst'],
    [1n, 1n << 32n, 'burst'],
  ])('refuses rate %s with burst %s, and the earlier limit stays', async (rate, burst, object) => {
    await driver.setBandwidth(A, {}, LIMIT);
    await expect(driver.setBandwidth(A, {}, { rate, burst })).rejects.toMatchObject({
      code: 'INVALID_SPEC',
      fields: { operation: 'set-bandwidth', object },
    });
    expect((await driver.bandwidth(A, {})).inRate).toBe(LIMIT.rate);
  });

  it.each([
    [1n, 1n],
    [UNLIMITED, UNLIMITED],
    [UNLIMITED + 1n, 100_000n],
    [1n << 40n, 1_000_000n],
    [(1n << 64n) - 1n, UNLIMITED],
  ])(
    'takes rate %s with burst %s',
    async (rate, burst) => {
      await driver.setBandwidth(A, {}, { rate, burst });
      expect(await driver.bandwidth(A, {})).toMatchObject({ outRate: rate, outBurst: burst });
      if (rate === 1n << 40n) expect(await up(0.3)).toBeGreaterThan(RATE);
    },
    30_000,
  );

  it('is put in force again by restore, whatever was done to it meanwhile, and taken away where none is recorded', async () => {
    await driver.setBandwidth(A, {}, LIMIT);
    const recorded = { mappings: [], egress: [], bandwidth: LIMIT };
    if (mode !== 'limit') {
      if (mode === 'queue') net.host.run('ip', 'link', 'delete', SHAPER);
      else a.run('tc', 'qdisc', 'del', 'dev', driver.inside(A, {}).interface, 'root');
      net.host.run('tc', 'qdisc', 'del', 'dev', HOST_END, 'root');
    } else net.host.run('nft', 'flush', 'map', 'inet', 'warden-test', 'limited');
    const next = make(mode);
    await next.setup({ ...POLICY, allowNetworks: [OUTSIDE] });
    await next.restore(A, {}, recorded);
    expect(await next.bandwidth(A, {})).toMatchObject({ inRate: LIMIT.rate, outBurst: LIMIT.burst });
    for (const measured of [await up(), await down()]) {
      expect(measured).toBeLessThan(most(SECONDS));
      expect(measured).toBeGreaterThan(0.15 * RATE * SECONDS);
    }
    await next.restore(A, {}, { mappings: [], egress: [] });
    expect((await next.bandwidth(A, {})).inRate).toBe(UNLIMITED);
    expect(await up(1)).toBeGreaterThan(4 * RATE);
    expect(await down(1)).toBeGreaterThan(4 * RATE);
    await next.close();
  }, 60_000);

  it.each(BANDWIDTH_MODES.filter((other) => other !== mode))(
    'changes its way to %s at a restart, and leaves nothing of the other one',
    async (way) => {
      const traces = (): readonly BandwidthMode[] =>
        BANDWIDTH_MODES.filter((one) => {
          if (one === 'queue') return existsSync(`/proc/sys/net/ipv4/conf/${SHAPER}`);
          if (one === 'ends')
            return a.run('tc', 'qdisc', 'show', 'dev', driver.inside(A, {}).interface).includes('tbf');
          return net.host.run('nft', 'list', 'ruleset').includes(`b-${A.id}`);
        });
      const nearQueue = (): boolean => net.host.run('tc', 'qdisc', 'show', 'dev', HOST_END).includes('tbf');
      const recorded = { mappings: [], egress: [], bandwidth: LIMIT };
      await driver.setBandwidth(A, {}, LIMIT);
      expect([traces(), nearQueue()]).toEqual([[mode], mode !== 'limit']);
      const other = make(way);
      await other.setup({ ...POLICY, allowNetworks: [OUTSIDE] });
      // until it is restored, which it never is when it was set aside
      for (const measured of [await up(1), await down(1)]) expect(measured).toBeLessThan(most(1));
      await other.restore(A, {}, recorded);
      expect([traces(), nearQueue()]).toEqual([[way], way !== 'limit']);
      await other.restore(A, {}, { mappings: [], egress: [] });
      expect([traces(), nearQueue()]).toEqual([[], false]);
      await other.close();
      await driver.setup({ ...POLICY, allowNetworks: [OUTSIDE] });
      await driver.restore(A, {}, recorded);
      expect([traces(), nearQueue()]).toEqual([[mode], mode !== 'limit']);
    },
    60_000,
  );

  it('goes with the container, also by sweep', async () => {
    const table = (): string => net.host.run('nft', 'list', 'table', 'inet', 'warden-test');
    const before = table();
    for (const remove of [
      () => driver.release(specOf(2), {}),
      async () => {
        const next = make(mode);
        await next.setup({ ...POLICY, allowNetworks: [OUTSIDE] });
        expect(await next.sweep(new Set([A.id, B.id]))).toEqual([specOf(2).id]);
        await next.close();
      },
    ]) {
      const c = await makeContainer(driver, specOf(2));
      await driver.setBandwidth(specOf(2), {}, LIMIT);
      expect(table() !== before || existsSync(`/proc/sys/net/ipv4/conf/w-${specOf(2).id}-2`)).toBe(true);
      await remove();
      expect(existsSync(`/proc/sys/net/ipv4/conf/w-${specOf(2).id}-2`)).toBe(false);
      expect(table()).toBe(before);
      await c.close();
      await driver.release(specOf(2), {});
    }
  }, 30_000);
});

describe('the shaping device', () => {
  it('is up with the MTU and the mark of the other devices while there is a limit [behaviour 15.4 devices]', async () => {
    const net = await makeTopology();
    const driver = make('queue');
    await driver.setup(POLICY);
    const spec = { ...A, mtu: 1454 };
    const a = await makeContainer(driver, spec);
    await driver.setBandwidth(spec, {}, LIMIT);
    const shown = net.host.run('ip', '-d', 'link', 'show', SHAPER);
    expect(shown).toMatch(/<BROADCAST,NOARP,UP,LOWER_UP> mtu 1454/);
    expect(shown).toContain('alias warden-test');
    expect(net.host.run('ip', 'address', 'show', SHAPER)).not.toContain('inet');
    expect(net.host.run('ip', 'link', 'show', HOST_END)).toMatch(/LOWER_UP> mtu 1454/);
    expect(net.host.run('tc', 'qdisc', 'show', 'dev', SHAPER)).toMatch(/tbf .* rate 4Mbit burst .* lat 25ms/);
    await driver.release(spec, {});
    await driver.close();
    await a.close();
    await net.close();
  }, 30_000);
});
