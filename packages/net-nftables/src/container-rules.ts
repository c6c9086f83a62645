/**
 * What one container adds to the table: its interface in two sets, a chain with its allow rules if it has
 * some, and its published ports.
 *
 * All names come from the id. Every function answers the changes for one transaction.
 */
import type { ContainerId, EgressRule, PortMapping } from '@warden/interface';
import { isContainerId } from '@warden/interface';
import { egressRules } from './egress-rule.ts';
import type { AddressRange } from './ipv4-address.ts';
import { addressBytes, parseAddress } from './ipv4-address.ts';
import { linkEnds } from './link-names.ts';
import type { MessageBody } from './netlink-message.ts';
import {
  CT_STATUS_DNAT,
  compare,
  ctStatusHas,
  exceeds,
  interfaceKey,
  META,
  memberOf,
  meta,
  packetRate,
  verdict,
} from './nftables-expression.ts';
import type { TableMessages } from './nftables-message.ts';
import {
  interfaceDestinationElement,
  interfaceElement,
  portElement,
  sourceElement,
  verdictElement,
} from './nftables-message.ts';
import { isProtocol, loadDestinationPort } from './packet-match.ts';
import { DEFAULT_CHAIN } from './ruleset.ts';
import { SET } from './set-names.ts';

/**
 * The chains of a container: its rules, what drops beyond its bandwidth where queues cannot hold that back,
 * and what lets its questions for names in.
 */
const CHAIN_PREFIXES = { chains: 'i-', limits: 'b-', askers: 'd-' } as const;
/**
 * Packets per second with which a container may ask for names, and beyond it at once. A question is one, over
 * TCP some seven. The resolver holds to as many questions.
 */
export const ASKER_RATE = 100;
export const ASKER_BURST = 300;

type ChainKind = keyof typeof CHAIN_PREFIXES;

function chainOf(id: ContainerId, kind: ChainKind = 'chains'): string {
  return CHAIN_PREFIXES[kind] + id;
}

/** Whose chain this is, and which; undefined when it is no container's. */
export function chainOwner(
  chain: string,
): { readonly id: ContainerId; readonly kind: ChainKind } | undefined {
  for (const kind of Object.keys(CHAIN_PREFIXES) as ChainKind[]) {
    const prefix = CHAIN_PREFIXES[kind];
    const id = chain.slice(prefix.length);
    if (chain.startsWith(prefix) && isContainerId(id)) return { id, kind };
  }
  return undefined;
}

/** Makes both directions of a container drop what exceeds the bucket. Idempotent. */
export function ensureLimit(
  table: TableMessages,
  id: ContainerId,
  bucket: { readonly rate: bigint; readonly burst: number },
): MessageBody[] {
  const chain = chainOf(id, 'limits');
  const host = linkEnds(id).host.name;
  const over = [exceeds(bucket.rate, bucket.burst), verdict('drop')];
  return [
    table.addChain(chain),
    table.flushChain(chain),
    table.addRule(chain, [meta(META.iifname), compare(interfaceKey(host)), ...over]),
    table.addRule(chain, [meta(META.oifname), compare(interfaceKey(host)), ...over]),
    table.addElements(SET.limited, [verdictElement(host, { jump: chain })]),
  ];
}

/** Removes what {@link ensureLimit} made. Fails with ENOENT when a part of it is missing. */
export function removeLimit(table: TableMessages, id: ContainerId): MessageBody[] {
  const chain = chainOf(id, 'limits');
  return [
    table.deleteElements(SET.limited, [verdictElement(linkEnds(id).host.name)]),
    table.flushChain(chain),
    table.deleteChain(chain),
  ];
}

/**
 * Leads a container's questions for names to the resolver at this port of its gateway, and lets them in.
 * Idempotent.
 */
export function ensureAsker(
  table: TableMessages,
  id: ContainerId,
  to: { readonly hostIp: string; readonly port: number },
): MessageBody[] {
  const chain = chainOf(id, 'askers');
  const host = linkEnds(id).host.name;
  const destination = { address: addressBytes(parseAddress(to.hostIp)), port: to.port };
  // Only what was led here, and only while the daemon that listens there lives.
  const question = (protocol: 'udp' | 'tcp'): ReturnType<typeof isProtocol> => [
    ...ctStatusHas(CT_STATUS_DNAT),
    ...isProtocol(protocol),
    loadDestinationPort(),
    memberOf(SET.answering),
  ];
  const protocols = ['udp', 'tcp'] as const;
  return [
    table.addChain(chain),
    table.flushChain(chain),
    ...protocols.flatMap((protocol) => [
      table.addRule(chain, [
        ...question(protocol),
        packetRate(ASKER_RATE, ASKER_BURST, 'over'),
        verdict('drop'),
      ]),
      table.addRule(chain, [...question(protocol), verdict('accept')]),
    ]),
    table.addElements(SET.askers, [verdictElement(host, { jump: chain })]),
    table.addElements(SET.resolvers, [interfaceDestinationElement(host, destination)]),
  ];
}

/** Removes what {@link ensureAsker} made. Fails with ENOENT when a part of it is missing. */
export function removeAsker(table: TableMessages, id: ContainerId): MessageBody[] {
  const chain = chainOf(id, 'askers');
  const host = linkEnds(id).host.name;
  return [
    table.deleteElements(SET.resolvers, [interfaceDestinationElement(host)]),
    table.deleteElements(SET.askers, [verdictElement(host)]),
    table.flushChain(chain),
    table.deleteChain(chain),
  ];
}

/** The container's allow rules, oldest first, and where containers live. */
export interface ContainerEgress {
  readonly egress: readonly EgressRule[];
  readonly pool: AddressRange | undefined;
}

/**
 * Makes the container's link one of those that rules are about, and its allow rules exactly these. A
 * container without any has no chain: for each element that leads to one, the kernel looks at the chains of
 * all others. `hasChain`: it has one now. Idempotent.
 */
export function ensureContainer(
  table: TableMessages,
  id: ContainerId,
  { egress, pool, hasChain }: ContainerEgress & { readonly hasChain: boolean },
): MessageBody[] {
  const listed = ensureElements(table, id, { hasChain: false });
  if (egress.length > 0) return [...listed, ...ensureChain(table, id, { egress, pool })];
  // parts of it may be missing: what is added first can be removed for certain
  return hasChain ? [...listed, ...leadToChain(table, id), ...removeChain(table, id)] : listed;
}

/** Makes the container's chain hold exactly these rules, and leads its traffic there. Idempotent. */
function ensureChain(
  table: TableMessages,
  id: ContainerId,
  { egress, pool }: ContainerEgress,
): MessageBody[] {
  const chain = chainOf(id);
  const newestFirst = egress.toReversed().flatMap((rule) => egressRules(id, rule, pool));
  return [
    ...leadToChain(table, id),
    table.flushChain(chain),
    ...newestFirst.map((expressions) => table.addRule(chain, expressions)),
    table.addRule(chain, [verdict({ goto: DEFAULT_CHAIN })]),
  ];
}

/**
 * By `jump`: a packet that is looked at while the transaction comes into force may meet the new element and
 * the chain as it was, without rules. It comes back from there, to the rule that refuses it; from the end of
 * a `goto` it would be accepted by the policy.
 */
function leadToChain(table: TableMessages, id: ContainerId): MessageBody[] {
  const { name } = linkEnds(id).host;
  return [
    table.addChain(chainOf(id)),
    table.addElements(SET.containers, [verdictElement(name, { jump: chainOf(id) })]),
  ];
}

function removeChain(table: TableMessages, id: ContainerId): MessageBody[] {
  const chain = chainOf(id);
  return [
    table.deleteElements(SET.containers, [verdictElement(linkEnds(id).host.name)]),
    table.flushChain(chain),
    table.deleteChain(chain),
  ];
}

/**
 * Makes the container's link one of those that rules are about, and leads its traffic to the chain that it
 * may have. Idempotent.
 */
export function ensureElements(
  table: TableMessages,
  id: ContainerId,
  { hasChain }: { readonly hasChain: boolean },
): MessageBody[] {
  return [
    table.addElements(SET.interfaces, [interfaceElement(linkEnds(id).host.name)]),
    ...(hasChain ? leadToChain(table, id) : []),
  ];
}

/** Lets this address in by the container's link. Until then nothing comes in by it. Idempotent. */
export function ensureSource(table: TableMessages, id: ContainerId, address: number): MessageBody {
  return table.addElements(SET.sources, [sourceElement(linkEnds(id).host.name, addressBytes(address))]);
}

/** Takes an address away again. Fails with ENOENT when it is not there. */
export function removeSource(table: TableMessages, id: ContainerId, address: number): MessageBody {
  return table.deleteElements(SET.sources, [sourceElement(linkEnds(id).host.name, addressBytes(address))]);
}

/**
 * Removes what {@link ensureElements} and {@link ensureContainer} made. Fails with ENOENT when a part of it
 * is missing.
 */
export function removeContainer(
  table: TableMessages,
  id: ContainerId,
  { hasChain }: { readonly hasChain: boolean },
): MessageBody[] {
  return [
    ...(hasChain ? removeChain(table, id) : []),
    table.deleteElements(SET.interfaces, [interfaceElement(linkEnds(id).host.name)]),
  ];
}

/**
 * Puts an allow rule in front of the container's earlier ones, if there are any. Fails with ENOENT when the
 * container is not there, or, with `hasChain`, its chain; without, with EEXIST when the chain is there.
 */
export function insertEgress(
  table: TableMessages,
  id: ContainerId,
  {
    rule,
    pool,
    address,
    hasChain,
  }: Omit<ContainerEgress, 'egress'> & {
    readonly rule: EgressRule;
    /** That comes in by the container's link. */
    readonly address: number;
    readonly hasChain: boolean;
  },
): MessageBody[] {
  if (!hasChain) {
    return [
      // Fails for one that is gone, and leaves the others as they are: whoever is looked at meanwhile and
      // misses the element is dropped.
      removeSource(table, id, address),
      ensureSource(table, id, address),
      table.addNewChain(chainOf(id)),
      ...ensureChain(table, id, { egress: [rule], pool }),
    ];
  }
  // Each goes to the very front, so the last one sent is met first.
  return egressRules(id, rule, pool)
    .toReversed()
    .map((expressions) => table.addRule(chainOf(id), expressions, 'first'));
}

/** Publishes a port. Fails with EEXIST when it is taken. */
export function addPort(
  table: TableMessages,
  id: ContainerId,
  containerIp: string,
  mapping: PortMapping,
): MessageBody {
  const to = { address: addressBytes(parseAddress(containerIp)), port: mapping.containerPort, comment: id };
  return table.addElements(SET.ports, [portElement(mapping.hostPort, to)], true);
}

/** Withdraws published ports; nothing for an empty list. */
export function removePorts(table: TableMessages, hostPorts: readonly number[]): MessageBody[] {
  return table.deleteManyElements(
    SET.ports,
    hostPorts.map((port) => portElement(port)),
  );
}
