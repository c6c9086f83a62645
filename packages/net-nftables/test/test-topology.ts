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
  // Refusals are answered as fast as they are asked for, whatever the tests before have asked.
  host.run('sh', '-c', 'echo 0 >/proc/sys/net/ipv4/icmp_ratelimit');
  host.ip(
    `link add ${uplink} type veth peer name wt-out netns ${outside.pid}`,
    `address add ${HOST}/24 dev ${uplink}`,
    `link set ${uplink} up`,
    `route add default via ${OUTSIDE}`,
  );
  outside.ip(
    `address add ${OUTSIDE}/24 dev wt-out`,
    `address add ${FAR}/32 dev wt-out`,
    'link set wt-out up',
    `route add 10.254.0.0/22 via ${HOST}`,
  );
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
  const { address, prefixLength, gateway, gatewayMac, interface: name } = driver.inside(spec, state);
  container.ip(
    `address add ${address}/${prefixLength} dev ${name}`,
    `link set ${name} up`,
    `neighbour add ${gateway} lladdr ${gatewayMac} dev ${name} nud permanent`,
    `route add default via ${gateway}`,
  );
  return container;
}
