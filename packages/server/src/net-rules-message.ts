/** Egress rules and published ports between the wire and the `Warden` type. */
import type { NetOutSpec, NetRules, PortMapping } from '@warden/interface';
import { NetOutProtocol, type NetRule, type NetRulesResponse, type PublishedPort } from '@warden/protocol';
import { unknownProtocol } from './error-response.ts';

const { TCP, UDP, ICMP, ALL } = NetOutProtocol.values;
const NUMBERS = { tcp: TCP, udp: UDP, icmp: ICMP, all: ALL } as const;
const PROTOCOLS: ReadonlyMap<number, NonNullable<NetOutSpec['protocol']>> = new Map([
  [TCP, 'tcp'],
  [UDP, 'udp'],
  [ICMP, 'icmp'],
  [ALL, 'all'],
]);

/** Errors: `INVALID_SPEC` for a protocol that is none, naming what it was for. */
export function egressSpec(rule: NetRule, operation: 'net out' | 'net rules'): NetOutSpec {
  const protocol = PROTOCOLS.get(rule.protocol ?? TCP);
  if (protocol === undefined) throw unknownProtocol(rule.protocol!, operation);
  return {
    network: rule.network,
    port: rule.port,
    portRange: rule.port_range,
    protocol,
    icmpType: rule.icmp_type,
    icmpCode: rule.icmp_code,
    log: rule.log ?? false,
    ...(rule.domain !== undefined && { domain: rule.domain }),
  };
}

/** A port as on the wire. */
export function portMessage({ hostPort, containerPort }: PortMapping): PublishedPort {
  return { host_port: hostPort, container_port: containerPort };
}

/** Each rule in the form in which it can be sent back. */
export function netRulesMessage({ ports, egress }: NetRules): NetRulesResponse {
  return {
    ports: ports.map(portMessage),
    egress: egress.map(({ protocol = 'tcp', portRange, icmpType, icmpCode, ...same }) => ({
      ...same,
      port_range: portRange,
      protocol: NUMBERS[protocol],
      icmp_type: icmpType,
      icmp_code: icmpCode,
    })),
  };
}
