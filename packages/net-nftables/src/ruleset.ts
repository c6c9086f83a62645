/**
 * The static part of the table: sets, maps and the chains every container shares.
 *
 * A packet concerns us only when its interface is an element of `interfaces`; everything else passes each
 * chain by its accept policy, which in nftables decides nothing for the chains of other programs. What
 * belongs to one container is elements and, when it has rules, a chain of its own (container-rules.ts), so
 * this skeleton can be replaced in one transaction while containers live.
 */
import type { NetworkHostSpec } from '@warden/interface';
import type { AddressRange } from './ipv4-address.ts';
import {
  addressBytes,
  commonRange,
  coversReserved,
  endsAtTop,
  METADATA,
  mergeRanges,
  networkOf,
  parseAddress,
  parseRange,
  withoutReserved,
} from './ipv4-address.ts';
import type { MessageBody } from './netlink-message.ts';
import type { Expression } from './nftables-expression.ts';
import {
  CT_STATE,
  CT_STATUS_DNAT,
  countInto,
  ctIsReply,
  ctState,
  ctStatusHas,
  ctStatusLacks,
  destinationNat,
  hasMoreConnections,
  logToGroup,
  META,
  masquerade,
  memberOf,
  meta,
  packetRate,
  packetRateOf,
  reject,
  resetConnection,
  valueFrom,
  verdict,
  verdictFrom,
} from './nftables-expression.ts';
import type { BaseChain, SetKind, TableMessages } from './nftables-message.ts';
import { addressElement, protocolElement, rangeElements } from './nftables-message.ts';
import {
  addressWithin,
  destinationPortWithin,
  fromInterface,
  fromInterfaceIn,
  fromInterfaceNotIn,
  hasIpOptions,
  icmpByte,
  isConnectionRequest,
  isFromElsewhere,
  isIpv4,
  isNotIpv4,
  isProtocol,
  isProtocolNotIn,
  isReturning,
  loadAddress,
  loadDestinationPort,
  notToInterface,
  PROTOCOL,
  publishedWithin,
  quotesElsewhere,
  toAddressIn,
  toAddressOutside,
  toInterfaceIn,
  toInterfaceNotIn,
} from './packet-match.ts';
import { SET } from './set-names.ts';

/** The chain that decides when a container's own rules have not, and for those that have none. */
export const DEFAULT_CHAIN = 'default';
/** Accepts what every container may reach, and comes back with the rest. */
const OPEN_CHAIN = 'open';
const GUARD_CHAIN = 'guard';
const ICMP_GUARD_CHAIN = 'guard-icmp';

const SETS: readonly (readonly [name: string, kind: SetKind])[] = [
  [SET.interfaces, 'interfaces'],
  [SET.sources, 'sources'],
  [SET.containers, 'interface-verdicts'],
  [SET.protocols, 'protocols'],
  [SET.allowNetworks, 'ranges'],
  [SET.denyNetworks, 'ranges'],
  [SET.reserved, 'ranges'],
  [SET.published, 'addresses'],
  [SET.ports, 'port-destinations'],
  [SET.limited, 'interface-verdicts'],
  [SET.learned, 'learned'],
  [SET.resolvers, 'interface-destinations'],
  [SET.askers, 'interface-verdicts'],
  [SET.answering, 'passing-ports'],
];

/** Priorities of the kernel's own steps: in front of connection tracking, with the filters, at address translation. */
const PRIORITY = { raw: -300, dnat: -100, filter: 0, behindFilter: 10, snat: 100, last: 300 } as const;

const BASE_CHAINS: Readonly<Record<string, BaseChain>> = {
  ingress: { type: 'filter', hook: 'prerouting', priority: PRIORITY.raw },
  input: { type: 'filter', hook: 'input', priority: PRIORITY.filter },
  forward: { type: 'filter', hook: 'forward', priority: PRIORITY.filter },
  prerouting: { type: 'nat', hook: 'prerouting', priority: PRIORITY.dnat },
  output: { type: 'nat', hook: 'output', priority: PRIORITY.dnat },
  postrouting: { type: 'nat', hook: 'postrouting', priority: PRIORITY.snat },
  // Behind everything else, so that only what is delivered counts against a container's bandwidth.
  egress: { type: 'filter', hook: 'postrouting', priority: PRIORITY.last },
  // Behind what decides whether a connection may be: one that may not takes no room.
  'count-forward': { type: 'filter', hook: 'forward', priority: PRIORITY.behindFilter },
  'count-input': { type: 'filter', hook: 'input', priority: PRIORITY.behindFilter },
};

const LOOPBACK = networkOf(parseAddress('127.0.0.0'), 8);
const PUBLISHED_LOOPBACK = parseAddress('127.0.0.1');

/** What may reach a container from outside: only what was published, or everything that is routed to it. */
export type InboundPolicy = 'published' | 'routed';

/** What of the host the rules depend on, beside the configured policy. */
export interface Surroundings {
  readonly inbound: InboundPolicy;
  /** Addresses at which ports are published, beside 127.0.0.1. */
  readonly published: readonly number[];
  /**
   * The outward link of a daemon that itself lives in a container: what comes in by it is for the containers
   * in there.
   */
  readonly uplink: string | undefined;
  /** Bandwidth is limited by rules. */
  readonly hasLimits: boolean;
  /** How packets that are refused are told of; undefined where the kernel cannot. */
  readonly denials?: DenialTelling;
}

/** By messages to a group, or by nothing but their number for each container. */
export type DenialTelling = { readonly group: number } | 'totals' | undefined;

/** What is told of a packet: its headers. */
const HEADER_BYTES = 64;
/**
 * Per second, and beyond it at once; of each container, so that none drowns the others, and of all together
 * towards the host.
 */
const TOLD_OF_CONTAINER = { rate: 10, burst: 40 } as const;
const TOLD_TOWARDS_HOST = { rate: 100, burst: 200 } as const;
/**
 * How long it is remembered how much was told of a container: until it may have as much at once again as in
 * the beginning, and a second.
 */
const TOLD_REMEMBERED_MS = (TOLD_OF_CONTAINER.burst / TOLD_OF_CONTAINER.rate + 1) * 1_000;

/**
 * Tells of packets of containers that are about to be refused. Counting costs the daemon nothing, so it needs
 * no bound.
 */
function tell(telling: NonNullable<DenialTelling>, which: 'of-container' | 'towards-host'): Expression[] {
  const source = [...isIpv4(), loadAddress('source')];
  if (telling === 'totals') return [...source, countInto(SET.denied)];
  const { rate, burst } = which === 'of-container' ? TOLD_OF_CONTAINER : TOLD_TOWARDS_HOST;
  const bounded =
    which === 'of-container'
      ? [...source, packetRateOf(SET.told, rate, burst, TOLD_REMEMBERED_MS)]
      : [packetRate(rate, burst)];
  return [...bounded, logToGroup(telling.group, HEADER_BYTES)];
}

/** What the telling needs besides, by its kind. */
function tellingSets(telling: DenialTelling): [name: string, kind: SetKind][] {
  if (telling === undefined) return [];
  return telling === 'totals' ? [[SET.denied, 'counted']] : [[SET.told, 'rated']];
}

/** What {@link skeleton} has for the telling, behind it and alone: whether a kernel takes that. */
export function tellingTrial(table: TableMessages, telling: NonNullable<DenialTelling>): MessageBody[] {
  return [
    ...tellingSets(telling).map(([name, kind], i) => table.addSet(name, kind, i + 1)),
    table.addRule(DEFAULT_CHAIN, tell(telling, 'of-container')),
  ];
}

/** Drops what a container must never send. In front of connection tracking, so it costs no entry there. */
function guardRules(hasLimits: boolean): Expression[][] {
  const limits = hasLimits ? [[meta(META.iifname), verdictFrom(SET.limited)]] : [];
  return [
    ...limits,
    // Containers have no IPv6; without this, link-local addresses of the host would be reachable.
    [...isNotIpv4(), verdict('drop')],
    // A published port sets route_localnet on the link, which otherwise would open the host's loopback to the
    // container.
    [...addressWithin('destination', LOOPBACK), verdict('drop')],
    [...isFromElsewhere(SET.sources), verdict('drop')],
    // Source routes and the like; nothing of today needs any option.
    [...hasIpOptions(), verdict('drop')],
    // Tunnels and protocols whose ports no rule can name.
    [...isProtocolNotIn(SET.protocols), verdict('drop')],
    [...isProtocol('icmp'), verdict({ jump: ICMP_GUARD_CHAIN })],
  ];
}

/**
 * An error message belongs to the connection it quotes, so connection tracking lets it pass wherever that
 * connection goes. A container may complain about what was sent to itself, and never tell anybody to send
 * elsewhere.
 */
function icmpGuardRules(): Expression[][] {
  const REDIRECT = 5;
  const UNREACHABLE_AND_QUENCH = { first: 3, last: 4 };
  const TIME_EXCEEDED_AND_PARAMETER = { first: 11, last: 12 };
  return [
    [...icmpByte('type', REDIRECT), verdict('drop')],
    [...quotesElsewhere(UNREACHABLE_AND_QUENCH, SET.sources), verdict('drop')],
    [...quotesElsewhere(TIME_EXCEEDED_AND_PARAMETER, SET.sources), verdict('drop')],
  ];
}

function forwardRules({ inbound, uplink }: Surroundings): Expression[][] {
  // What somebody outside has begun, if not at a published port, was begun where no rule saw it: as long as
  // the address was nobody's, or while there was no table. An answer would open it both ways.
  const answersToStrangers =
    inbound === 'published' && uplink === undefined
      ? [
          [
            ...ctIsReply(),
            ...fromInterfaceIn(SET.interfaces),
            ...toInterfaceNotIn(SET.interfaces),
            ...ctStatusLacks(CT_STATUS_DNAT),
            verdict('drop'),
          ],
        ]
      : [];
  const rules = [
    ...answersToStrangers,
    // Accepting ends only this chain: foreign traffic would have been accepted by the policy anyway.
    [...ctState(CT_STATE.established | CT_STATE.related), verdict('accept')],
    [meta(META.iifname), verdictFrom(SET.containers)],
    // Of a container without rules of its own.
    [...fromInterfaceIn(SET.interfaces), verdict({ goto: DEFAULT_CHAIN })],
  ];
  if (uplink !== undefined) rules.push([...fromInterface(uplink), verdict('accept')]);
  if (inbound === 'published') {
    // Accept and drop the rest: a packet that connection tracking finds invalid has no status to be looked at.
    rules.push(
      [...toInterfaceIn(SET.interfaces), ...ctStatusHas(CT_STATUS_DNAT), verdict('accept')],
      [...toInterfaceIn(SET.interfaces), verdict('drop')],
    );
  }
  return rules;
}

function inputRules(allowHostAccess: boolean, denials: DenialTelling): Expression[][] {
  // Questions for names that were led to the daemon's resolver, within what one container may ask.
  const askers = [meta(META.iifname), verdictFrom(SET.askers)];
  if (allowHostAccess) return [...foreignQuestions(), askers];
  return [
    ...foreignQuestions(),
    // In front of what is known: questions from one port are one flow, and must be counted all the same.
    askers,
    [...fromInterfaceNotIn(SET.interfaces), verdict('accept')],
    // What a container has begun may be from before the table was put back, or the access was taken away.
    [...ctIsReply(), ...ctState(CT_STATE.established | CT_STATE.related), verdict('accept')],
    ...(denials === undefined ? [] : [tell(denials, 'towards-host')]),
    ...refusal([]),
  ];
}

/**
 * Refuses at once. An ICMP error that comes back while connect(2) still holds its socket, as it does where no
 * wire is between, is noted there and ends nothing: the caller would wait for the second SYN, a second later
 * (`tcp_v4_err`, LockDroppedIcmps). A reset waits for the socket. It is only for who asks: a connection that
 * the kernel of the host has forgotten would be ended by one, and goes on when its peer is heard again.
 */
function refusal(what: readonly Expression[]): Expression[][] {
  return [
    [...what, ...isConnectionRequest(), resetConnection()],
    [...what, reject()],
  ];
}

/** The resolver listens on every address of the host, and is there for containers only. */
function foreignQuestions(): Expression[][] {
  return (['udp', 'tcp'] as const).map((protocol) => [
    ...isProtocol(protocol),
    loadDestinationPort(),
    memberOf(SET.answering),
    ...fromInterfaceNotIn(SET.interfaces),
    verdict('drop'),
  ]);
}

/** Leads questions for names to the daemon's resolver, whatever name server they were sent to. */
function askRules(): Expression[][] {
  const DNS_PORT = 53;
  return (['udp', 'tcp'] as const).map((protocol) => [
    ...isIpv4(),
    ...isProtocol(protocol),
    ...destinationPortWithin({ first: DNS_PORT, last: DNS_PORT }),
    meta(META.iifname),
    valueFrom(SET.resolvers),
    destinationNat(),
  ]);
}

/**
 * Drops the first packets of connections beyond a container's number, before the kernel has put them into its
 * table.
 */
function countRules({ maxConnections }: NetworkHostSpec): Expression[][] {
  if (maxConnections === undefined) return [];
  return [
    [
      ...ctState(CT_STATE.new),
      ...fromInterfaceIn(SET.interfaces),
      ...isIpv4(),
      loadAddress('source'),
      hasMoreConnections(countedSet(maxConnections), maxConnections),
      verdict('drop'),
    ],
  ];
}

/**
 * What is counted keeps the limit it was counted by, so another limit counts in another set; the old one is
 * left to run empty.
 */
function countedSet(maxConnections: number): string {
  return `${SET.connections}-${maxConnections}`;
}

/** What of the configured networks is open for every container. */
export function openedNetworks({ allowNetworks, pool }: NetworkHostSpec): AddressRange[] {
  const reserved = [...METADATA, parseRange(pool)];
  return allowNetworks.map(parseRange).flatMap((range) => withoutReserved(range, reserved));
}

/**
 * Where containers live that the configured networks merely cover: what is published there is open for every
 * container.
 */
export function openedContainers(host: NetworkHostSpec): AddressRange[] {
  const pool = parseRange(host.pool);
  const covering = host.allowNetworks.map(parseRange).filter((range) => coversReserved(range, [pool]));
  return covering.flatMap((range) => commonRange(range, pool) ?? []);
}

/** The configured networks and, of those that merely cover the containers, what is published there. */
function openRules(host: NetworkHostSpec): Expression[][] {
  return [
    [...toAddressIn(SET.allowNetworks), verdict('accept')],
    ...mergeRanges(openedContainers(host)).map((range) => [...publishedWithin(range), verdict('accept')]),
  ];
}

function defaultRules(denials: DenialTelling): Expression[][] {
  return [
    [verdict({ jump: OPEN_CHAIN })],
    ...(denials === undefined ? [] : [tell(denials, 'of-container')]),
    [...toAddressIn(SET.denyNetworks), verdict('drop')],
    ...refusal([]),
  ];
}

function publishRules(): Expression[][] {
  return [
    [
      ...toAddressIn(SET.published),
      ...isProtocol('tcp'),
      loadDestinationPort(),
      valueFrom(SET.ports),
      destinationNat(),
    ],
  ];
}

function postroutingRules(pool: AddressRange): Expression[][] {
  return [
    // A connection to 127.0.0.1 keeps that source, which a container could not answer.
    [...addressWithin('source', LOOPBACK), ...toInterfaceIn(SET.interfaces), masquerade()],
    // Nor can a container that uses a port of its own answer itself.
    [...isReturning(SET.sources), masquerade()],
    ...toAddressOutside(pool).map((outside) => [
      ...notToInterface('lo'),
      ...addressWithin('source', pool),
      ...outside,
      masquerade(),
    ]),
  ];
}

function allRules(host: NetworkHostSpec, around: Surroundings): Readonly<Record<string, Expression[][]>> {
  return {
    [GUARD_CHAIN]: guardRules(around.hasLimits),
    [ICMP_GUARD_CHAIN]: icmpGuardRules(),
    [OPEN_CHAIN]: openRules(host),
    [DEFAULT_CHAIN]: defaultRules(around.denials),
    ingress: [[...fromInterfaceIn(SET.interfaces), verdict({ jump: GUARD_CHAIN })]],
    input: inputRules(host.allowHostAccess, around.denials),
    forward: forwardRules(around),
    prerouting: [...askRules(), ...publishRules()],
    output: publishRules(),
    postrouting: postroutingRules(parseRange(host.pool)),
    'count-forward': countRules(host),
    'count-input': countRules(host),
    ...(around.hasLimits && { egress: [[meta(META.oifname), verdictFrom(SET.limited)]] }),
  };
}

/** Elements for an interval set. */
function networkElements(networks: readonly AddressRange[]): Buffer[] {
  return mergeRanges(networks).flatMap((range) =>
    rangeElements(addressBytes(range.first), endsAtTop(range) ? undefined : addressBytes(range.last + 1)),
  );
}

/** Makes `addresses` and 127.0.0.1 the only addresses at which ports are published. */
export function replacePublished(table: TableMessages, addresses: readonly number[]): MessageBody[] {
  const elements = [...new Set([PUBLISHED_LOOPBACK, ...addresses])].map((address) =>
    addressElement(addressBytes(address)),
  );
  return [table.flushSet(SET.published), ...table.addManyElements(SET.published, elements)];
}

/**
 * The changes that put the skeleton in place or replace it. As one transaction there is no moment without
 * rules, and elements and chains of containers stay.
 */
export function skeleton(table: TableMessages, host: NetworkHostSpec, around: Surroundings): MessageBody[] {
  const rules = allRules(host, around);
  const counted =
    host.maxConnections === undefined ? [] : ([[countedSet(host.maxConnections), 'counted']] as const);
  const sets = [...SETS, ...counted, ...tellingSets(around.denials)];
  const changes = [table.addTable(), ...sets.map(([name, kind], i) => table.addSet(name, kind, i + 1))];
  // Chains that others lead to come first; a jump to a chain that is not there yet is refused.
  for (const chain of Object.keys(rules))
    changes.push(table.addChain(chain, BASE_CHAINS[chain]), table.flushChain(chain));
  const reserved = [...METADATA, parseRange(host.pool)];
  const opened = openedNetworks(host);
  for (const [set, networks] of [
    [SET.allowNetworks, opened],
    [SET.denyNetworks, host.denyNetworks.map(parseRange)],
    [SET.reserved, reserved],
  ] as const) {
    changes.push(table.flushSet(set));
    changes.push(...table.addManyElements(set, networkElements(networks)));
  }
  changes.push(...replacePublished(table, around.published));
  // The resolver they lead to was a daemon's that is no more, or is put in again by the same transaction; an
  // element cannot be given another port.
  changes.push(table.flushSet(SET.resolvers), table.flushSet(SET.answering));
  // Those of living containers are put in again by the same transaction; an element cannot be given another
  // verdict, as one of an earlier version has it.
  changes.push(table.flushSet(SET.containers));
  changes.push(table.addElements(SET.protocols, Object.values(PROTOCOL).map(protocolElement)));
  for (const [chain, list] of Object.entries(rules)) {
    for (const expressions of list) changes.push(table.addRule(chain, expressions));
  }
  return changes;
}

/** Names of the chains that belong to no container. */
export const STATIC_CHAINS: ReadonlySet<string> = new Set([
  GUARD_CHAIN,
  ICMP_GUARD_CHAIN,
  OPEN_CHAIN,
  DEFAULT_CHAIN,
  ...Object.keys(BASE_CHAINS),
]);
