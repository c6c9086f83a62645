import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { TestNamespace } from './test-namespace.ts';
import type { Topology } from './test-topology.ts';
import { makeContainer, makeDriver, makeTopology, POLICY, specOf } from './test-topology.ts';

const A = specOf(0);
const TCP = { protocol: 'tcp', ports: { first: 80, last: 90 }, log: false } as const;
const driver = makeDriver();
let net: Topology;

beforeAll(async () => {
  net = await makeTopology();
});
beforeEach(() => driver.setup(POLICY));
afterAll(async () => {
  await driver.close();
  await net.close();
});

/** The table without the handles, which count up. */
function table(name = 'warden-test'): string {
  // whose denials were told just now ends by itself
  if (name !== 'foreign') net.host.run('nft', 'flush', 'set', 'inet', name, 'told');
  return net.host.run('nft', '-j', 'list', 'table', 'inet', name).replaceAll(/"handle": \d+/g, '');
}

function linkExists(n: number): boolean {
  return existsSync(`/proc/sys/net/ipv4/conf/w-${specOf(n).id}-0`);
}

async function linkGone(n: number): Promise<boolean> {
  for (let i = 0; i < 100 && linkExists(n); i++) await delay(50);
  return !linkExists(n);
}

describe('probe', () => {
  it('succeeds here and leaves nothing', async () => {
    const before = net.host.run('ip', 'link');
    const one = makeDriver();
    expect(await one.probe()).toEqual({ ok: true });
    expect(net.host.run('ip', 'link')).toBe(before);
    await one.close();
  });
  it('gives back what it was tried in: when the driver closes, or by itself a moment later', async () => {
    const sockets = (): string[] =>
      readdirSync('/proc/self/fd').flatMap((fd) => {
        try {
          const target = readlinkSync(`/proc/self/fd/${fd}`);
          return target.startsWith('socket:') ? [target] : [];
        } catch {
          return []; // the one that lists
        }
      });
    const before = sockets();
    const added = (): string[] => sockets().filter((one) => !before.includes(one));
    const [one, other] = [makeDriver(), makeDriver()];
    expect(await one.probe()).toEqual({ ok: true });
    expect(await one.probe()).toEqual({ ok: true });
    expect(added()).toHaveLength(2);
    await one.close();
    expect(added()).toEqual([]);
    expect(await other.probe()).toEqual({ ok: true });
    expect(added()).toHaveLength(2);
    await expect.poll(added, { timeout: 30_000 }).toEqual([]);
    await other.close();
  });
});

describe('setup', () => {
  it('twice is the same as once', async () => {
    const once = table();
    await driver.setup(POLICY);
    expect(table()).toBe(once);
  });

  it('leaves foreign tables alone', async () => {
    net.host.run(
      'nft',
      'add table inet foreign; add chain inet foreign c { type filter hook forward priority 5; policy accept; }; add rule inet foreign c counter',
    );
    const foreign = table('foreign');
    await driver.setup(POLICY);
    const container = await makeContainer(driver, A);
    await driver.release(A, {});
    await driver.sweep(new Set());
    expect(table('foreign')).toBe(foreign);
    net.host.run('nft', 'delete table inet foreign');
    await container.close();
  });

  it('enables forwarding', () => {
    expect(net.host.run('cat', '/proc/sys/net/ipv4/ip_forward').trim()).toBe('1');
  });
});

describe('attach and release', () => {
  it('makes the link as planned and leaves nothing', async () => {
    const before = table();
    const container = await makeContainer(driver, A);
    const { gatewayMac, interface: name } = driver.inside(A, driver.plan(A));
    const host = net.host.run('ip', '-d', 'address', 'show', `w-${A.id}-0`);
    expect(host).toContain(`link/ether ${gatewayMac}`);
    expect(host).toContain(`inet ${A.hostIp}/30 brd 10.254.0.3`);
    expect(host).toMatch(/NOARP.*UP.*mtu 1500/);
    expect(host).not.toContain('inet6');
    expect(container.run('ip', 'link', 'show', name)).toContain('mtu 1500');
    expect(net.host.run('ip', 'neighbour', 'show', A.containerIp)).toContain('PERMANENT');
    await driver.mapPort(A, {}, { hostPort: 8080, containerPort: 80 });
    await driver.allowEgress(A, {}, TCP);
    expect(table()).not.toBe(before);
    await driver.release(A, {});
    expect(table()).toBe(before);
    await driver.release(A, {});
    await container.close();
    expect(await linkGone(0)).toBe(true);
  });

  it('is cut off at once by release while it still runs', async () => {
    await driver.setup({ ...POLICY, allowNetworks: ['0.0.0.0/0'] });
    const container = await makeContainer(driver, A);
    expect(await container.ping('203.0.113.2')).toBe(true);
    await driver.release(A, {});
    expect(await container.ping('203.0.113.2')).toBe(false);
    await container.close();
  });

  it('replaces a link that a crash left behind', async () => {
    const container = await makeContainer(driver, A);
    await driver.attach(A, {}, container.pid);
    expect(linkExists(0)).toBe(true);
    await driver.release(A, {});
    await container.close();
  });

  it('does not come back with another setup while its link has not gone yet', async () => {
    const before = table();
    const container = await makeContainer(driver, A);
    await driver.release(A, {});
    expect(linkExists(0)).toBe(true);
    await driver.setup(POLICY);
    expect(table()).toBe(before);
    await container.close();
    expect(await linkGone(0)).toBe(true);
  });

  it('takes the links away after a while, each in its time, when the namespaces outlive the containers', async () => {
    const containers: TestNamespace[] = [];
    for (const n of [0, 1, 2]) containers.push(await makeContainer(driver, specOf(n)));
    for (const n of [0, 1, 2]) {
      await driver.release(specOf(n), {});
      await delay(700);
    }
    expect([0, 1, 2].map(linkExists)).toEqual([true, true, true]);
    await containers[1]!.close();
    expect(await linkGone(1)).toBe(true);
    for (const n of [0, 2])
      await expect.poll(() => linkExists(n), { timeout: 30_000, interval: 100 }).toBe(false);
    await containers[0]!.close();
    await containers[2]!.close();
  });

  it('leaves nothing when the process is gone', async () => {
    const container = await TestNamespace.make();
    await container.close();
    const before = table();
    await expect(driver.attach(A, {}, container.pid)).rejects.toMatchObject({
      code: 'NATIVE_FAILED',
      fields: { operation: 'attach', object: `w-${A.id}-0`, errno: 'ESRCH' },
    });
    expect(table()).toBe(before);
    expect(linkExists(0)).toBe(false);
  });

  it('leaves nothing when the address is refused', async () => {
    const container = await TestNamespace.make();
    const before = table();
    await expect(driver.attach({ ...A, mtu: 10 }, {}, container.pid)).rejects.toMatchObject({
      code: 'NATIVE_FAILED',
    });
    await expect(driver.attach({ ...A, prefixLength: 99 }, {}, container.pid)).rejects.toMatchObject({
      code: 'NATIVE_FAILED',
    });
    expect(table()).toBe(before);
    expect(linkExists(0)).toBe(false);
    await container.close();
  });

  it('releases what is missing in part, or was never there', async () => {
    const container = await makeContainer(driver, A);
    await driver.allowEgress(A, {}, { protocol: 'tcp', log: false });
    net.host.run('nft', `delete element inet warden-test containers { "w-${A.id}-0" }`);
    net.host.run('nft', `delete element inet warden-test interfaces { "w-${A.id}-0" }`);
    await driver.release(A, {});
    expect(net.host.run('nft', 'list', 'table', 'inet', 'warden-test')).not.toContain(A.id);
    net.host.run('nft', 'delete', 'table', 'inet', 'warden-test');
    await driver.release(A, {});
    await makeDriver('warden-absent').release(A, {});
    await container.close();
  });
});

describe('sweep', () => {
  it('removes rules, ports and links of all but the kept, and nothing of another table', async () => {
    const other = makeDriver('warden-other');
    await other.setup({ ...POLICY, pool: '10.253.0.0/22' });
    const containers = [
      await makeContainer(driver, specOf(0)),
      await makeContainer(driver, specOf(1)),
      await makeContainer(other, specOf(2)),
    ];
    await driver.mapPort(specOf(0), {}, { hostPort: 8080, containerPort: 80 });
    const next = makeDriver();
    await next.setup(POLICY);
    expect(await next.sweep(new Set([specOf(1).id]))).toEqual([specOf(0).id]);
    expect([0, 1, 2].map(linkExists)).toEqual([false, true, true]);
    expect(table()).not.toContain(specOf(0).id);
    expect(table()).toContain(specOf(1).id);
    expect(await next.sweep(new Set())).toEqual([specOf(1).id]);
    expect(await other.sweep(new Set())).toEqual([specOf(2).id]);
    expect([0, 1, 2].map(linkExists)).toEqual([false, false, false]);
    await Promise.all([next.close(), other.close(), ...containers.map((container) => container.close())]);
  });
});

it("names the addresses of its pool that links of others have, another driver's among them, and none of its own", async () => {
  const other = makeDriver('warden-other');
  await other.setup(POLICY);
  const theirs = specOf(3);
  const [mine, another] = [await makeContainer(driver, A), await makeContainer(other, theirs)];
  net.host.run('ip', 'address', 'add', '10.254.3.200/32', 'dev', 'lo');
  try {
    await driver.setup(POLICY);
    await other.setup(POLICY);
    expect([...(await driver.foreignAddresses!())].sort()).toEqual([theirs.hostIp, '10.254.3.200'].sort());
    expect([...(await other.foreignAddresses!())].sort()).toEqual([A.hostIp, '10.254.3.200'].sort());
  } finally {
    net.host.run('ip', 'address', 'del', '10.254.3.200/32', 'dev', 'lo');
    await driver.release(A, {});
    await other.release(theirs, {});
    await Promise.all([mine.close(), another.close()]);
    await other.close();
    net.host.run('nft', 'delete table inet warden-other');
  }
});
