/**
 * The network of the suites, all of it namespaces of the test:
 *
 *     containers ==w-…== host (the test and the driver) ==wt-up= outside
 *     10.254.0.x                         203.0.113.1         203.0.113.2, 198.51.100.1 (by the default route)
 */
import type { NetworkDriver, NetworkSpec } from '@warden/interface';
import { silentLogger } from '@warden/interface';
import { nftablesNetwork } from '../src/index.ts';
import { TestNamespace } from './test-namespace.ts';

export const HOST = '203.0.113.1';
export const OUTSIDE = '203.0.113.2';
export const FAR = '198.51.100.1';
export const POLICY = {
  pool: '10.254.0.0/22',
  allowNetworks: [],
  denyNetworks: [],
  allowHostAccess: false,
} as const;

export interface Topology {
  readonly host: TestNamespace;
  readonly outside: TestNamespace;
  close(): Promise<void>;
}

/** The name of the host's outward link can be another one, as it is in a container. */
export async function makeTopology(uplink = 'wt-up'): Promise<Topology> {
  const host = TestNamespace.own();
  const outside = await TestNamespace.make();
  host.run(
    'ip',
    'link',
    'add',
    uplink,
    'type',
    'veth',
    'peer',
    'name',
    'wt-out',
    'netns',
    String(outside.pid),
  );
  // Refusals are answered as fast as they are asked for, whatever the tests before have asked.
  host.run('sh', '-c', 'echo 0 >/proc/sys/net/ipv4/icmp_ratelimit');
  host.run('ip', 'address', 'add', `${HOST}/24`, 'dev', uplink);
  host.run('ip', 'link', 'set', uplink, 'up');
  outside.run('ip', 'address', 'add', `${OUTSIDE}/24`, 'dev', 'wt-out');
  outside.run('ip', 'address', 'add', `${FAR}/32`, 'dev', 'wt-out');
  outside.run('ip', 'link', 'set', 'wt-out', 'up');
  outside.run('ip', 'route', 'add', '10.254.0.0/22', 'via', HOST);
  host.run('ip', 'route', 'add', 'default', 'via', OUTSIDE);
  return {
    host,
    outside,
    close: async () => {
      host.run('ip', 'link', 'delete', uplink);
      await Promise.all([host.close(), outside.close()]);
    },
  };
}

export function makeDriver(table = 'warden-test'): NetworkDriver {
  return nftablesNetwork({ table })({ logger: silentLogger });
}

/** The n-th /30 of the pool. */
export function specOf(n: number): NetworkSpec {
  return {
    id: `t${String(n).padStart(10, '0')}`,
    hostIp: `10.254.0.${n * 4 + 1}`,
    containerIp: `10.254.0.${n * 4 + 2}`,
    prefixLength: 30,
    mtu: 1500,
  };
}

/** A namespace attached by the driver and configured as init does it. */
export async function makeContainer(driver: NetworkDriver, spec: NetworkSpec): Promise<TestNamespace> {
  const container = await TestNamespace.make();
  const state = driver.plan(spec);
  await driver.attach(spec, state, container.pid);
  const inside = driver.inside(spec, state);
  container.run('ip', 'address', 'add', `${inside.address}/${inside.prefixLength}`, 'dev', inside.interface);
  container.run('ip', 'link', 'set', inside.interface, 'up');
  container.run(
    'ip',
    'neighbour',
    'add',
    inside.gateway,
    'lladdr',
    inside.gatewayMac,
    'dev',
    inside.interface,
    'nud',
    'permanent',
  );
  container.run('ip', 'route', 'add', 'default', 'via', inside.gateway);
  return container;
}
