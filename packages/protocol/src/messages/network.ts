/** Ports and egress (spec protocol.md 8). */

import { type MessageDescriptor, message, optional, repeated, required } from '../descriptor.ts';
import { NetOutProtocol } from './enums.ts';
import { PublishedPort } from './parts.ts';

/** Makes a port of the host lead into a container. */
export interface NetInRequest {
  readonly handle: string;
  readonly container_port?: number | undefined;
  readonly host_port?: number | undefined;
}
/** The fields of {@link NetInRequest} for the codec. */
export const NetInRequest: MessageDescriptor<NetInRequest> = message(
  'NetInRequest',
  required(1, 'handle', 'string'),
  optional(2, 'container_port', 'uint32'),
  optional(3, 'host_port', 'uint32'),
);

/** Both ports. */
export interface NetInResponse {
  readonly host_port: number;
  readonly container_port: number;
}
/** The fields of {@link NetInResponse} for the codec. */
export const NetInResponse: MessageDescriptor<NetInResponse> = message(
  'NetInResponse',
  required(1, 'host_port', 'uint32'),
  required(2, 'container_port', 'uint32'),
);

/** Allows a container to reach a network or ports. */
export interface NetOutRequest {
  readonly handle: string;
  /** Address, CIDR or `a-b`. */
  readonly network?: string | undefined;
  readonly port?: number | undefined;
  /** `low:high`, wins over `port`. */
  readonly port_range?: string | undefined;
  /** Absent: TCP. */
  readonly protocol?: number | undefined;
  /** -1 or absent: any. */
  readonly icmp_type?: number | undefined;
  /** -1 or absent: any. */
  readonly icmp_code?: number | undefined;
  readonly log?: boolean | undefined;
  /** Only what this name leads to. (An extension: see docs/protocol-extensions.md.) */
  readonly domain?: string | undefined;
}
/** The fields of {@link NetOutRequest} for the codec. */
export const NetOutRequest: MessageDescriptor<NetOutRequest> = message(
  'NetOutRequest',
  required(1, 'handle', 'string'),
  optional(2, 'network', 'string'),
  optional(3, 'port', 'uint32'),
  optional(4, 'port_range', 'string'),
  optional(5, 'protocol', 'enum', { enum: NetOutProtocol }),
  optional(6, 'icmp_type', 'int32'),
  optional(7, 'icmp_code', 'int32'),
  optional(8, 'log', 'bool'),
  optional(1001, 'domain', 'string'),
);

/** Says that it is done. */
export type NetOutResponse = Readonly<Record<never, never>>;
/** The fields of {@link NetOutResponse} for the codec. */
export const NetOutResponse: MessageDescriptor<NetOutResponse> = message('NetOutResponse');

/** Extension: an egress rule, as NetOut makes it. */
export type NetRule = Omit<NetOutRequest, 'handle'>;
/** The fields of {@link NetRule} for the codec: those of {@link NetOutRequest}, by the same numbers. */
export const NetRule: MessageDescriptor<NetRule> = message(
  'NetRule',
  ...NetOutRequest.fields.filter(({ name }) => name !== 'handle'),
);

/** Extension: takes ports and rules away, and asks for those that are left. Without any: only asks. */
export interface NetRulesRequest {
  readonly handle: string;
  /** Ports of the host. */
  readonly remove_ports?: readonly number[] | undefined;
  readonly remove_egress?: readonly NetRule[] | undefined;
}
/** The fields of {@link NetRulesRequest} for the codec. */
export const NetRulesRequest: MessageDescriptor<NetRulesRequest> = message(
  'NetRulesRequest',
  required(1, 'handle', 'string'),
  repeated(2, 'remove_ports', 'uint32'),
  repeated(3, 'remove_egress', 'message', { message: NetRule }),
);

/** All there are now, oldest first. */
export interface NetRulesResponse {
  readonly ports?: readonly PublishedPort[] | undefined;
  readonly egress?: readonly NetRule[] | undefined;
}
/** The fields of {@link NetRulesResponse} for the codec. */
export const NetRulesResponse: MessageDescriptor<NetRulesResponse> = message(
  'NetRulesResponse',
  repeated(1, 'ports', 'message', { message: PublishedPort }),
  repeated(2, 'egress', 'message', { message: NetRule }),
);
