/** A network driver in a test network. */
import type { ContainerNamespace, NetworkSubject } from '@warden/driver-compliance';
import {
  HOST_ADDRESS,
  makeNamespace,
  makeTestNetwork,
  type Namespace,
  OUTSIDE_ADDRESS,
} from '@warden/test-harness';
import { type NetworkKind, remoteDriver } from '../remote-driver.ts';
import { TcpPeer } from './tcp-peer.ts';

/** A driver, by the words of `driver-process.mjs`, in a network of its own. */
export async function networkSubject(kind: NetworkKind): Promise<NetworkSubject> {
  const network = await makeTestNetwork();
  const peers = { host: new TcpPeer(network.host), outside: new TcpPeer(network.outside) };
  const containers: ContainerNamespace[] = [];
  for (const port of [7001, 7002]) await peers.outside.listen(port);
  let remote = await remoteDriver(network.host, kind);
  return {
    driver: remote.driver,
    restart: async () => {
      await remote.close();
      remote = await remoteDriver(network.host, kind);
      return remote.driver;
    },
    hostAddress: HOST_ADDRESS,
    outsideAddress: OUTSIDE_ADDRESS,
    connects: (from, address, port) => peers[from].connects(address, port),
    listenOnHost: (port) => peers.host.listen(port),
    makeNamespace: async () => {
      const made = container(await makeNamespace());
      containers.push(made);
      return made;
    },
    inventory: async () => inventory(network.host),
    close: async () => {
      await remote.close();
      await Promise.all([peers.host, peers.outside, ...containers].map((one) => one.close()));
      await network.close();
    },
  };
}

function container(namespace: Namespace): ContainerNamespace {
  const peer = new TcpPeer(namespace);
  return {
    pid: namespace.pid,
    configure: async (inside) => {
      if (inside.interface === '') return;
      const { address, prefixLength, gateway, gatewayMac, interface: name, mtu } = inside;
      namespace.ip(
        `address add ${address}/${prefixLength} dev ${name}`,
        `link set ${name} mtu ${mtu} up`,
        ...(gatewayMac === ''
          ? []
          : [`neighbour replace ${gateway} lladdr ${gatewayMac} dev ${name} nud permanent`]),
        `route add default via ${gateway}`,
      );
    },
    connects: (address, port) => peer.connects(address, port),
    listen: (port) => peer.listen(port),
    close: async () => {
      await peer.close();
      await namespace.close();
    },
  };
}

/** One program for what `ip` has to say: a kit looks some hundred times. */
const INVENTORY = `ip -4 -o -batch - <<'END' && tc qdisc && nft -s list ruleset
link
address
route
neighbour show nud permanent
END`;

/**
 * Links, addresses, routes, permanent neighbours and rules; without counters, handles and interface numbers,
 * and without the packets that are still to be told of each address, all of which change by themselves.
 */
function inventory(host: Namespace): string[] {
  return host
    .run('sh', '-c', INVENTORY)
    .replace(/\t\telements = \{[^}]* limit rate [^}]*\}\n/g, '')
    .split('\n')
    .map((line) =>
      line
        .replace(/^\d+: /, '')
        .replace(/@if\d+/, '')
        .replace(/ state \w+| qlen \d+| link-netns \S+| link-netnsid \d+/g, ''),
    )
    .filter((line) => line.trim() !== '');
}
