import { describe, expect, it } from 'vitest';
import { diskLimitMessage, diskLimitSpec } from '../src/disk-limits.ts';

const UINT64 = 0xffff_ffff_ffff_ffffn;
const HARD = ['byte_limit', 'byte', 'byte_hard', 'block_limit', 'block', 'block_hard'] as const;
const INODES = ['inode_limit', 'inode', 'inode_hard'] as const;

describe('the names of the disk limits', () => {
  it('win over all that come before them in the order of the specification [protocol 8 LimitDisk]', () => {
    for (const [at, name] of HARD.entries()) {
      const given = HARD.slice(0, at + 1).map((one, place) => [one, BigInt(place + 1) * 1024n]);
      const expected = BigInt(at + 1) * (name.startsWith('byte') ? 1n : 1024n);
      expect(diskLimitSpec({ handle: 'h', ...Object.fromEntries(given) }), name).toEqual({
        blockHard: expected,
      });
    }
    for (const [at, name] of INODES.entries()) {
      const given = INODES.slice(0, at + 1).map((one, place) => [one, BigInt(place + 1)]);
      expect(diskLimitSpec({ handle: 'h', ...Object.fromEntries(given) }), name).toEqual({
        inodeHard: BigInt(at + 1),
      });
    }
    expect(diskLimitSpec({ handle: 'h', byte_soft: 4096n, block_soft: 9n })).toEqual({ blockSoft: 9n });
    expect(diskLimitSpec({ handle: 'h', inode_soft: 9n })).toEqual({ inodeSoft: 9n });
  });

  it('in bytes are rounded up to blocks of 1024 [behaviour 5 LimitDisk] [linux-container 18]', () => {
    for (const [bytes, blocks] of [
      [0n, 0n],
      [1n, 1n],
      [1024n, 1n],
      [1025n, 2n],
      [UINT64, 1n << 54n],
    ] as const) {
      expect(diskLimitSpec({ handle: 'h', byte_hard: bytes })).toEqual({ blockHard: blocks });
      expect(diskLimitSpec({ handle: 'h', byte_soft: bytes })).toEqual({ blockSoft: blocks });
    }
  });

  it('that are absent say nothing, those that are 0 do [behaviour 5 LimitDisk]', () => {
    expect(diskLimitSpec({ handle: 'h' })).toEqual({});
    expect(diskLimitSpec({ handle: 'h', block_hard: 0n, byte: 5n })).toEqual({ blockHard: 0n });
  });

  it('are answered all twelve, or none where quotas are off [linux-container 18] [drivers 6]', () => {
    const answer = diskLimitMessage({ blockSoft: 1n, blockHard: 2n, inodeSoft: 3n, inodeHard: 4n });
    expect(answer).toEqual({
      ...{ block_limit: 2n, block: 2n, block_soft: 1n, block_hard: 2n },
      ...{ inode_limit: 4n, inode: 4n, inode_soft: 3n, inode_hard: 4n },
      ...{ byte_limit: 2048n, byte: 2048n, byte_soft: 1024n, byte_hard: 2048n },
    });
    expect(diskLimitMessage(undefined)).toEqual({});
  });

  it('beyond what the wire carries in bytes are answered as its largest number', () => {
    const answer = diskLimitMessage({
      blockSoft: UINT64,
      blockHard: 1n << 54n,
      inodeSoft: 0n,
      inodeHard: 0n,
    });
    expect([answer.byte, answer.byte_soft, answer.byte_hard]).toEqual([UINT64, UINT64, UINT64]);
    expect([answer.block_hard, answer.block_soft]).toEqual([1n << 54n, UINT64]);
  });
});
