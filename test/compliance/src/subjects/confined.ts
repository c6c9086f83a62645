import type { Confinement } from '@warden/interface';

/**
 * What the daemon's defaults confine a container by: users of its own, few capabilities, no new privileges,
 * the system-call filter.
 */
export const CONFINED: Confinement = Object.freeze({
  idMap: [
    { inside: 0, outside: 400_000_000, count: 10_000 },
    { inside: 10_000, outside: 10_000, count: 1 },
    { inside: 10_001, outside: 400_010_001, count: 55_535 },
  ],
  capabilities: capabilityMask(0, 1, 3, 4, 5, 6, 7, 8, 10, 18),
  noNewPrivileges: true,
  seccomp: true,
  coreDumps: false,
  noDevices: true,
  fuse: false,
  ceilings: { terminals: 64, sharedMemory: 64 * 1024 ** 2, devices: 64 * 1024 },
  maskedPaths: ['/proc/kcore', '/proc/keys'],
  readonlyPaths: ['/proc/sys'],
});

function capabilityMask(...numbers: readonly number[]): bigint {
  return numbers.reduce((mask, number) => mask | (1n << BigInt(number)), 0n);
}
