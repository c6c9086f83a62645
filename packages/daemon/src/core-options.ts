/** Translates the configuration's keys into what core wants: units, defaults taken from the host, absent values. */
import fs from 'node:fs';
import { isIP } from 'node:net';
import type { CoreOptions } from '@warden/core';
import { type Logger, RESOURCE_NAMES, type ResourceLimits, WardenError } from '@warden/interface';
import { type Configuration, isInsecure } from './config.ts';
import { makeDefaultRootfs } from './default-rootfs.ts';
import { securityOptions } from './security-options.ts';
import type { DriverSet } from './select-drivers.ts';
import { openSyslog } from './syslog.ts';

const EPHEMERAL_RANGE = '/proc/sys/net/ipv4/ip_local_port_range';
const DEFAULT_ROOTFS = '/var/lib/warden/rootfs';
const LAST_PORT = 65_000;
const MIN_PORTS = 1_000;
const UNLIMITED = 0xffff_ffff_ffff_ffffn;

/** Errors: `INVALID_SPEC` naming the key. */
export function coreOptions(
  configuration: Configuration,
  depot: string,
  drivers: DriverSet,
  logger: Logger,
): CoreOptions {
  const { server, network, user, drivers: own, compat } = configuration;
  const uids = { first: user.pool_start_uid, count: user.pool_size };
  refuseUsersOf(uids);
  return {
    drivers,
    logger: logger.child('core'),
    depot,
    rootfs: isInsecure(configuration) ? '' : rootfsOf(server.container_rootfs_path),
    graceTime: server.container_grace_time ?? undefined,
    network: {
      pool: networkPool(network),
      releaseDelay: network.release_delay,
      mtu: network.mtu,
      allowNetworks: network.allow_networks,
      denyNetworks: network.deny_networks,
      allowHostAccess: network.allow_host_access,
      dnsServers: nameServers(network.dns_servers),
    },
    ports: portPool(configuration.port, readEphemeralEnd()),
    uids,
    jobOutputLimit: server.job_output_limit,
    jobSockets: compat.job_sockets ? { mode: compat.job_sockets_mode } : undefined,
    recoveredOutput: compat.recovered_output,
    syslog: openSyslog(server.syslog_socket, logger),
    rlimits: limitsOf(server.container_rlimits ?? {}),
    nice: own.nice,
    pidsLimit: own.pids_limit ?? undefined,
    security: securityOptions(configuration.security, uids),
    allowNested: server.allow_nested_warden,
    lang: process.env.LANG || 'en_US.UTF-8',
    durable: own.durable,
  };
}

/** Without a configured root file system there is the embedded one. */
function rootfsOf(configured: string | undefined): string {
  if (configured !== undefined) return configured;
  makeDefaultRootfs(DEFAULT_ROOTFS);
  return DEFAULT_ROOTFS;
}

/** A word that is no address would end up in every container's resolv.conf, where nobody reads the complaint. */
export function nameServers(servers: readonly string[]): readonly string[] {
  for (const server of servers) {
    if (isIP(server) !== 0) continue;
    throw new WardenError(
      'INVALID_SPEC',
      `network.dns_servers: ${JSON.stringify(server)} is no address; give IPv4 or IPv6 addresses`,
      { fields: { operation: 'configure', object: 'network.dns_servers', value: server } },
    );
  }
  return servers;
}

/** The older form (start and size) wins where both of its keys are given (spec config.md 2, network). */
export function networkPool({
  pool_network,
  pool_start_address,
  pool_size,
}: Configuration['network']): string {
  if (!pool_start_address || !pool_size) return pool_network;
  return `${pool_start_address}/${32 - (Math.ceil(Math.log2(pool_size)) + 2)}`;
}

/** Ports above the kernel's ephemeral range, which outgoing connections would take. Errors: `INVALID_SPEC` when fewer than 1000 are left. */
export function portPool(given: Configuration['port'], ephemeralEnd: number): CoreOptions['ports'] {
  const first = given.pool_start_port ?? ephemeralEnd + 1;
  const count = Math.min(given.pool_size ?? LAST_PORT + 1 - (ephemeralEnd + 1), 65_536 - first);
  if (count < MIN_PORTS) {
    throw new WardenError(
      'INVALID_SPEC',
      `Insufficient non-ephemeral ports available (expected >= ${MIN_PORTS}, got: ${count})`,
      {
        fields: { operation: 'port pool', object: 'port.pool_size', first, count },
      },
    );
  }
  return { first, count };
}

function readEphemeralEnd(): number {
  try {
    return Number(fs.readFileSync(EPHEMERAL_RANGE, 'utf8').trim().split(/\s+/)[1]);
  } catch {
    return 61_000; // the kernel's own default, where it does not tell
  }
}

/** A container must not share its uid with a user of the host. */
function refuseUsersOf({ first, count }: CoreOptions['uids']): void {
  for (const line of fs.readFileSync('/etc/passwd', 'utf8').split('\n')) {
    const [name, , uid] = line.split(':');
    if (uid === undefined || Number(uid) < first || Number(uid) >= first + count) continue;
    throw new WardenError(
      'INVALID_SPEC',
      `UID in user pool overlaps with user in /etc/passwd: ${name} (${uid})`,
      {
        fields: { operation: 'uid pool', object: 'user.pool_start_uid', uid: Number(uid) },
      },
    );
  }
}

function limitsOf(configured: Readonly<Record<string, number>>): ResourceLimits {
  return Object.fromEntries(
    RESOURCE_NAMES.filter((name) => configured[name] !== undefined).map((name) => [
      name,
      configured[name] === -1 ? UNLIMITED : BigInt(configured[name]!),
    ]),
  );
}
