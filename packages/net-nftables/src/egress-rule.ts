/** One allow rule as nftables expressions. */
import type { ContainerId, EgressRule } from '@warden/interface';
import { WardenError } from '@warden/interface';
import type { AddressRange } from './ipv4-address.ts';
import { commonRange, coversReserved, METADATA, parseAddress } from './ipv4-address.ts';
import { domainHash } from './learned-addresses.ts';
import type { Expression } from './nftables-expression.ts';
import { CT_STATE, counter, ctState, log, verdict } from './nftables-expression.ts';
import {
  addressWithin,
  destinationPortWithin,
  icmpByte,
  isLearned,
  isProtocol,
  publishedWithin,
  toAddressNotIn,
} from './packet-match.ts';
import { SET } from './set-names.ts';

function protocolMatch(rule: EgressRule): Expression[] {
  if (rule.protocol === 'all') return [];
  return isProtocol(rule.protocol);
}

function icmpMatch(rule: EgressRule): Expression[] {
  // As in the original, a code means nothing without its type.
  if (rule.protocol !== 'icmp' || rule.icmpType === undefined) return [];
  const type = icmpByte('type', rule.icmpType);
  return rule.icmpCode === undefined ? type : [...type, ...icmpByte('code', rule.icmpCode)];
}

const EVERYWHERE: AddressRange = { first: 0, last: 0xffff_ffff };

/** Where packets go that a rule with this network is about. */
export function destinationRange(network: EgressRule['network']): AddressRange {
  return network === undefined
    ? EVERYWHERE
    : { first: parseAddress(network.first), last: parseAddress(network.last) };
}

/**
 * The ways of being meant by a rule. A rule that covers reserved addresses without being about them opens the
 * others, and of containers what is published of them: those packets were sent to the host's address.
 */
function destinationMatches(network: EgressRule['network'], pool: AddressRange | undefined): Expression[][] {
  const range = destinationRange(network);
  const within = network === undefined ? [] : addressWithin('destination', range);
  if (!coversReserved(range, pool === undefined ? METADATA : [...METADATA, pool])) return [within];
  const others = [...within, ...toAddressNotIn(SET.reserved)];
  const containers = pool === undefined ? undefined : commonRange(range, pool);
  return containers === undefined ? [others] : [others, publishedWithin(containers)];
}

/**
 * What a name has led to, and of that nothing that a name must not open: whoever answers for the name chooses
 * the addresses. The daemon looks at them first; here it holds for what has been learned before the networks
 * were others, too.
 */
function namedMatch(domain: string, network: EgressRule['network']): Expression[] {
  const range = network && { first: parseAddress(network.first), last: parseAddress(network.last) };
  return [
    ...(range === undefined ? [] : addressWithin('destination', range)),
    ...toAddressNotIn(SET.reserved),
    ...toAddressNotIn(SET.denyNetworks),
    ...isLearned(SET.learned, domainHash(domain)),
  ];
}

/** What the rule says of packets, wherever they go. */
function match(rule: EgressRule): Expression[] {
  const { ports, protocol } = rule;
  if (ports !== undefined && protocol !== 'tcp' && protocol !== 'udp') {
    // Leaving the ports out would allow more than was asked for.
    throw new WardenError('INVALID_SPEC', `command exited with failure: protocol ${protocol} has no ports`, {
      fields: { operation: 'allow-egress', object: protocol },
    });
  }
  return [
    ...protocolMatch(rule),
    ...(ports === undefined ? [] : destinationPortWithin(ports)),
    ...icmpMatch(rule),
  ];
}

/**
 * The rules in the order in which a packet meets them: the log line of a new TCP connection, if wanted, then
 * the acceptance. `pool` is where containers live. Errors: `INVALID_SPEC` for ports with a protocol that has
 * none.
 */
export function egressRules(
  id: ContainerId,
  rule: EgressRule,
  pool: AddressRange | undefined,
): Expression[][] {
  const destinations =
    rule.domain === undefined
      ? destinationMatches(rule.network, pool)
      : [namedMatch(rule.domain, rule.network)];
  return destinations.flatMap((destination) => {
    const accept = [...destination, ...match(rule), verdict('accept')];
    // Only TCP is logged, and only what is not part of a known connection: as in the original.
    if (!rule.log || (rule.protocol !== 'tcp' && rule.protocol !== 'all')) return [accept];
    // Counted too: of a network namespace that is not the first, the kernel logs nothing unless it is told to.
    const tcpOnly: EgressRule = { ...rule, protocol: 'tcp' };
    const state = ctState(CT_STATE.new | CT_STATE.untracked | CT_STATE.invalid);
    return [[...destination, ...match(tcpOnly), ...state, counter(), log(`warden-i-${id} `)], accept];
  });
}
