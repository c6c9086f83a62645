/** Create, stop, destroy, info (spec protocol.md 8). */

import { type MessageDescriptor, message, optional, repeated, required } from '../descriptor.ts';
import {
  BandwidthStat,
  BindMount,
  CpuStat,
  DiskStat,
  EndedJob,
  MemoryStat,
  PressureStat,
  Property,
  PublishedPort,
} from './parts.ts';

/** Makes a container. */
export interface CreateRequest {
  readonly bind_mounts?: readonly BindMount[] | undefined;
  /** Seconds; absent: default of the daemon. */
  readonly grace_time?: number | undefined;
  /** Absent: the generated id. */
  readonly handle?: string | undefined;
  /** Any address inside the wanted /30. */
  readonly network?: string | undefined;
  /** Host directory. */
  readonly rootfs?: string | undefined;
  /** Extension: labels. */
  readonly properties?: readonly Property[] | undefined;
  /** Extension: an image of the host, in the place of a directory. */
  readonly image?: string | undefined;
}
/** The fields of {@link CreateRequest} for the codec. */
export const CreateRequest: MessageDescriptor<CreateRequest> = message(
  'CreateRequest',
  repeated(1, 'bind_mounts', 'message', { message: BindMount }),
  optional(2, 'grace_time', 'uint32'),
  optional(3, 'handle', 'string'),
  optional(4, 'network', 'string'),
  optional(5, 'rootfs', 'string'),
  repeated(1001, 'properties', 'message', { message: Property }),
  optional(1002, 'image', 'string'),
);

/** The handle. */
export interface CreateResponse {
  readonly handle: string;
}
/** The fields of {@link CreateResponse} for the codec. */
export const CreateResponse: MessageDescriptor<CreateResponse> = message(
  'CreateResponse',
  required(1, 'handle', 'string'),
);

/** Ends the processes of a container. */
export interface StopRequest {
  readonly handle: string;
  /** Answer at once. */
  readonly background?: boolean | undefined;
  /** SIGKILL at once. */
  readonly kill?: boolean | undefined;
}
/** The fields of {@link StopRequest} for the codec. */
export const StopRequest: MessageDescriptor<StopRequest> = message(
  'StopRequest',
  required(1, 'handle', 'string'),
  optional(10, 'background', 'bool'),
  optional(20, 'kill', 'bool'),
);

/** Says that it is done. */
export type StopResponse = Readonly<Record<never, never>>;
/** The fields of {@link StopResponse} for the codec. */
export const StopResponse: MessageDescriptor<StopResponse> = message('StopResponse');

/** Ends a container and removes what it owned. */
export interface DestroyRequest {
  readonly handle: string;
}
/** The fields of {@link DestroyRequest} for the codec. */
export const DestroyRequest: MessageDescriptor<DestroyRequest> = message(
  'DestroyRequest',
  required(1, 'handle', 'string'),
);

/** Says that it is done. */
export type DestroyResponse = Readonly<Record<never, never>>;
/** The fields of {@link DestroyResponse} for the codec. */
export const DestroyResponse: MessageDescriptor<DestroyResponse> = message('DestroyResponse');

/** Asks for what is known of a container. */
export interface InfoRequest {
  readonly handle: string;
}
/** The fields of {@link InfoRequest} for the codec. */
export const InfoRequest: MessageDescriptor<InfoRequest> = message(
  'InfoRequest',
  required(1, 'handle', 'string'),
);

/** What is known of the container. */
export interface InfoResponse {
  /** `active` or `stopped`. */
  readonly state?: string | undefined;
  readonly events?: readonly string[] | undefined;
  readonly host_ip?: string | undefined;
  readonly container_ip?: string | undefined;
  readonly container_path?: string | undefined;
  readonly memory_stat?: MemoryStat | undefined;
  readonly cpu_stat?: CpuStat | undefined;
  readonly disk_stat?: DiskStat | undefined;
  readonly bandwidth_stat?: BandwidthStat | undefined;
  /** Jobs that have not terminated. */
  readonly job_ids?: readonly bigint[] | undefined;
  /** Extension: on cgroup v2. */
  readonly pressure_stat?: PressureStat | undefined;
  /** Extension: what the container's confinement lacks, see `ContainerInfo.unsafe` of the Warden API. */
  readonly unsafe?: readonly string[] | undefined;
  /** Extension: labels. */
  readonly properties?: readonly Property[] | undefined;
  /** Extension: its processes stand still; absent: no. */
  readonly paused?: boolean | undefined;
  /** Extension: ports of the host that lead into it, in the order in which they were published. */
  readonly ports?: readonly PublishedPort[] | undefined;
  /** Extension: jobs that have terminated and whose result nobody has taken, in answers of Info and InfoMany. */
  readonly ended_jobs?: readonly EndedJob[] | undefined;
}
/** The fields of {@link InfoResponse} for the codec. */
export const InfoResponse: MessageDescriptor<InfoResponse> = message(
  'InfoResponse',
  optional(10, 'state', 'string'),
  repeated(20, 'events', 'string'),
  optional(30, 'host_ip', 'string'),
  optional(31, 'container_ip', 'string'),
  optional(32, 'container_path', 'string'),
  optional(40, 'memory_stat', 'message', { message: MemoryStat }),
  optional(41, 'cpu_stat', 'message', { message: CpuStat }),
  optional(42, 'disk_stat', 'message', { message: DiskStat }),
  optional(43, 'bandwidth_stat', 'message', { message: BandwidthStat }),
  repeated(44, 'job_ids', 'uint64'),
  optional(1001, 'pressure_stat', 'message', { message: PressureStat }),
  repeated(1002, 'unsafe', 'string'),
  repeated(1003, 'properties', 'message', { message: Property }),
  optional(1004, 'paused', 'bool'),
  repeated(1005, 'ports', 'message', { message: PublishedPort }),
  repeated(1006, 'ended_jobs', 'message', { message: EndedJob }),
);
