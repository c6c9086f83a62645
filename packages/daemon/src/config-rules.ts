/** What makes sense of values that are of the right type: addresses, ranges, keys that belong together (spec config.md 3). */
import net from 'node:net';
import { parseNameServer } from '@warden/net-nftables';
import type { Configuration } from './config.ts';
import { describe, type Findings } from './config-values.ts';

/** sockaddr_un holds 108 bytes with the terminating one. */
const MAX_SOCKET_BYTES = 107;
/** Larger networks hold more blocks than one daemon could fill, and the pool would keep them all in memory. */
const SHORTEST_PREFIX = 12;
const LAST_PORT = 65_535;
const LAST_UID = 0x7fff_fffe;

/** Notes every problem and warning. The values are of the types of the schema. */
export function checkRules(configuration: Configuration, findings: Findings): void {
  checkSockets(configuration, findings);
  checkNetwork(configuration, findings);
  checkRanges(configuration, findings);
}

function checkSockets({ server, monitoring }: Configuration, { problems, warnings }: Findings): void {
  if (monitoring.page && !monitoring.port && !monitoring.socket)
    warnings.push(
      'monitoring.page has no effect without monitoring.port or monitoring.socket, where it is served',
    );
  const sockets = {
    'server.unix_domain_path': server.unix_domain_path,
    'server.syslog_socket': server.syslog_socket,
    'monitoring.socket': monitoring.socket,
  };
  for (const [key, path] of Object.entries(sockets)) {
    if (path && Buffer.byteLength(path) > MAX_SOCKET_BYTES)
      problems.push(
        `${key}: expected a path of at most ${MAX_SOCKET_BYTES} bytes, the limit of socket addresses, found ${Buffer.byteLength(path)}`,
      );
  }
}

function checkNetwork({ network }: Configuration, findings: Findings): void {
  const { problems } = findings;
  const { pool_network, pool_start_address: start, pool_size: size, allow_networks, deny_networks } = network;
  const pool = poolProblem(pool_network);
  if (pool) problems.push(`network.pool_network: ${pool}, found ${describe(pool_network)}`);
  checkOlderForm(start, size, findings);
  for (const [key, list] of Object.entries({ allow_networks, deny_networks })) {
    for (const [index, text] of list.entries()) {
      if (!isDestination(text))
        problems.push(
          `network.${key}[${index}]: expected an address, a CIDR or a range a-b, found ${describe(text)}`,
        );
    }
  }
  for (const [index, text] of network.dns_servers.entries()) {
    if (net.isIP(text) === 0)
      problems.push(`network.dns_servers[${index}]: expected an address, found ${describe(text)}`);
  }
  for (const [index, text] of network.resolver_servers.entries()) {
    if (!isNameServer(text))
      problems.push(
        `network.resolver_servers[${index}]: expected an address or address:port, found ${describe(text)}`,
      );
  }
}

function isNameServer(text: string): boolean {
  try {
    parseNameServer(text);
    return true;
  } catch {
    return false;
  }
}

function checkOlderForm(
  start: string | null | undefined,
  size: number | null | undefined,
  { problems, warnings }: Findings,
): void {
  if (start && !net.isIPv4(start))
    problems.push(`network.pool_start_address: invalid address, found ${describe(start)}`);
  if ((start ?? undefined) === undefined && (size ?? undefined) === undefined) return;
  if (!start || !size) {
    const [given, missing] = start
      ? ['pool_start_address', 'pool_size']
      : ['pool_size', 'pool_start_address'];
    warnings.push(
      `network.${given} has no effect without network.${missing}; the pool is network.pool_network`,
    );
  } else if (olderPrefix(size) < SHORTEST_PREFIX) {
    problems.push(`network.pool_size: expected at most ${2 ** (30 - SHORTEST_PREFIX)}, found ${size}`);
  }
}

/** The prefix length of so many /30 blocks, rounded up to a power of two. */
export function olderPrefix(size: number): number {
  return 32 - (Math.ceil(Math.log2(size)) + 2);
}

/** The original's texts where it had one. */
function poolProblem(text: string): string | undefined {
  const [, address, prefix] = /^(\d+\.\d+\.\d+\.\d+)\/(\d+)$/.exec(text) ?? [];
  if (address === undefined) return 'Invalid address/netmask (require: 1.2.3.4/5)';
  if (!net.isIPv4(address)) return 'invalid address';
  if (Number(prefix) < SHORTEST_PREFIX || Number(prefix) > 30)
    return `expected a prefix length from ${SHORTEST_PREFIX} to 30, so that it holds blocks of /30`;
  return undefined;
}

function isDestination(text: string): boolean {
  const [first = '', last] = text.split('-');
  if (last !== undefined) return net.isIPv4(first.trim()) && net.isIPv4(last.trim());
  const [address = '', prefix] = text.split('/');
  return net.isIPv4(address) && (prefix === undefined || (/^\d{1,2}$/.test(prefix) && Number(prefix) <= 32));
}

function checkRanges({ port, user }: Configuration, { problems }: Findings): void {
  const { pool_start_port: first, pool_size: count } = port;
  if (first !== undefined && count !== undefined && first + count - 1 > LAST_PORT)
    problems.push(
      `port.pool_size: expected at most ${LAST_PORT - first + 1} from pool_start_port ${first} on, found ${count}`,
    );
  const last = user.pool_start_uid + user.pool_size - 1;
  if (last > LAST_UID)
    problems.push(`user.pool_size: expected uids up to ${LAST_UID}, found ${last} as the last one`);
}
