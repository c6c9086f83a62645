/**
 * What init has to know about a container: addresses, user, files of /etc (spec linux-container.md 4, 5.1,
 * 5.4, 5.5).
 */
import fs from 'node:fs';
import path from 'node:path';
import { type BindMountSpec, decodeBytes, type InitSpec } from '@warden/interface';
import { confinementOf } from './confinement.ts';
import type { ManagedContainer } from './container.ts';
import { type Engine, networkSpecOf } from './engine.ts';

/** The account of jobs; each container has another number for it. */
export const USER_NAME = 'vcap';

const NETMASK = '255.255.255.252';
const HOST_RESOLV_CONF = '/etc/resolv.conf';

/** Puts the spec together. Reads the host's resolv.conf when no name servers are configured. */
export function initSpecOf(engine: Engine, container: ManagedContainer): InitSpec {
  const { drivers, options } = engine;
  const { record } = container;
  const { id, uid } = record;
  const network = networkSpecOf(engine, container);
  const inside = drivers.network.inside(network, record.drivers.network);
  return {
    id,
    directory: container.directory,
    hostname: id,
    config: [
      ['id', id],
      ['network_netmask', NETMASK],
      ['network_host_ip', network.hostIp],
      ['network_host_iface', `w-${id}-0`],
      ['network_container_ip', network.containerIp],
      ['network_container_iface', `w-${id}-1`],
      ['network_ifb_iface', `w-${id}-2`],
      ['user_uid', String(uid)],
      ['rootfs_path', record.rootfs],
      ['allow_nested_warden', String(options.allowNested)],
    ],
    hookEnvironment: {
      id,
      network_host_ip: network.hostIp,
      network_container_ip: network.containerIp,
      network_netmask: NETMASK,
      user_uid: String(uid),
      rootfs_path: record.rootfs,
      allow_nested_warden: String(options.allowNested),
      container_iface_mtu: String(options.network.mtu),
      dns_servers: options.network.dnsServers.join('\n'),
    },
    mounts: drivers.filesystem.mounts(container.rootfsSpec, record.drivers.filesystem),
    bindMounts: [
      ...(options.allowNested ? groupsForNested(drivers.cgroup.joinFiles(record.drivers.cgroup)) : []),
      ...container.bindMounts,
    ],
    network: drivers.network.supports.link ? inside : undefined,
    cgroupJoinFiles: drivers.cgroup.joinFiles(record.drivers.cgroup),
    processReserve: drivers.cgroup.reserve?.(record.drivers.cgroup),
    confinement: confinementOf(options, uid),
    user: { name: USER_NAME, uid, gid: uid, home: `/home/${USER_NAME}`, shell: '/bin/bash' },
    hosts: `127.0.0.1 localhost\n${network.containerIp} ${id}\n`,
    resolvConf: withResolver(
      resolvConf(options.network.dnsServers, network.hostIp),
      drivers.network.supports.namedEgress === true ? network.hostIp : undefined,
    ),
    nice: options.nice,
  };
}

/** Where the original's nested warden had its hierarchies (spec linux-container.md 22). */
const NESTED_GROUPS = '/tmp/warden/cgroup';

/**
 * For a warden inside: the container's own groups, and nothing above them, so that the inner ones lie below
 * the outer one's limits. What a mount is called does not matter to a warden; it is the name of the host's
 * hierarchy.
 */
export function groupsForNested(joinFiles: readonly string[]): BindMountSpec[] {
  // <hierarchy>/<prefix>/instance-<id>/tasks
  return joinFiles.map((file) => {
    const group = path.dirname(file);
    const name = path.basename(path.resolve(group, '../..'));
    return { source: group, target: path.join(NESTED_GROUPS, name), mode: 'rw' };
  });
}

/**
 * The configured servers; else the host's file without servers on the host's loopback, which a container
 * cannot reach; if none is left, the host's side of the link, where the operator may run a forwarder.
 */
export function resolvConf(
  servers: readonly string[],
  hostIp: string,
  hostFile: string = readHostResolvConf(),
): string {
  if (servers.length > 0) return servers.map((server) => `nameserver ${server}\n`).join('');
  const lines = hostFile.split('\n').filter((line) => line.trim() !== '');
  const isServer = (line: string): boolean => /^\s*nameserver\s/.test(line);
  const kept = lines.filter((line) => !isServer(line) || !/^\s*nameserver\s+(127\.|::1)/.test(line));
  if (lines.some(isServer) && !kept.some(isServer)) kept.push(`nameserver ${hostIp}`);
  return kept.map((line) => `${line}\n`).join('');
}

/**
 * Programs of a container that knows no name server, or only ones it cannot reach, ask nobody, even when the
 * driver's resolver would answer; it does so at any address.
 */
export function withResolver(file: string, hostIp: string | undefined): string {
  if (hostIp === undefined || /^\s*nameserver\s+\d+\./m.test(file)) return file;
  return `${file}nameserver ${hostIp}\n`;
}

function readHostResolvConf(): string {
  try {
    return decodeBytes(fs.readFileSync(HOST_RESOLV_CONF));
  } catch {
    return ''; // a host without name servers has containers without them
  }
}
