/**
 * How refused packets are told: the daemon is woken by the kernel, and not otherwise; and where the kernel
 * only counts, their number.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { NetworkDenial, NetworkDriver, NetworkSpec } from '@warden/interface';
import { silentLogger } from '@warden/interface';
import { NetlinkSocket } from '@warden/native';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { nftablesNetwork } from '../src/index.ts';
import type { TestNamespace } from './test-namespace.ts';
import type { Topology } from './test-topology.ts';
import { FAR, HOST, makeContainer, makeTopology, OUTSIDE, POLICY, specOf } from './test-topology.ts';

const [A, B, C] = [specOf(0), specOf(1), specOf(2)];
const SOON = { timeout: 15_000, interval: 50 };
/** Sends datagrams that are refused, from one port each so that the kernel has no reason to keep any. */
const KNOCK = `
import socket, sys
for _ in range(int(sys.argv[2])):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b'x', (sys.argv[1], 99)); s.close()
`;

let net: Topology;
let driver: NetworkDriver;
let told: NetworkDenial[] = [];
const open: [NetworkSpec, TestNamespace][] = [];

beforeAll(async () => {
  net = await makeTopology();
}, 30_000);
afterEach(async () => {
  vi.restoreAllMocks();
  for (const [spec, namespace] of open.splice(0)) {
    await driver.release(spec, {});
    await namespace.close();
  }
  await driver.sweep(new Set());
  await driver.close();
});
afterAll(() => net.close());

async function start(denials?: 'each' | 'totals'): Promise<void> {
  told = [];
  driver = nftablesNetwork({ table: 'warden-test', ...(denials && { denials }) })({ logger: silentLogger });
  driver.watchDenials?.((some) => {
    told = [...told, ...some];
  });
  await driver.setup(POLICY);
}

async function container(spec: NetworkSpec): Promise<TestNamespace> {
  const made = await makeContainer(driver, spec);
  open.push([spec, made]);
  return made;
}

const knock = (from: TestNamespace, address: string, times: number): string =>
  from.run('python3', '-c', KNOCK, address, String(times));
const sum = (id: string): number => told.reduce((total, one) => total + (one.id === id ? one.count : 0), 0);

describe('a daemon that is told of each', () => {
  it('is woken by the kernel, reads what came together at once, and rests again', async () => {
    await start();
    expect(driver.supports.denials).toEqual({ packets: 'each' });
    const a = await container(A);
    const drains = vi.spyOn(NetlinkSocket.prototype, 'drain');
    await delay(1_300);
    expect(drains).not.toHaveBeenCalled();
    knock(a, OUTSIDE, 3);
    await expect.poll(() => sum(A.id), SOON).toBe(3);
    expect(
      told.every(
        ({ destination, protocol, port }) => destination === OUTSIDE && protocol === 'udp' && port === 99,
      ),
    ).toBe(true);
    expect(drains.mock.calls.length).toBeLessThanOrEqual(2);
    const woken = drains.mock.calls.length;
    await delay(1_300);
    expect(drains.mock.calls.length).toBe(woken);
    // and is woken again
    knock(a, FAR, 2);
    await expect.poll(() => sum(A.id), SOON).toBe(5);
  });
});

describe('of each container', () => {
  it('so much is told in a while, with rules of its own or without, and as much of the others', async () => {
    await start();
    const [a, b, c] = [await container(A), await container(B), await container(C)];
    await driver.allowEgress(
      C,
      {},
      { protocol: 'tcp', log: false, network: { first: OUTSIDE, last: OUTSIDE } },
    );
    const began = performance.now();
    for (const loud of [a, c]) knock(loud, OUTSIDE, 400);
    const seconds = (performance.now() - began) / 1_000;
    knock(b, OUTSIDE, 20);
    await expect.poll(() => sum(B.id), SOON).toBe(20);
    for (const { id } of [A, C]) {
      expect(sum(id)).toBeGreaterThanOrEqual(40);
      expect(sum(id)).toBeLessThanOrEqual(41 + 10 * (seconds + 1));
    }
    const remembered = (): string => net.host.run('nft', 'list', 'set', 'inet', 'warden-test', 'told');
    await expect.poll(remembered, SOON).not.toContain('elements');
  });
});

describe('a daemon whose kernel only counts', () => {
  it('tells how many there were of each container, towards wherever, and says why not more', async () => {
    await start('totals');
    expect(driver.supports.denials).toEqual({
      packets: 'totals',
      reason: 'only their number was asked for',
    });
    const [a, b] = [await container(A), await container(B)];
    knock(a, OUTSIDE, 5);
    knock(a, HOST, 2);
    knock(b, FAR, 3);
    await expect.poll(() => [sum(A.id), sum(B.id)], SOON).toEqual([7, 3]);
    expect(told.map(({ count: _count, id: _id, ...rest }) => rest)).toEqual(
      told.map(() => ({ protocol: 'any' })),
    );
    await driver.allowEgress(
      A,
      {},
      { protocol: 'udp', log: false, network: { first: OUTSIDE, last: OUTSIDE } },
    );
    knock(a, OUTSIDE, 4);
    knock(a, FAR, 1);
    await expect.poll(() => sum(A.id), SOON).toBe(8);
  });

  it('counts for who has the address, tells the last ones at the end, and not what was before its start', async () => {
    await start('totals');
    knock(await container(A), OUTSIDE, 6);
    const [[spec, first]] = open.splice(0) as [[NetworkSpec, TestNamespace]];
    await driver.release(spec, {});
    await first.close();
    expect(sum(A.id)).toBe(6);
    const heir = { ...A, id: specOf(7).id };
    knock(await container(heir), OUTSIDE, 2);
    await expect.poll(() => sum(heir.id), SOON).toBe(2);
    expect(sum(A.id)).toBe(6);
    // the next daemon finds what was counted, and begins behind it
    await driver.close();
    knock(open[0]![1], OUTSIDE, 9);
    await start('totals');
    await driver.restore(heir, {}, { mappings: [], egress: [] });
    knock(open[0]![1], OUTSIDE, 1);
    await expect.poll(() => sum(heir.id), SOON).toBe(1);
  });
});
