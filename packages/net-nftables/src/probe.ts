/**
 * Whether this kernel has everything the driver needs, found out by making all of it in throw-away network
 * namespaces.
 */
import type { DenialSupport, NetworkHostSpec, NetworkSpec, ProbeResult } from '@warden/interface';
import { isWardenError } from '@warden/interface';
import type { BandwidthMode } from './bandwidth.ts';
import { BANDWIDTH_MODES, tryShaping, tryShapingEnds } from './bandwidth.ts';
import { findLink, linkCreation } from './container-link.ts';
import {
  addPort,
  ensureAsker,
  ensureContainer,
  ensureLimit,
  ensureSource,
  removeAsker,
  removeContainer,
  removeLimit,
  removePorts,
  removeSource,
} from './container-rules.ts';
import { parseAddress, parseRange } from './ipv4-address.ts';
import { linkEnds } from './link-names.ts';
import { NetlinkConnection } from './netlink-connection.ts';
import type { MessageBody } from './netlink-message.ts';
import type { TableMessages } from './nftables-message.ts';
import { routeLoopback } from './rtnetlink.ts';
import type { DenialTelling, Surroundings } from './ruleset.ts';
import { skeleton, tellingTrial } from './ruleset.ts';
import { hasIpv6 } from './sysctl.ts';

const HOST: NetworkHostSpec = {
  pool: '203.0.113.0/24',
  allowNetworks: ['198.51.100.0/25', '198.51.100.200-198.51.100.210'],
  denyNetworks: ['198.51.100.128/26'],
  allowHostAccess: false,
};
const CONTAINER: NetworkSpec = {
  id: '00000000000',
  hostIp: '203.0.113.1',
  containerIp: '203.0.113.2',
  prefixLength: 30,
  mtu: 1500,
};

const AROUND: Surroundings = { inbound: 'published', published: [], uplink: undefined, hasLimits: false };

/** What a look at this kernel has found out. */
export interface KernelFinding {
  readonly result: ProbeResult;
  /** Only of a kernel that works: what else it can do. */
  readonly more?: { readonly names: NameFinding; readonly bandwidth: BandwidthFinding };
  /**
   * Ends the namespace, of which nothing remains then. The kernel takes it down holding locks that everything
   * about links waits for, and lets nobody go before rules that were removed a moment ago are: whoever is in
   * a hurry ends it later.
   */
  close(): void;
}

/** Tries a link and the whole rule set, and what can be done besides, all in one namespace. Never throws. */
export function probeKernel(
  table: TableMessages,
  wanted: {
    readonly bandwidth?: BandwidthMode | undefined;
    readonly denials?: WantedDenials | undefined;
  } = {},
): KernelFinding {
  let step = 'network namespace';
  let connection: NetlinkConnection | undefined;
  const close = (): void => connection?.close();
  try {
    connection = NetlinkConnection.openInNewNamespace();
    step = 'veth link';
    const link = connection.carryOut(linkCreation(CONTAINER, { alias: table.table, hasIpv6: hasIpv6() }));
    connection.route(routeLoopback(link.index));
    step = 'nftables rules';
    connection.commit(skeleton(table, HOST, AROUND));
    step = 'nftables rules of a container';
    const rule = { protocol: 'tcp', log: true, ports: { first: 80, last: 90 } } as const;
    connection.commit([
      ...ensureContainer(table, CONTAINER.id, {
        egress: [rule],
        pool: parseRange(HOST.pool),
        hasChain: false,
      }),
      ensureSource(table, CONTAINER.id, parseAddress(CONTAINER.containerIp)),
      addPort(table, CONTAINER.id, CONTAINER.containerIp, { hostPort: 1, containerPort: 1 }),
    ]);
    connection.commit([
      ...removePorts(table, [1]),
      removeSource(table, CONTAINER.id, parseAddress(CONTAINER.containerIp)),
      ...removeContainer(table, CONTAINER.id, { hasChain: true }),
    ]);
    const names = tryNames(connection, table, wanted.denials);
    const bandwidth = probeBandwidth(table, wanted.bandwidth, connection);
    return { result: { ok: true }, more: { names, bandwidth }, close };
  } catch (error) {
    return { result: { ok: false, reason: `${step}: ${describe(error)}` }, close };
  }
}

/** What this kernel can do for rules about names, and for telling what was refused. */
export interface NameFinding {
  readonly hasNames: boolean;
  readonly denials: DenialSupport;
  /** Why names are not there. */
  readonly reasons: readonly string[];
}

/** No better way of telling what was refused is to be tried. */
export type WantedDenials = 'each' | 'totals';

/** Tries both in a throw-away network namespace. Never throws. */
export function probeNames(table: TableMessages, wanted?: WantedDenials): NameFinding {
  let connection: NetlinkConnection | undefined;
  try {
    connection = NetlinkConnection.openInNewNamespace();
    connection.commit(skeleton(table, HOST, AROUND));
    return tryNames(connection, table, wanted);
  } catch (error) {
    const reason = `nftables rules in a network namespace: ${describe(error)}`;
    return { hasNames: false, denials: { packets: 'none', reason }, reasons: [reason] };
  } finally {
    connection?.close();
  }
}

/** In a namespace that has the skeleton. Never throws. */
function tryNames(
  connection: NetlinkConnection,
  table: TableMessages,
  wanted: WantedDenials = 'each',
): NameFinding {
  const failureOf = (attempt: () => void): string | undefined => {
    try {
      attempt();
      return undefined;
    } catch (error) {
      return describe(error);
    }
  };
  const commit = (changes: readonly MessageBody[]): void => connection.commit(changes);
  const pool = parseRange(HOST.pool);
  const { id, hostIp } = CONTAINER;
  const rule = { protocol: 'tcp', log: false, domain: 'example.org' } as const;
  const names = failureOf(() => {
    commit([
      ...ensureContainer(table, id, { egress: [rule], pool, hasChain: false }),
      ...ensureAsker(table, id, { hostIp, port: 1 }),
    ]);
    commit(removeAsker(table, id));
  });
  const reasons = names === undefined ? [] : [`names: ${names}`];
  // the rule that tells of packets towards the host is made of less
  const tell = (denials: NonNullable<DenialTelling>): string | undefined =>
    failureOf(() => commit(tellingTrial(table, denials)));
  const each = wanted === 'each' ? tell({ group: 1 }) : 'only their number was asked for';
  if (each === undefined) return { hasNames: names === undefined, denials: { packets: 'each' }, reasons };
  const totals = tell('totals');
  const denials: DenialSupport =
    totals === undefined
      ? { packets: 'totals', reason: each }
      : { packets: 'none', reason: `${each}; counting them: ${totals}` };
  return { hasNames: names === undefined, denials, reasons };
}

/** The best way of limiting bandwidth that works here, and why not a better one. */
export interface BandwidthFinding {
  readonly mode: BandwidthMode | undefined;
  readonly reasons: readonly string[];
}

/**
 * Tries the ways of limiting bandwidth, each in a namespace of its own, but the first in the one of
 * `prepared`, where link and skeleton are. Never throws.
 */
export function probeBandwidth(
  table: TableMessages,
  wanted?: BandwidthMode,
  prepared?: NetlinkConnection,
): BandwidthFinding {
  const reasons: string[] = [];
  for (const [at, mode] of (wanted === undefined ? BANDWIDTH_MODES : [wanted]).entries()) {
    let own: NetlinkConnection | undefined;
    try {
      if (at > 0 || prepared === undefined) own = NetlinkConnection.openInNewNamespace();
      tryBandwidth(own ?? prepared!, table, mode);
      return { mode, reasons };
    } catch (error) {
      reasons.push(`${mode}: ${describe(error)}`);
    } finally {
      own?.close();
    }
  }
  return { mode: undefined, reasons };
}

function tryBandwidth(connection: NetlinkConnection, table: TableMessages, mode: BandwidthMode): void {
  if (mode === 'limit') {
    connection.commit([
      ...skeleton(table, HOST, { ...AROUND, hasLimits: true }),
      ...ensureLimit(table, CONTAINER.id, { rate: 100_000n, burst: 2_000 }),
    ]);
    connection.commit(removeLimit(table, CONTAINER.id));
    return;
  }
  const settings = { alias: table.table, hasIpv6: hasIpv6() };
  const { host, container } = linkEnds(CONTAINER.id);
  const link = findLink(connection, host.name) ?? connection.carryOut(linkCreation(CONTAINER, settings));
  if (mode === 'queue') tryShaping(connection, CONTAINER, link, settings);
  else tryShapingEnds(connection, link, findLink(connection, container.name)!);
}

function describe(error: unknown): string {
  if (!isWardenError(error)) return String(error);
  const { errno, detail } = error.fields;
  return [error.message, errno, detail].filter((part) => typeof part === 'string').join(', ');
}
