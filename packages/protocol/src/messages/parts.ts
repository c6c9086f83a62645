/** Parts that other messages are made of, and the answer to every failed request (spec protocol.md 8). */

import { type MessageDescriptor, message, optional, repeated, required } from '../descriptor.ts';
import { BindMountMode } from './enums.ts';

/** A host path made visible inside. */
export interface BindMount {
  /** Host path. */
  readonly src_path: string;
  /** Absolute path inside. */
  readonly dst_path: string;
  readonly mode: number;
}
export const BindMount: MessageDescriptor<BindMount> = message(
  'BindMount',
  required(1, 'src_path', 'string'),
  required(2, 'dst_path', 'string'),
  required(3, 'mode', 'enum', { enum: BindMountMode }),
);

/** Values of the memory group: bytes, and event counts (`pg*`). */
export interface MemoryStat {
  readonly cache?: bigint | undefined;
  readonly rss?: bigint | undefined;
  readonly mapped_file?: bigint | undefined;
  readonly pgpgin?: bigint | undefined;
  readonly pgpgout?: bigint | undefined;
  readonly swap?: bigint | undefined;
  readonly pgfault?: bigint | undefined;
  readonly pgmajfault?: bigint | undefined;
  readonly inactive_anon?: bigint | undefined;
  readonly active_anon?: bigint | undefined;
  readonly inactive_file?: bigint | undefined;
  readonly active_file?: bigint | undefined;
  readonly unevictable?: bigint | undefined;
  readonly hierarchical_memory_limit?: bigint | undefined;
  readonly hierarchical_memsw_limit?: bigint | undefined;
  readonly total_cache?: bigint | undefined;
  readonly total_rss?: bigint | undefined;
  readonly total_mapped_file?: bigint | undefined;
  readonly total_pgpgin?: bigint | undefined;
  readonly total_pgpgout?: bigint | undefined;
  readonly total_swap?: bigint | undefined;
  readonly total_pgfault?: bigint | undefined;
  readonly total_pgmajfault?: bigint | undefined;
  readonly total_inactive_anon?: bigint | undefined;
  readonly total_active_anon?: bigint | undefined;
  readonly total_inactive_file?: bigint | undefined;
  readonly total_active_file?: bigint | undefined;
  readonly total_unevictable?: bigint | undefined;
}
export const MemoryStat: MessageDescriptor<MemoryStat> = message(
  'MemoryStat',
  optional(1, 'cache', 'uint64'),
  optional(2, 'rss', 'uint64'),
  optional(3, 'mapped_file', 'uint64'),
  optional(4, 'pgpgin', 'uint64'),
  optional(5, 'pgpgout', 'uint64'),
  optional(6, 'swap', 'uint64'),
  optional(7, 'pgfault', 'uint64'),
  optional(8, 'pgmajfault', 'uint64'),
  optional(9, 'inactive_anon', 'uint64'),
  optional(10, 'active_anon', 'uint64'),
  optional(11, 'inactive_file', 'uint64'),
  optional(12, 'active_file', 'uint64'),
  optional(13, 'unevictable', 'uint64'),
  optional(14, 'hierarchical_memory_limit', 'uint64'),
  optional(15, 'hierarchical_memsw_limit', 'uint64'),
  optional(16, 'total_cache', 'uint64'),
  optional(17, 'total_rss', 'uint64'),
  optional(18, 'total_mapped_file', 'uint64'),
  optional(19, 'total_pgpgin', 'uint64'),
  optional(20, 'total_pgpgout', 'uint64'),
  optional(21, 'total_swap', 'uint64'),
  optional(22, 'total_pgfault', 'uint64'),
  optional(23, 'total_pgmajfault', 'uint64'),
  optional(24, 'total_inactive_anon', 'uint64'),
  optional(25, 'total_active_anon', 'uint64'),
  optional(26, 'total_inactive_file', 'uint64'),
  optional(27, 'total_active_file', 'uint64'),
  optional(28, 'total_unevictable', 'uint64'),
);

/** Time used, of all CPUs. */
export interface CpuStat {
  /** Nanoseconds. */
  readonly usage?: bigint | undefined;
  /** Clock ticks. */
  readonly user?: bigint | undefined;
  /** Clock ticks. */
  readonly system?: bigint | undefined;
}
/** The fields of {@link CpuStat} for the codec. */
export const CpuStat: MessageDescriptor<CpuStat> = message(
  'CpuStat',
  optional(1, 'usage', 'uint64'),
  optional(2, 'user', 'uint64'),
  optional(3, 'system', 'uint64'),
);

/** What the writable layer holds. */
export interface DiskStat {
  readonly bytes_used?: bigint | undefined;
  readonly inodes_used?: bigint | undefined;
}
/** The fields of {@link DiskStat} for the codec. */
export const DiskStat: MessageDescriptor<DiskStat> = message(
  'DiskStat',
  optional(1, 'bytes_used', 'uint64'),
  optional(2, 'inodes_used', 'uint64'),
);

/** Rates in bytes per second and bursts in bytes, as asked for. */
export interface BandwidthStat {
  /** Bytes per second towards the container; no limit is 4294967295, here and below. */
  readonly in_rate?: bigint | undefined;
  /** Bytes. */
  readonly in_burst?: bigint | undefined;
  readonly out_rate?: bigint | undefined;
  readonly out_burst?: bigint | undefined;
}
/** The fields of {@link BandwidthStat} for the codec. */
export const BandwidthStat: MessageDescriptor<BandwidthStat> = message(
  'BandwidthStat',
  optional(1, 'in_rate', 'uint64'),
  optional(2, 'in_burst', 'uint64'),
  optional(3, 'out_rate', 'uint64'),
  optional(4, 'out_burst', 'uint64'),
);

/**
 * Extension: waiting for one resource. Shares of the last seconds in hundredths of a percent, totals in
 * microseconds.
 */
export interface ResourcePressure {
  readonly some_avg10?: number | undefined;
  readonly some_avg60?: number | undefined;
  readonly some_avg300?: number | undefined;
  readonly some_total?: bigint | undefined;
  readonly full_avg10?: number | undefined;
  readonly full_avg60?: number | undefined;
  readonly full_avg300?: number | undefined;
  readonly full_total?: bigint | undefined;
}
/** The fields of {@link ResourcePressure} for the codec. */
export const ResourcePressure: MessageDescriptor<ResourcePressure> = message(
  'ResourcePressure',
  optional(1, 'some_avg10', 'uint32'),
  optional(2, 'some_avg60', 'uint32'),
  optional(3, 'some_avg300', 'uint32'),
  optional(4, 'some_total', 'uint64'),
  optional(5, 'full_avg10', 'uint32'),
  optional(6, 'full_avg60', 'uint32'),
  optional(7, 'full_avg300', 'uint32'),
  optional(8, 'full_total', 'uint64'),
);

/** Extension: pressure stall information of a container. */
export interface PressureStat {
  readonly cpu?: ResourcePressure | undefined;
  readonly memory?: ResourcePressure | undefined;
  readonly io?: ResourcePressure | undefined;
}
/** The fields of {@link PressureStat} for the codec. */
export const PressureStat: MessageDescriptor<PressureStat> = message(
  'PressureStat',
  optional(1, 'cpu', 'message', { message: ResourcePressure }),
  optional(2, 'memory', 'message', { message: ResourcePressure }),
  optional(3, 'io', 'message', { message: ResourcePressure }),
);

/** Extension: a label. */
export interface Property {
  readonly name: string;
  readonly value: string;
}
/** The fields of {@link Property} for the codec. */
export const Property: MessageDescriptor<Property> = message(
  'Property',
  required(1, 'name', 'string'),
  required(2, 'value', 'string'),
);

/** Extension: a port of the host that leads into a container. */
export interface PublishedPort {
  readonly host_port: number;
  readonly container_port: number;
}
/** The fields of {@link PublishedPort} for the codec. */
export const PublishedPort: MessageDescriptor<PublishedPort> = message(
  'PublishedPort',
  required(1, 'host_port', 'uint32'),
  required(2, 'container_port', 'uint32'),
);

/** Extension: a job that has ended and whose result nobody has taken. */
export interface EndedJob {
  readonly job_id: number;
  readonly exit_status?: number | undefined;
  /** As in `LinkResponse`. */
  readonly exit_reason?: string | undefined;
  readonly exit_signal?: number | undefined;
}
/** The fields of {@link EndedJob} for the codec. */
export const EndedJob: MessageDescriptor<EndedJob> = message(
  'EndedJob',
  required(1, 'job_id', 'uint32'),
  optional(2, 'exit_status', 'uint32'),
  optional(3, 'exit_reason', 'string'),
  optional(4, 'exit_signal', 'uint32'),
);

/** Extension: size of a terminal. */
export interface TerminalSize {
  readonly rows: number;
  readonly columns: number;
}
/** The fields of {@link TerminalSize} for the codec. */
export const TerminalSize: MessageDescriptor<TerminalSize> = message(
  'TerminalSize',
  required(1, 'rows', 'uint32'),
  required(2, 'columns', 'uint32'),
);

/** Process limits; each value is soft and hard. */
export interface ResourceLimits {
  readonly as?: bigint | undefined;
  readonly core?: bigint | undefined;
  readonly cpu?: bigint | undefined;
  readonly data?: bigint | undefined;
  readonly fsize?: bigint | undefined;
  readonly locks?: bigint | undefined;
  readonly memlock?: bigint | undefined;
  readonly msgqueue?: bigint | undefined;
  readonly nice?: bigint | undefined;
  readonly nofile?: bigint | undefined;
  readonly nproc?: bigint | undefined;
  readonly rss?: bigint | undefined;
  readonly rtprio?: bigint | undefined;
  readonly sigpending?: bigint | undefined;
  readonly stack?: bigint | undefined;
}
export const ResourceLimits: MessageDescriptor<ResourceLimits> = message(
  'ResourceLimits',
  optional(1, 'as', 'uint64'),
  optional(2, 'core', 'uint64'),
  optional(3, 'cpu', 'uint64'),
  optional(4, 'data', 'uint64'),
  optional(5, 'fsize', 'uint64'),
  optional(6, 'locks', 'uint64'),
  optional(7, 'memlock', 'uint64'),
  optional(8, 'msgqueue', 'uint64'),
  optional(9, 'nice', 'uint64'),
  optional(10, 'nofile', 'uint64'),
  optional(11, 'nproc', 'uint64'),
  optional(12, 'rss', 'uint64'),
  optional(13, 'rtprio', 'uint64'),
  optional(14, 'sigpending', 'uint64'),
  optional(15, 'stack', 'uint64'),
);

/** The answer to every request that failed. */
export interface ErrorResponse {
  /** For people. */
  readonly message?: string | undefined;
  /** Never set. */
  readonly backtrace?: readonly string[] | undefined;
  /** JSON with `code` and facts (an addition; the original never set it). */
  readonly data?: string | undefined;
}
/** The fields of {@link ErrorResponse} for the codec. */
export const ErrorResponse: MessageDescriptor<ErrorResponse> = message(
  'ErrorResponse',
  optional(2, 'message', 'string'),
  repeated(3, 'backtrace', 'string'),
  optional(4, 'data', 'string'),
);
