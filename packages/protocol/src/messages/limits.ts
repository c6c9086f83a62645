/** Memory, disk, bandwidth, CPU (spec protocol.md 8). */
import { type MessageDescriptor, message, optional, required } from '../descriptor.ts';

/** Sets or reads the memory limit. */
export interface LimitMemoryRequest {
  readonly handle: string;
  /** Absent: read. */
  readonly limit_in_bytes?: bigint | undefined;
}
/** The fields of {@link LimitMemoryRequest} for the codec. */
export const LimitMemoryRequest: MessageDescriptor<LimitMemoryRequest> = message(
  'LimitMemoryRequest',
  required(1, 'handle', 'string'),
  optional(2, 'limit_in_bytes', 'uint64'),
);

/** The limit in force. */
export interface LimitMemoryResponse {
  /** In force. */
  readonly limit_in_bytes?: bigint | undefined;
}
/** The fields of {@link LimitMemoryResponse} for the codec. */
export const LimitMemoryResponse: MessageDescriptor<LimitMemoryResponse> = message(
  'LimitMemoryResponse',
  optional(1, 'limit_in_bytes', 'uint64'),
);

/** Sets or reads the disk limits. */
export interface LimitDiskRequest {
  readonly handle: string;
  readonly block_limit?: bigint | undefined;
  readonly block?: bigint | undefined;
  readonly block_soft?: bigint | undefined;
  readonly block_hard?: bigint | undefined;
  readonly inode_limit?: bigint | undefined;
  readonly inode?: bigint | undefined;
  readonly inode_soft?: bigint | undefined;
  readonly inode_hard?: bigint | undefined;
  readonly byte_limit?: bigint | undefined;
  readonly byte?: bigint | undefined;
  readonly byte_soft?: bigint | undefined;
  readonly byte_hard?: bigint | undefined;
}
/** The fields of {@link LimitDiskRequest} for the codec. */
export const LimitDiskRequest: MessageDescriptor<LimitDiskRequest> = message(
  'LimitDiskRequest',
  required(1, 'handle', 'string'),
  optional(10, 'block_limit', 'uint64'),
  optional(11, 'block', 'uint64'),
  optional(12, 'block_soft', 'uint64'),
  optional(13, 'block_hard', 'uint64'),
  optional(20, 'inode_limit', 'uint64'),
  optional(21, 'inode', 'uint64'),
  optional(22, 'inode_soft', 'uint64'),
  optional(23, 'inode_hard', 'uint64'),
  optional(30, 'byte_limit', 'uint64'),
  optional(31, 'byte', 'uint64'),
  optional(32, 'byte_soft', 'uint64'),
  optional(33, 'byte_hard', 'uint64'),
);

/** The limits in force. */
export interface LimitDiskResponse {
  readonly block_limit?: bigint | undefined;
  readonly block?: bigint | undefined;
  readonly block_soft?: bigint | undefined;
  readonly block_hard?: bigint | undefined;
  readonly inode_limit?: bigint | undefined;
  readonly inode?: bigint | undefined;
  readonly inode_soft?: bigint | undefined;
  readonly inode_hard?: bigint | undefined;
  readonly byte_limit?: bigint | undefined;
  readonly byte?: bigint | undefined;
  readonly byte_soft?: bigint | undefined;
  readonly byte_hard?: bigint | undefined;
}
/** The fields of {@link LimitDiskResponse} for the codec. */
export const LimitDiskResponse: MessageDescriptor<LimitDiskResponse> = message(
  'LimitDiskResponse',
  optional(10, 'block_limit', 'uint64'),
  optional(11, 'block', 'uint64'),
  optional(12, 'block_soft', 'uint64'),
  optional(13, 'block_hard', 'uint64'),
  optional(20, 'inode_limit', 'uint64'),
  optional(21, 'inode', 'uint64'),
  optional(22, 'inode_soft', 'uint64'),
  optional(23, 'inode_hard', 'uint64'),
  optional(30, 'byte_limit', 'uint64'),
  optional(31, 'byte', 'uint64'),
  optional(32, 'byte_soft', 'uint64'),
  optional(33, 'byte_hard', 'uint64'),
);

/** Shapes the traffic of a container. */
export interface LimitBandwidthRequest {
  readonly handle: string;
  /** Bytes per second. */
  readonly rate: bigint;
  /** Bytes. */
  readonly burst: bigint;
}
/** The fields of {@link LimitBandwidthRequest} for the codec. */
export const LimitBandwidthRequest: MessageDescriptor<LimitBandwidthRequest> = message(
  'LimitBandwidthRequest',
  required(1, 'handle', 'string'),
  required(2, 'rate', 'uint64'),
  required(3, 'burst', 'uint64'),
);

/** The rates and bursts in force. */
export interface LimitBandwidthResponse {
  readonly rate: bigint;
  readonly burst: bigint;
}
/** The fields of {@link LimitBandwidthResponse} for the codec. */
export const LimitBandwidthResponse: MessageDescriptor<LimitBandwidthResponse> = message(
  'LimitBandwidthResponse',
  required(1, 'rate', 'uint64'),
  required(2, 'burst', 'uint64'),
);

/** Sets or reads the CPU shares. */
export interface LimitCpuRequest {
  readonly handle: string;
  /** Absent: read. */
  readonly limit_in_shares?: bigint | undefined;
}
/** The fields of {@link LimitCpuRequest} for the codec. */
export const LimitCpuRequest: MessageDescriptor<LimitCpuRequest> = message(
  'LimitCpuRequest',
  required(1, 'handle', 'string'),
  optional(2, 'limit_in_shares', 'uint64'),
);

/** The shares in force. */
export interface LimitCpuResponse {
  /** In force. */
  readonly limit_in_shares?: bigint | undefined;
}
/** The fields of {@link LimitCpuResponse} for the codec. */
export const LimitCpuResponse: MessageDescriptor<LimitCpuResponse> = message(
  'LimitCpuResponse',
  optional(1, 'limit_in_shares', 'uint64'),
);
