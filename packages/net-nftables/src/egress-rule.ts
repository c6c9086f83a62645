/** One allow rule as nftables expressions. */
import type { ContainerId, EgressRule } from '@warden/interface';
import { WardenError } from '@warden/interface';
import { coversLinkLocal, LINK_LOCAL, parseAddress } from './ipv4-address.ts';
import type { Expression } from './nftables-expression.ts';
import { CT_STATE, counter, ctState, log, verdict } from './nftables-expression.ts';
import {
  addressWithin,
  destinationPortWithin,
  icmpByte,
  isProtocol,
  toAddressExcept,
} from './packet-match.ts';

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

function destinationMatch(network: EgressRule['network']): Expression[] {
  if (network === undefined) return toAddressExcept(LINK_LOCAL);
  const range = { first: parseAddress(network.first), last: parseAddress(network.last) };
  const within = addressWithin('destination', range);
  return coversLinkLocal(range) ? [...within, ...toAddressExcept(LINK_LOCAL)] : within;
}

function match(rule: EgressRule): Expression[] {
  const { network, ports, protocol } = rule;
  if (ports !== undefined && protocol !== 'tcp' && protocol !== 'udp') {
    // Leaving the ports out would allow more than was asked for.
    throw new WardenError('INVALID_SPEC', `command exited with failure: protocol ${protocol} has no ports`, {
      fields: { operation: 'allow-egress', object: protocol },
    });
  }
  return [
    ...destinationMatch(network),
    ...protocolMatch(rule),
    ...(ports === undefined ? [] : destinationPortWithin(ports)),
    ...icmpMatch(rule),
  ];
}

/**
 * The rules in the order in which a packet meets them: the log line of a new TCP connection, if wanted, then the acceptance.
 * Errors: `INVALID_SPEC` for ports with a protocol that has none.
 */
export function egressRules(id: ContainerId, rule: EgressRule): Expression[][] {
  const accept = [...match(rule), verdict('accept')];
  // Only TCP is logged, and only what is not part of a known connection: as in the original.
  if (!rule.log || (rule.protocol !== 'tcp' && rule.protocol !== 'all')) return [accept];
  // Counted too: of a network namespace that is not the first, the kernel logs nothing unless it is told to.
  const tcpOnly: EgressRule = { ...rule, protocol: 'tcp' };
  const state = ctState(CT_STATE.new | CT_STATE.untracked | CT_STATE.invalid);
  return [[...match(tcpOnly), ...state, counter(), log(`warden-i-${id} `)], accept];
}
