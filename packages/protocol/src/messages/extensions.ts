/**
 * Requests that the original's daemon does not know (docs/protocol-extensions.md). It answers them with an
 * error, or not at all.
 */

import { type MessageDescriptor, message, optional, repeated, required } from '../descriptor.ts';
import { InfoResponse } from './lifecycle.ts';
import { Property, TerminalSize } from './parts.ts';

/** Says that it is done. */
export type EmptyResponse = Readonly<Record<never, never>>;
/** The fields of {@link EmptyResponse} for the codec. */
export const EmptyResponse: MessageDescriptor<EmptyResponse> = message('EmptyResponse');

/** A request that names its container and nothing else. */
export interface HandleRequest {
  readonly handle: string;
}
/** The fields of {@link HandleRequest} for the codec. */
export const HandleRequest: MessageDescriptor<HandleRequest> = message(
  'HandleRequest',
  required(1, 'handle', 'string'),
);

/** Asks what the daemon knows beyond the original's requests. */
export type FeaturesRequest = Readonly<Record<never, never>>;
/** The fields of {@link FeaturesRequest} for the codec. */
export const FeaturesRequest: MessageDescriptor<FeaturesRequest> = message('FeaturesRequest');

/** What this version of the protocol has beyond the original's requests and `JobSignal`. */
export const FEATURES: readonly string[] = [
  'job-command',
  'job-input',
  'properties',
  'pause',
  'info-many',
  'metrics',
  'events',
  'files',
  'images',
  'egress-domain',
  'live-output',
  'net-rules',
];

/** Words; a client ignores those it does not know. */
export interface FeaturesResponse {
  readonly features?: readonly string[] | undefined;
}
/** The fields of {@link FeaturesResponse} for the codec. */
export const FeaturesResponse: MessageDescriptor<FeaturesResponse> = message(
  'FeaturesResponse',
  repeated(1, 'features', 'string'),
);

/** Writes to a job's open input; answered when the job's pipe has taken it. */
export interface JobInputRequest {
  readonly handle: string;
  readonly job_id: number;
  readonly data?: Uint8Array | undefined;
  /** After the data, the input ends. */
  readonly end?: boolean | undefined;
}
/** The fields of {@link JobInputRequest} for the codec. */
export const JobInputRequest: MessageDescriptor<JobInputRequest> = message(
  'JobInputRequest',
  required(1, 'handle', 'string'),
  required(2, 'job_id', 'uint32'),
  optional(3, 'data', 'bytes'),
  optional(4, 'end', 'bool'),
);

/** Sets the size of a job's terminal. */
export interface JobResizeRequest {
  readonly handle: string;
  readonly job_id: number;
  readonly size: TerminalSize;
}
/** The fields of {@link JobResizeRequest} for the codec. */
export const JobResizeRequest: MessageDescriptor<JobResizeRequest> = message(
  'JobResizeRequest',
  required(1, 'handle', 'string'),
  required(2, 'job_id', 'uint32'),
  required(3, 'size', 'message', { message: TerminalSize }),
);

/** Changes properties, and asks for them. */
export interface PropertiesRequest {
  readonly handle: string;
  readonly set?: readonly Property[] | undefined;
  readonly remove?: readonly string[] | undefined;
}
/** The fields of {@link PropertiesRequest} for the codec. */
export const PropertiesRequest: MessageDescriptor<PropertiesRequest> = message(
  'PropertiesRequest',
  required(1, 'handle', 'string'),
  repeated(2, 'set', 'message', { message: Property }),
  repeated(3, 'remove', 'string'),
);

/** All there are now. */
export interface PropertiesResponse {
  readonly properties?: readonly Property[] | undefined;
}
/** The fields of {@link PropertiesResponse} for the codec. */
export const PropertiesResponse: MessageDescriptor<PropertiesResponse> = message(
  'PropertiesResponse',
  repeated(1, 'properties', 'message', { message: Property }),
);

/** Asks for the info of many containers: those named, else all that have the properties. */
export interface InfoManyRequest {
  readonly handles?: readonly string[] | undefined;
  readonly properties?: readonly Property[] | undefined;
}
/** The fields of {@link InfoManyRequest} for the codec. */
export const InfoManyRequest: MessageDescriptor<InfoManyRequest> = message(
  'InfoManyRequest',
  repeated(1, 'handles', 'string'),
  repeated(2, 'properties', 'message', { message: Property }),
);

/** Info of one of many. */
export interface InfoReport {
  readonly handle: string;
  readonly info?: InfoResponse | undefined;
  readonly error_code?: string | undefined;
  readonly error_message?: string | undefined;
}
/** The fields of {@link InfoReport} for the codec. */
export const InfoReport: MessageDescriptor<InfoReport> = message(
  'InfoReport',
  required(1, 'handle', 'string'),
  optional(2, 'info', 'message', { message: InfoResponse }),
  optional(3, 'error_code', 'string'),
  optional(4, 'error_message', 'string'),
);

/** Some of them; the last answer has `end`. */
export interface InfoManyResponse {
  readonly reports?: readonly InfoReport[] | undefined;
  readonly end?: boolean | undefined;
}
/** The fields of {@link InfoManyResponse} for the codec. */
export const InfoManyResponse: MessageDescriptor<InfoManyResponse> = message(
  'InfoManyResponse',
  repeated(1, 'reports', 'message', { message: InfoReport }),
  optional(2, 'end', 'bool'),
);

/** Asks for numbers of the daemon. */
export type MetricsRequest = Readonly<Record<never, never>>;
/** The fields of {@link MetricsRequest} for the codec. */
export const MetricsRequest: MessageDescriptor<MetricsRequest> = message('MetricsRequest');

/** How much of a pool is taken. */
export interface PoolUsage {
  readonly name: string;
  readonly used: number;
  readonly limit: number;
}
/** The fields of {@link PoolUsage} for the codec. */
export const PoolUsage: MessageDescriptor<PoolUsage> = message(
  'PoolUsage',
  required(1, 'name', 'string'),
  required(2, 'used', 'uint32'),
  required(3, 'limit', 'uint32'),
);

/** Numbers of the daemon. */
export interface MetricsResponse {
  readonly containers?: number | undefined;
  readonly jobs?: number | undefined;
  readonly pools?: readonly PoolUsage[] | undefined;
  readonly created_total?: bigint | undefined;
  readonly destroyed_total?: bigint | undefined;
  readonly exits_total?: bigint | undefined;
  readonly out_of_memory_total?: bigint | undefined;
  readonly uptime_ms?: bigint | undefined;
  readonly subscribers?: number | undefined;
}
/** The fields of {@link MetricsResponse} for the codec. */
export const MetricsResponse: MessageDescriptor<MetricsResponse> = message(
  'MetricsResponse',
  optional(1, 'containers', 'uint32'),
  optional(2, 'jobs', 'uint32'),
  repeated(3, 'pools', 'message', { message: PoolUsage }),
  optional(4, 'created_total', 'uint64'),
  optional(5, 'destroyed_total', 'uint64'),
  optional(6, 'exits_total', 'uint64'),
  optional(7, 'out_of_memory_total', 'uint64'),
  optional(8, 'uptime_ms', 'uint64'),
  optional(9, 'subscribers', 'uint32'),
);

/** Subscribes to events. */
export interface EventsRequest {
  readonly handle?: string | undefined;
  readonly types?: readonly string[] | undefined;
  readonly properties?: readonly Property[] | undefined;
}
/** The fields of {@link EventsRequest} for the codec. */
export const EventsRequest: MessageDescriptor<EventsRequest> = message(
  'EventsRequest',
  optional(1, 'handle', 'string'),
  repeated(2, 'types', 'string'),
  repeated(3, 'properties', 'message', { message: Property }),
);

/** One event. The first answer has no type: it says that the subscription stands. */
export interface EventsResponse {
  readonly type?: string | undefined;
  readonly handle?: string | undefined;
  /** Milliseconds since 1970. */
  readonly time?: bigint | undefined;
  /** Events dropped before this one. */
  readonly lost?: number | undefined;
  readonly job_id?: number | undefined;
  readonly exit_status?: number | undefined;
  readonly exit_reason?: string | undefined;
  readonly exit_signal?: number | undefined;
  readonly limit?: string | undefined;
  readonly value?: bigint | undefined;
  /** The session is over; nothing follows. */
  readonly end?: boolean | undefined;
  /** Of a denial: the address. */
  readonly destination?: string | undefined;
  /** Of a denial: the name that was asked for. */
  readonly name?: string | undefined;
  /** Of a denial: `tcp`, `udp`, `icmp` or `dns`. */
  readonly protocol?: string | undefined;
  readonly port?: number | undefined;
  /** Of a denial: how often. */
  readonly count?: number | undefined;
}
/** The fields of {@link EventsResponse} for the codec. */
export const EventsResponse: MessageDescriptor<EventsResponse> = message(
  'EventsResponse',
  optional(1, 'type', 'string'),
  optional(2, 'handle', 'string'),
  optional(3, 'time', 'uint64'),
  optional(4, 'lost', 'uint32'),
  optional(5, 'job_id', 'uint32'),
  optional(6, 'exit_status', 'uint32'),
  optional(7, 'exit_reason', 'string'),
  optional(8, 'exit_signal', 'uint32'),
  optional(9, 'limit', 'string'),
  optional(10, 'value', 'uint64'),
  optional(11, 'end', 'bool'),
  optional(12, 'destination', 'string'),
  optional(13, 'name', 'string'),
  optional(14, 'protocol', 'string'),
  optional(15, 'port', 'uint32'),
  optional(16, 'count', 'uint32'),
);
