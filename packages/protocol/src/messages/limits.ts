/** Memory, disk, bandwidth, CPU (spec protocol.md 8). */
import { type MessageDescriptor, message, optional, required } from '../descriptor.ts';

export interface LimitMemoryRequest {
  readonly handle: string;
  /** Absent: read. */
  readonly limit_in_bytes?: bigint | undefined;
}
export const LimitMemoryRequest: MessageDescriptor<LimitMemoryRequest> = message(
  'LimitMemoryRequest',
  required(1, 'handle', 'string'),
  optional(2, 'limit_in_bytes', 'uint64'),
);

export interface LimitMemoryResponse {
  /** In force. */
  readonly limit_in_bytes?: bigint | undefined;
}
export const LimitMemoryResponse: MessageDescriptor<LimitMemoryResponse> = message(
  'LimitMemoryResponse',
  optional(1, 'limit_in_bytes', 'uint64'),
);

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

export interface LimitBandwidthRequest {
  readonly handle: string;
  /** Bytes per second. */
  readonly rate: bigint;
  /** Bytes. */
  readonly burst: bigint;
}
export const LimitBandwidthRequest: MessageDescriptor<LimitBandwidthRequest> = message(
  'LimitBandwidthRequest',
  required(1, 'handle', 'string'),
  required(2, 'rate', 'uint64'),
  required(3, 'burst', 'uint64'),
);

export interface LimitBandwidthResponse {
  readonly rate: bigint;
  readonly burst: bigint;
}
export const LimitBandwidthResponse: MessageDescriptor<LimitBandwidthResponse> = message(
  'LimitBandwidthResponse',
  required(1, 'rate', 'uint64'),
  required(2, 'burst', 'uint64'),
);

export interface LimitCpuRequest {
  readonly handle: string;
  /** Absent: read. */
  readonly limit_in_shares?: bigint | undefined;
}
export const LimitCpuRequest: MessageDescriptor<LimitCpuRequest> = message(
  'LimitCpuRequest',
  required(1, 'handle', 'string'),
  optional(2, 'limit_in_shares', 'uint64'),
);

export interface LimitCpuResponse {
  /** In force. */
  readonly limit_in_shares?: bigint | undefined;
}
export const LimitCpuResponse: MessageDescriptor<LimitCpuResponse> = message(
  'LimitCpuResponse',
  optional(1, 'limit_in_shares', 'uint64'),
);
