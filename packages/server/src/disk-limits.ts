/** The twelve names of the four disk limits (spec protocol.md 8, LimitDisk). */
import type { DiskLimitSpec } from '@warden/interface';
import type { LimitDiskRequest, LimitDiskResponse } from '@warden/protocol';

const BLOCK_BYTES = 1_024n;

/** Blocks that hold so many bytes. */
function blocks(bytes: bigint | undefined): bigint | undefined {
  return bytes === undefined ? undefined : (bytes + BLOCK_BYTES - 1n) / BLOCK_BYTES;
}

/** What is asked for; of several aliases the later in the specification's order wins. Absent ones keep their value. */
export function diskLimitSpec(request: LimitDiskRequest): DiskLimitSpec {
  const blockHard =
    request.block_hard ??
    request.block ??
    request.block_limit ??
    blocks(request.byte_hard ?? request.byte ?? request.byte_limit);
  const blockSoft = request.block_soft ?? blocks(request.byte_soft);
  const inodeHard = request.inode_hard ?? request.inode ?? request.inode_limit;
  const inodeSoft = request.inode_soft;
  return {
    ...(blockHard === undefined ? {} : { blockHard }),
    ...(blockSoft === undefined ? {} : { blockSoft }),
    ...(inodeHard === undefined ? {} : { inodeHard }),
    ...(inodeSoft === undefined ? {} : { inodeSoft }),
  };
}

/** All aliases filled in; nothing where quotas are off. */
export function diskLimitMessage(limits: Required<DiskLimitSpec> | undefined): LimitDiskResponse {
  if (limits === undefined) return {};
  const { blockHard, blockSoft, inodeHard, inodeSoft } = limits;
  return {
    block_limit: blockHard,
    block: blockHard,
    block_soft: blockSoft,
    block_hard: blockHard,
    inode_limit: inodeHard,
    inode: inodeHard,
    inode_soft: inodeSoft,
    inode_hard: inodeHard,
    byte_limit: blockHard * BLOCK_BYTES,
    byte: blockHard * BLOCK_BYTES,
    byte_soft: blockSoft * BLOCK_BYTES,
    byte_hard: blockHard * BLOCK_BYTES,
  };
}
