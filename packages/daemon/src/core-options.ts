/** Translates the configuration's keys into what core wants: units, defaults taken from the host, absent values. */
import type { CoreChanges, CoreOptions } from '@warden/core';
import { type Logger, RESOURCE_NAMES, type ResourceLimits } from '@warden/interface';
import { KeptEntries, removeTree, stripTree } from '@warden/native';
import { type Configuration, isInsecure } from './config.ts';
import { UNLIMITED_VALUE } from './config-schema.ts';
import { DEFAULT_ROOTFS } from './default-rootfs.ts';
import { networkPool, portPool, readEphemeralEnd } from './pools.ts';
import { securityOptions } from './security-options.ts';
import type { DriverSet } from './select-drivers.ts';
import { openSyslog } from './syslog.ts';
import { unsafeSettings } from './unsafe-settings.ts';

/** Makes nothing: the clean-up asks, too. Errors: `INVALID_SPEC` naming the key. */
export function coreOptions(
  configuration: Configuration,
  depot: string,
  drivers: DriverSet,
  logger: Logger,
): CoreOptions {
  const { server, network, user, drivers: own, compat, images } = configuration;
  const uids = { first: user.pool_start_uid, count: user.pool_size };
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
      maxConnections: network.max_connections ?? undefined,
      dnsServers: network.dns_servers,
      resolverServers: network.resolver_servers,
    },
    ports: portPool(configuration.port, readEphemeralEnd()),
    uids,
    // all containers of an image share what lies there
    closedToCopies: images.path === null ? [] : [images.path],
    warmContainers: server.warm_containers,
    preparedShellMs: server.prepared_shell_time * 1_000,
    jobOutputLimit: server.job_output_limit,
    jobSockets: compat.job_sockets ? { mode: compat.job_sockets_mode } : undefined,
    recoveredOutput: compat.recovered_output,
    syslog: openSyslog(server.syslog_socket, logger),
    rlimits: limitsOf(server.container_rlimits ?? {}),
    nice: own.nice,
    pidsLimit: own.pids_limit ?? undefined,
    security: securityOptions(configuration.security, uids),
    // of a container without isolation nobody expects any: its info is the original's, to the field
    unsafe: unsafeSettings(configuration).map(({ name }) => name),
    allowNested: server.allow_nested_warden,
    lang: process.env.LANG || 'en_US.UTF-8',
    durable: own.durable,
    removeTree,
    stripTree: (kept) => {
      const entries = new KeptEntries(kept);
      return (directory, target) => stripTree(directory, entries, target);
    },
  };
}

/** What of the options can change while the daemon runs. */
export function coreChanges(options: CoreOptions): CoreChanges {
  const { graceTime, rootfs, warmContainers, preparedShellMs, jobOutputLimit, rlimits, ports, uids } =
    options;
  const { pool, allowNetworks, denyNetworks, allowHostAccess, dnsServers, resolverServers } = options.network;
  return {
    graceTime,
    rootfs,
    ...(warmContainers !== undefined && { warmContainers }),
    ...(preparedShellMs !== undefined && { preparedShellMs }),
    jobOutputLimit,
    rlimits,
    ports,
    uids,
    network: {
      pool,
      allowNetworks,
      denyNetworks,
      allowHostAccess,
      dnsServers,
      ...(resolverServers !== undefined && { resolverServers }),
    },
  };
}

/** Without a configured root file system it is the embedded one, which a daemon makes at its start. */
export function rootfsOf(configured: string | undefined): string {
  return configured ?? DEFAULT_ROOTFS;
}

function limitsOf(configured: Readonly<Record<string, number | bigint>>): ResourceLimits {
  return Object.fromEntries(
    RESOURCE_NAMES.filter((name) => configured[name] !== undefined).map((name) => [
      name,
      configured[name] === -1 ? UNLIMITED_VALUE : BigInt(configured[name]!),
    ]),
  );
}
