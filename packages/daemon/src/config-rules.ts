/**
 * What makes sense of values that are of the right type: addresses, ranges, keys that belong together (spec
 * config.md 3).
 */
import net from 'node:net';
import path from 'node:path';
import { nftablesNetwork, parseNameServer } from '@warden/net-nftables';
import { blockOf, isCommon } from './address-block.ts';
import type { Configuration } from './config.ts';
import { describe, type Findings } from './config-values.ts';
import { MIN_PORTS, networkPool, tooFewPorts } from './pools.ts';
import { capabilityMask, requireIdRanges } from './security-options.ts';

/** sockaddr_un holds 108 bytes with the terminating one. */
const MAX_SOCKET_BYTES = 107;
/** Of the mode of a socket: to connect takes the right to write. */
const EVERYBODY_WRITES = 0o002;
/** Larger networks hold more blocks than one daemon could fill, and the pool would keep them all in memory. */
const SHORTEST_PREFIX = 12;
const LAST_PORT = 65_535;
const LAST_UID = 0x7fff_fffe;

/** Pools that no host can give to containers, by what they are for. */
const FOREIGN_BLOCKS: readonly (readonly [cidr: string, use: string])[] = [
  ['0.0.0.0/8', 'this network'],
  ['127.0.0.0/8', 'loopback'],
  ['169.254.0.0/16', 'link-local addresses'],
  ['224.0.0.0/4', 'multicast'],
  ['255.255.255.255/32', 'broadcast'],
];

/**
 * Notes every problem and warning. The values are of the types of the schema; `given` is what the defaults
 * were filled into. What depends on the host is in `start-checks.ts`.
 */
export function checkRules(
  configuration: Configuration,
  given: Readonly<Record<string, unknown>>,
  findings: Findings,
): void {
  checkPaths(configuration, findings);
  checkSockets(configuration, findings);
  checkMonitoring(configuration, findings);
  checkNetwork(configuration, findings);
  checkOlderForm(configuration.network, (given.network ?? {}) as Record<string, unknown>, findings);
  checkRanges(configuration, findings);
  checkSecurity(configuration, findings);
  checkDrivers(configuration.drivers, findings);
  checkRegistries(configuration.images, findings);
}

/** The original took them from where it was started, too: they work, and mean something else each time. */
function checkPaths(
  { server, monitoring, logging, drivers, images, compat }: Configuration,
  { warnings }: Findings,
): void {
  const paths = {
    'server.unix_domain_path': server.unix_domain_path,
    'server.container_rootfs_path': server.container_rootfs_path,
    'server.container_depot_path': server.container_depot_path,
    'server.pidfile': server.pidfile,
    'server.syslog_socket': server.syslog_socket,
    'monitoring.socket': monitoring.socket,
    'logging.file': logging.file,
    'drivers.hooks_path': drivers.hooks_path,
    'drivers.hook_shell': drivers.hook_shell,
    'images.path': images.path,
    'images.certificates': images.certificates,
    'compat.cgroup_view': compat.cgroup_view,
  };
  for (const [key, value] of Object.entries(paths)) {
    if (value && !path.isAbsolute(value))
      warnings.push(
        `${key} is relative: it counts from the directory that wardend is started in; write an absolute path, found ${describe(value)}`,
      );
  }
}

function checkSockets({ server, monitoring }: Configuration, { problems, warnings }: Findings): void {
  const sockets = {
    'server.unix_domain_path': server.unix_domain_path,
    'server.syslog_socket': server.syslog_socket,
    'monitoring.socket': monitoring.socket,
  };
  for (const [key, socket] of Object.entries(sockets)) {
    if (socket && Buffer.byteLength(socket) > MAX_SOCKET_BYTES)
      problems.push(
        `${key}: expected a path of at most ${MAX_SOCKET_BYTES} bytes, the limit of socket addresses, found ${Buffer.byteLength(socket)}`,
      );
  }
  // the sample that the original shipped has it so
  if ((server.unix_domain_permissions & EVERYBODY_WRITES) !== 0 && server.allowed_uids === null)
    warnings.push(
      `server.unix_domain_permissions lets every user of this host connect, and whoever connects may do what the daemon may, as a rule whatever root may: write 0660, or name users in server.allowed_uids, found 0${server.unix_domain_permissions.toString(8)}`,
    );
  if (monitoring.socket && path.resolve(monitoring.socket) === path.resolve(server.unix_domain_path))
    problems.push(
      `monitoring.socket: expected another path than that of server.unix_domain_path, found ${describe(monitoring.socket)} for both`,
    );
}

function checkMonitoring(
  { monitoring, health_check_server: { port } }: Configuration,
  { problems, warnings }: Findings,
): void {
  if (monitoring.page && !monitoring.port && !monitoring.socket)
    warnings.push(
      'monitoring.page has no effect without monitoring.port or monitoring.socket, where it is served',
    );
  if (monitoring.port && monitoring.port === port)
    problems.push(
      `monitoring.port: expected another port than that of health_check_server.port, found ${port} for both (health_check_server.port: null switches that one off)`,
    );
}

function checkNetwork({ network }: Configuration, { problems }: Findings): void {
  const { pool_network, allow_networks, deny_networks } = network;
  const pool = poolProblem(pool_network);
  if (pool) problems.push(`network.pool_network: ${pool}, found ${describe(pool_network)}`);
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
  network: Configuration['network'],
  given: Readonly<Record<string, unknown>>,
  { problems, warnings }: Findings,
): void {
  const { pool_start_address: start, pool_size: size } = network;
  const isAddress = !start || net.isIPv4(start);
  if (!isAddress) problems.push(`network.pool_start_address: invalid address, found ${describe(start)}`);
  if ((start ?? undefined) === undefined && (size ?? undefined) === undefined) return;
  if (!start || !size) {
    const [one, missing] = start ? ['pool_start_address', 'pool_size'] : ['pool_size', 'pool_start_address'];
    warnings.push(
      `network.${one} has no effect without network.${missing}; the pool is network.pool_network`,
    );
    return;
  }
  if (olderPrefix(size) < SHORTEST_PREFIX) {
    problems.push(`network.pool_size: expected at most ${2 ** (30 - SHORTEST_PREFIX)}, found ${size}`);
    return;
  }
  if (!isAddress) return;
  const pool = networkPool(network);
  const foreign = foreignProblem(pool);
  if (foreign) problems.push(`network.pool_start_address: ${foreign}, found ${describe(pool)} by pool_size`);
  if (given.pool_network !== undefined && given.pool_network !== pool)
    warnings.push(
      `network.pool_network has no effect beside network.pool_start_address and network.pool_size, which come first; the pool is ${pool}`,
    );
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
  return foreignProblem(text);
}

/** The text is a CIDR. */
function foreignProblem(cidr: string): string | undefined {
  const block = blockOf(cidr);
  const met = FOREIGN_BLOCKS.find(([foreign]) => isCommon(block, blockOf(foreign)));
  return met === undefined
    ? undefined
    : `expected addresses that containers can have, as of a private network, without ${met[0]} (${met[1]})`;
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
  else {
    // on any host; where its ephemeral range ends is a matter of the start
    if (count !== undefined && count < MIN_PORTS) problems.push(`port.pool_size: ${tooFewPorts(count)}`);
    const room = first === undefined ? MIN_PORTS : LAST_PORT - first + 1;
    if (room < MIN_PORTS) problems.push(`port.pool_start_port: ${tooFewPorts(room)}`);
  }
  const last = user.pool_start_uid + user.pool_size - 1;
  if (last > LAST_UID)
    problems.push(`user.pool_size: expected uids up to ${LAST_UID}, found ${last} as the last one`);
}

/** By what makes the options of them: see there. */
function checkSecurity({ security, user }: Configuration, { problems }: Findings): void {
  const attempts = [
    ...security.capabilities.map((name) => () => capabilityMask([name])),
    () => requireIdRanges(security, { first: user.pool_start_uid, count: user.pool_size }),
  ];
  for (const attempt of attempts) {
    try {
      attempt();
    } catch (error) {
      problems.push((error as Error).message);
    }
  }
}

/** The name is a path component of control groups, and the name of the driver's table. */
function checkDrivers({ name, outward_address }: Configuration['drivers'], { problems }: Findings): void {
  if (!isTaken(() => nftablesNetwork({ table: name })))
    problems.push(
      `drivers.name: expected a letter, and up to 62 letters, digits, ".", "_" or "-" behind it, found ${describe(name)}`,
    );
  if (outward_address && !isTaken(() => nftablesNetwork({ table: 'any', outwardAddress: outward_address })))
    problems.push(`drivers.outward_address: expected an IPv4 address, found ${describe(outward_address)}`);
}

function isTaken(attempt: () => void): boolean {
  try {
    attempt();
    return true;
  } catch {
    return false;
  }
}

function checkRegistries(
  { registries, insecure_registries }: Configuration['images'],
  { problems, warnings }: Findings,
): void {
  for (const [key, list] of Object.entries({ registries, insecure_registries })) {
    for (const [index, text] of list.entries()) {
      if (!isAuthority(text))
        problems.push(
          `images.${key}[${index}]: expected host or host:port in lower case, without https:// and path, found ${describe(text)}`,
        );
      else if (key === 'insecure_registries' && !registries.includes(text))
        warnings.push(
          `images.insecure_registries[${index}] has no effect: ${text} is not in images.registries, so nothing is pulled from there`,
        );
    }
  }
}

/** As a URL has it: anything else would never be found equal to the host of one. */
function isAuthority(text: string): boolean {
  const of = (scheme: string): string | undefined =>
    URL.canParse(`${scheme}://${text}/`) ? new URL(`${scheme}://${text}/`).host : undefined;
  // one of the schemes has the port for its usual one, and leaves it out
  return of('https') === text || of('http') === text;
}
