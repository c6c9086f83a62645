/**
 * Which connections a container has only because of rules that were taken away. Whatever is established passes every rule, so these have to be forgotten; the others
 * must not be: an answer that comes to a forgotten connection is refused by the host, which does not know for whom it is.
 */
import type { EgressRule, NetworkHostSpec, NetworkRules, PortMapping } from '@warden/interface';
import type { TrackedConnection } from './connection-tracking.ts';
import type { AddressRange } from './ipv4-address.ts';
import { commonRange, coversReserved, METADATA, parseAddress, parseRange } from './ipv4-address.ts';
import { PROTOCOL } from './packet-match.ts';
import { openedNetworks } from './ruleset.ts';

/** What the rules of a container are about, besides themselves. */
export interface PolicyFacts {
  readonly host: NetworkHostSpec;
  /** Whether a name of this rule leads to the address now. */
  isLearned(domain: string, address: number): boolean;
}

/** Tells of a connection that the container has begun whether it must end. */
export function withdrawnEgress(
  { withdrawn, kept }: { readonly withdrawn: NetworkRules; readonly kept: NetworkRules },
  facts: PolicyFacts,
): (one: TrackedConnection) => boolean {
  const opened = openedNetworks(facts.host);
  const pool = parseRange(facts.host.pool);
  const covering = facts.host.allowNetworks.map(parseRange).filter((range) => coversReserved(range, [pool]));
  const isOpen = ({ end, to }: TrackedConnection): boolean =>
    isIn(end, opened) || (end !== to && isIn(end, [pool]) && covering.some((range) => isIn(end, [range])));
  return (one) =>
    withdrawn.egress.some((rule) => mayHaveAllowed(rule, one)) &&
    !isOpen(one) &&
    !kept.egress.some((rule) => allows(rule, one, facts));
}

/** Tells of a connection that the container answers whether it came by one of these ports. */
export function withdrawnInbound(mappings: readonly PortMapping[]): (one: TrackedConnection) => boolean {
  return ({ protocol, to, toPort, end, endPort }) =>
    protocol === PROTOCOL.tcp &&
    end !== to &&
    mappings.some(({ hostPort, containerPort }) => hostPort === toPort && containerPort === endPort);
}

/** A name may have led anywhere by now: what it has led to is not kept for long. */
function mayHaveAllowed(rule: EgressRule, one: TrackedConnection): boolean {
  return isAbout(rule, one) && isIn(one.end, [rangeOf(rule)]);
}

function allows(rule: EgressRule, one: TrackedConnection, { host, isLearned }: PolicyFacts): boolean {
  if (!mayHaveAllowed(rule, one)) return false;
  const { end, to } = one;
  const pool = parseRange(host.pool);
  const isReserved = isIn(end, [...METADATA, pool]);
  if (rule.domain !== undefined) {
    const isClosed = isReserved || isIn(end, host.denyNetworks.map(parseRange));
    return !isClosed && isLearned(rule.domain, end);
  }
  const range = rangeOf(rule);
  if (!isReserved || !coversReserved(range, [...METADATA, pool])) return true;
  const published = commonRange(range, pool);
  return published !== undefined && end !== to && isIn(end, [published]);
}

function isAbout(rule: EgressRule, one: TrackedConnection): boolean {
  const { protocol, ports, icmpType, icmpCode } = rule;
  if (protocol !== 'all' && PROTOCOL[protocol] !== one.protocol) return false;
  if (
    ports !== undefined &&
    (one.endPort === undefined || one.endPort < ports.first || one.endPort > ports.last)
  )
    return false;
  if (protocol !== 'icmp' || icmpType === undefined) return true;
  return icmpType === one.icmpType && (icmpCode === undefined || icmpCode === one.icmpCode);
}

function rangeOf({ network }: EgressRule): AddressRange {
  return network === undefined
    ? { first: 0, last: 0xffff_ffff }
    : { first: parseAddress(network.first), last: parseAddress(network.last) };
}

function isIn(address: number, ranges: readonly AddressRange[]): boolean {
  return ranges.some(({ first, last }) => address >= first && address <= last);
}
