/** A network driver in a test network. */
import { type ChildProcess, spawn } from 'node:child_process';
import type { ContainerNamespace, NetworkSubject } from '@warden/driver-compliance';
import {
  HOST_ADDRESS,
  makeNamespace,
  makeTestNetwork,
  type Namespace,
  OUTSIDE_ADDRESS,
} from '@warden/test-harness';
import { type NetworkKind, remoteDriver } from '../remote-driver.ts';

const SERVER = `
import socket, sys, threading
def serve(port):
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("0.0.0.0", port)); s.listen(16)
    while True: s.accept()[0].close()
threads = [threading.Thread(target=serve, args=(int(p),), daemon=True) for p in sys.argv[1:]]
for t in threads: t.start()
print("ready", flush=True)
sys.stdin.read()
`;
const CONNECT = 'import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1.0).close()';

/** A driver, by the words of `driver-process.mjs`, in a network of its own. */
export async function networkSubject(kind: NetworkKind): Promise<NetworkSubject> {
  const network = await makeTestNetwork();
  const servers: ChildProcess[] = [];
  const namespaces: Namespace[] = [];
  const serve = async (where: Namespace, ...ports: number[]): Promise<void> => {
    const [program, ...args] = where.enter(['python3', '-c', SERVER, ...ports.map(String)]);
    const child = spawn(program!, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    servers.push(child);
    await new Promise((resolve, reject) => {
      child.stdout.once('data', resolve);
      child.once('exit', () => reject(new Error(`the server on ${ports.join()} ended`)));
    });
  };
  const connects = async (from: Namespace, address: string, port: number): Promise<boolean> =>
    from.try(['python3', '-c', CONNECT, address, String(port)]).status === 0;
  await serve(network.outside, 7001, 7002);
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
    connects: (from, address, port) =>
      connects(from === 'host' ? network.host : network.outside, address, port),
    listenOnHost: (port) => serve(network.host, port),
    makeNamespace: async () => {
      const namespace = await makeNamespace();
      namespaces.push(namespace);
      return container(namespace, serve, connects);
    },
    inventory: async () => inventory(network.host),
    close: async () => {
      for (const server of servers) server.kill('SIGKILL');
      await remote.close();
      await Promise.all(namespaces.map((namespace) => namespace.close()));
      await network.close();
    },
  };
}

function container(
  namespace: Namespace,
  serve: (where: Namespace, ...ports: number[]) => Promise<void>,
  connects: (from: Namespace, address: string, port: number) => Promise<boolean>,
): ContainerNamespace {
  return {
    pid: namespace.pid,
    configure: async (inside) => {
      if (inside.interface === '') return;
      namespace.run(
        'ip',
        'address',
        'add',
        `${inside.address}/${inside.prefixLength}`,
        'dev',
        inside.interface,
      );
      namespace.run('ip', 'link', 'set', inside.interface, 'mtu', String(inside.mtu), 'up');
      if (inside.gatewayMac !== '')
        namespace.run(
          'ip',
          'neighbour',
          'replace',
          inside.gateway,
          'lladdr',
          inside.gatewayMac,
          'dev',
          inside.interface,
          'nud',
          'permanent',
        );
      namespace.run('ip', 'route', 'add', 'default', 'via', inside.gateway);
    },
    connects: (address, port) => connects(namespace, address, port),
    listen: (port) => serve(namespace, port),
    close: () => namespace.close(),
  };
}

/**
 * Links, addresses, routes, permanent neighbours and rules; without counters, handles and interface numbers,
 * and without the packets that are still to be told of each address, all of which change by themselves.
 */
function inventory(host: Namespace): string[] {
  const commands = [
    ['ip', '-o', 'link'],
    ['ip', '-o', '-4', 'address'],
    ['ip', 'route'],
    ['ip', 'neighbour', 'show', 'nud', 'permanent'],
    ['tc', 'qdisc'],
    ['nft', '-s', 'list', 'ruleset'],
  ];
  return commands.flatMap((command) =>
    host
      .run(...command)
      .replace(/\t\telements = \{[^}]* limit rate [^}]*\}\n/g, '')
      .split('\n')
      .map((line) =>
        line
          .replace(/^\d+: /, '')
          .replace(/@if\d+/, '')
          .replace(/ state \w+| qlen \d+| link-netns \S+| link-netnsid \d+/g, ''),
      )
      .filter((line) => line.trim() !== ''),
  );
}
