/**
 * Role *quota*: a limit on what a container's writable layer may hold.
 *
 * ## Lifecycle
 * `probe` → per container `plan` → *state persisted* → `prepare` (before the writable layer exists) →
 * `setLimits` / `limits` / `usage` at any time while the container exists → `discard` if there is one →
 * `release` (both after all its processes are gone).
 *
 * Units are those of the wire: blocks of 1024 bytes, counts of inodes; 0 means unlimited.
 */
import type { ContainerId, DriverState, ProbeResult } from './driver.ts';
import type { DiskStat } from './warden.ts';

/** Facts about the writable layer. `directory` is the container's in the depot; the layer is its `tmp/`. */
export interface QuotaSpec {
  readonly id: ContainerId;
  readonly directory: string;
  readonly uid: number;
}

/** The four numbers of a limit, in blocks of 1 KiB and in inodes; 0 = unlimited. */
export interface DiskLimits {
  readonly blockSoft: bigint;
  readonly blockHard: bigint;
  readonly inodeSoft: bigint;
  readonly inodeHard: bigint;
}

/** What a quota driver can do. */
export interface QuotaSupports {
  /** There are limits and usage at all (false: the `none` driver; the other flags are false too). */
  readonly limits: boolean;
  readonly softLimits: boolean;
  readonly inodeLimits: boolean;
  /** Files of the container's root count too. */
  readonly countsRootFiles: boolean;
  /** A limit can be lowered on a living container. */
  readonly shrink: boolean;
  /** errno a writer inside sees: `EDQUOT` or `ENOSPC`. */
  readonly errno: 'EDQUOT' | 'ENOSPC';
}

/** A quota driver. */
export interface QuotaDriver {
  readonly role: 'quota';
  readonly name: string;
  readonly supports: QuotaSupports;

  /** Tries a limit on the file system below `depot`; removes all traces. Never throws. */
  probe(depot: string): Promise<ProbeResult>;
  /** Computes the state. Pure. */
  plan(spec: QuotaSpec): DriverState;
  /**
   * Makes `<directory>/tmp` ready to be limited, with no limit in force (a recycled uid or project must not
   * inherit one). Idempotent.
   */
  prepare(spec: QuotaSpec, state: DriverState): Promise<void>;
  /**
   * Puts `limits` in force and answers what is in force. Errors: `INVALID_SPEC` (cannot be reached),
   * `NATIVE_FAILED`, `UNSUPPORTED` from a driver without limits.
   */
  setLimits(spec: QuotaSpec, state: DriverState, limits: DiskLimits): Promise<DiskLimits>;
  /** The limits in force; unset = zeros. Errors: `UNSUPPORTED` from a driver without limits. */
  limits(spec: QuotaSpec, state: DriverState): Promise<DiskLimits>;
  /** Errors: message `Failed getting disk usage: …` (contract); `UNSUPPORTED` from a driver without limits. */
  usage(spec: QuotaSpec, state: DriverState): Promise<DiskStat>;
  /**
   * Throws the whole content of the layer away at once, where this driver can do that faster than file by
   * file (an image, a subvolume). Called on destroy, after all processes are gone and before the file system
   * driver's `release`. Idempotent; `release` follows in any case, also after an error.
   */
  discard?(spec: QuotaSpec, state: DriverState): Promise<void>;
  /**
   * Whether the container's files count somewhere until they are removed, so that `release` must not come
   * before that. Absent: yes. Pure.
   */
  countsFiles?(state: DriverState): boolean;
  /** Lifts the limit and frees what `prepare` took. Idempotent. */
  release(spec: QuotaSpec, state: DriverState): Promise<void>;
}
