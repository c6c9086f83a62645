/** The twelve names of the four disk limits (spec protocol.md 8, LimitDisk). */
import type { DiskLimitSpec, DiskLimits } from '@warden/interface';
import type { LimitDiskRequest, LimitDiskResponse } from '@warden/protocol';

const BLOCK_BYTES = 1_024n;
const UINT64 = 0xffff_ffff_ffff_ffffn;

/** Blocks that hold so many bytes. */
function blocks(size: bigint | undefined): bigint | undefined {
  return size === undefined ? undefined : (size + BLOCK_BYTES - 1n) / BLOCK_BYTES;
}

/** So many blocks in bytes; what the wire cannot carry is its largest number. */
function bytes(count: bigint): bigint {
  const exact = count * BLOCK_BYTES;
  return exact > UINT64 ? UINT64 : exact;
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
export function diskLimitMessage(limits: DiskLimits | undefined): LimitDiskResponse {
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
    byte_limit: bytes(blockHard),
    byte: bytes(blockHard),
    byte_soft: bytes(blockSoft),
    byte_hard: bytes(blockHard),
  };
}
