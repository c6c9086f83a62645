/**
 * From the specs of the Warden API to request messages. Absent means absent on the wire: the daemon tells it
 * from 0.
 */
import {
  type CreateSpec,
  type DiskLimitSpec,
  encodeBytes,
  type NetOutSpec,
  type Properties,
  type SpawnOptions,
} from '@warden/interface';

type Fields = Record<string, unknown>;

/** Leaves out what is undefined. */
export function present(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** Modes of bind mounts, and their numbers on the wire. */
export const MOUNT_MODES = { ro: 0, rw: 1 } as const;
/** Protocols of egress rules, and their numbers on the wire. */
export const PROTOCOLS = { tcp: 0, udp: 1, icmp: 2, all: 3 } as const;

/** Fields of a CreateRequest. */
export function createRequest(spec: CreateSpec): Fields {
  return present({
    bind_mounts: spec.bindMounts?.map((mount) => ({
      src_path: mount.source,
      dst_path: mount.target,
      mode: MOUNT_MODES[mount.mode],
    })),
    grace_time: spec.graceTime,
    handle: spec.handle,
    network: spec.network,
    rootfs: spec.rootfs,
    properties: spec.properties && propertyMessages(spec.properties),
    image: spec.image,
  });
}

/** Labels as on the wire. */
export function propertyMessages(
  properties: Properties,
): readonly { readonly name: string; readonly value: string }[] {
  return Object.entries(properties).map(([name, value]) => ({ name, value }));
}

/** Fields of a SpawnRequest or RunRequest. */
export function spawnRequest(handle: string, script: string | Uint8Array, options: SpawnOptions): Fields {
  return present({
    handle,
    script: typeof script === 'string' ? encodeBytes(script) : script,
    privileged: options.privileged,
    rlimits: options.rlimits,
    discard_output: options.discardOutput,
    log_tag: options.logTag,
    track_tree: options.trackTree,
    argv: options.argv,
    environment:
      options.environment && Object.entries(options.environment).map(([name, value]) => `${name}=${value}`),
    working_directory: options.workingDirectory,
    open_input: options.stdin === 'pipe' ? true : undefined,
    live_output: options.output === 'live' ? true : undefined,
    terminal: options.terminal && { rows: options.terminal.rows, columns: options.terminal.columns },
  });
}

/** Fields of a NetOutRequest. */
export function netOutRequest(handle: string, spec: NetOutSpec): Fields {
  return { handle, ...netRule(spec) };
}

/** An egress rule as on the wire. */
export function netRule(spec: NetOutSpec): Fields {
  return present({
    network: spec.network,
    port: spec.port,
    port_range: spec.portRange,
    protocol: spec.protocol === undefined ? undefined : PROTOCOLS[spec.protocol],
    icmp_type: spec.icmpType,
    icmp_code: spec.icmpCode,
    log: spec.log,
    domain: spec.domain,
  });
}

/** Fields of a LimitDiskRequest; only the plain names are sent, never the aliases. */
export function limitDiskRequest(handle: string, spec: DiskLimitSpec): Fields {
  return present({
    handle,
    block_soft: spec.blockSoft,
    block_hard: spec.blockHard,
    inode_soft: spec.inodeSoft,
    inode_hard: spec.inodeHard,
  });
}

/** Fields of a request that names only its container, and of those with a few optional values. */
export function onContainer(handle: string, fields: Fields = {}): Fields {
  return present({ handle, ...fields });
}
