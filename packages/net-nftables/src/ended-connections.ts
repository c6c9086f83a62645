/** Ending the connections of a container that its rules do not allow, or no longer. */
import type { EgressRule, NetworkRules } from '@warden/interface';
import { forgetSome, type TrackedConnection } from './connection-tracking.ts';
import { isWithin, parseRange } from './ipv4-address.ts';
import type { NetlinkConnection } from './netlink-connection.ts';
import { isOwnAddress } from './outward-address.ts';
import {
  forbiddenEgress,
  type PolicyFacts,
  withdrawnEgress,
  withdrawnInbound,
} from './withdrawn-connections.ts';

/** Of the container at `address`: what it has only because of rules that were taken away. */
export function endWithdrawn(
  netlink: NetlinkConnection,
  address: number,
  rules: { readonly withdrawn: NetworkRules; readonly kept: NetworkRules },
  facts: PolicyFacts,
): void {
  const { egress, mappings } = rules.withdrawn;
  if (egress.length > 0) forgetSome(netlink, ['original', address], withdrawnEgress(rules, facts));
  if (mappings.length > 0) forgetSome(netlink, ['reply', address], withdrawnInbound(mappings));
}

/**
 * Ends what a container could begin while it had no rules, and begins anew what went out under its own
 * address then: no answer finds the way to that, and whoever tries again by the same ports keeps it so.
 * What leads to the host is refused as long as it is known who has begun it.
 */
export function endUnfiltered(
  netlink: NetlinkConnection,
  address: number,
  egress: readonly EgressRule[],
  facts: PolicyFacts,
): void {
  const isForbidden = forbiddenEgress({ egress }, facts);
  const pool = parseRange(facts.host.pool);
  const isLost = ({ end, answeredTo, isAnswered }: TrackedConnection): boolean =>
    !isAnswered && answeredTo === address && !isWithin(end, [pool]);
  forgetSome(
    netlink,
    ['original', address],
    (one) => isLost(one) || (isForbidden(one) && !isOwnAddress(netlink, one.end)),
  );
}
