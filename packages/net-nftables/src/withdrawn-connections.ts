/**
 * Which connections a container has only because of rules that were taken away. Whatever is established
 * passes every rule, so these have to be forgotten; the others must not be: an answer that comes to a
 * forgotten connection is refused by the host, which does not know for whom it is.
 */
import type { EgressRule, NetworkHostSpec, NetworkRules, PortMapping } from '@warden/interface';
import type { TrackedConnection } from './connection-tracking.ts';
import { destinationRange } from './egress-rule.ts';
import type { AddressRange } from './ipv4-address.ts';
import { commonRange, coversReserved, isWithin, METADATA, parseRange } from './ipv4-address.ts';
import { PROTOCOL } from './packet-match.ts';
import { openedContainers, openedNetworks } from './ruleset.ts';

/** What the rules of a container are about, besides themselves. */
export interface PolicyFacts {
  readonly host: NetworkHostSpec;
  /** Whether a name of this rule leads to the address now. */
  isLearned(domain: string, address: number): boolean;
}

/** The same, read once for all connections. */
interface Policy extends Pick<PolicyFacts, 'isLearned'> {
  readonly pool: AddressRange;
  readonly denied: readonly AddressRange[];
}

/** Tells of a connection that the container has begun whether it must end. */
export function withdrawnEgress(
  { withdrawn, kept }: { readonly withdrawn: NetworkRules; readonly kept: NetworkRules },
  facts: PolicyFacts,
): (one: TrackedConnection) => boolean {
  const isForbidden = forbiddenEgress(kept, facts);
  return (one) => withdrawn.egress.some((rule) => mayHaveAllowed(rule, one)) && isForbidden(one);
}

/** Tells of a connection that the container has begun whether no rule allows it: it began while there were none. */
export function forbiddenEgress(
  { egress }: Pick<NetworkRules, 'egress'>,
  { host, isLearned }: PolicyFacts,
): (one: TrackedConnection) => boolean {
  const [opened, containers] = [openedNetworks(host), openedContainers(host)];
  const policy = { pool: parseRange(host.pool), denied: host.denyNetworks.map(parseRange), isLearned };
  const isOpen = ({ end, to }: TrackedConnection): boolean =>
    isWithin(end, opened) || (end !== to && isWithin(end, containers));
  return (one) => !isOpen(one) && !egress.some((rule) => allows(rule, one, policy));
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
  return isAbout(rule, one) && isWithin(one.end, [destinationRange(rule.network)]);
}

function allows(rule: EgressRule, one: TrackedConnection, { pool, denied, isLearned }: Policy): boolean {
  if (!mayHaveAllowed(rule, one)) return false;
  const { end, to } = one;
  const isReserved = isWithin(end, [...METADATA, pool]);
  if (rule.domain !== undefined) return !isReserved && !isWithin(end, denied) && isLearned(rule.domain, end);
  const range = destinationRange(rule.network);
  if (!isReserved || !coversReserved(range, [...METADATA, pool])) return true;
  const published = commonRange(range, pool);
  return published !== undefined && end !== to && isWithin(end, [published]);
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
