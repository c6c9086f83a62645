import { randomInt } from 'node:crypto';
import {
  type DiskLimits,
  type DiskStat,
  type DriverComponents,
  type DriverState,
  type ProbeResult,
  type QuotaDriver,
  type QuotaSpec,
  type QuotaSupports,
  toWardenError,
  WardenError,
} from '@warden/interface';
import { quotaGet, quotaSet, setProjectId } from '@warden/native';
import { depotOf, hasErrno, makeLayer, refuseOverflow, UNLIMITED, withUsageText } from './container-layer.ts';
import { tryWriting } from './try-writing.ts';

/** The kernel calls of these drivers; tests put a table of numbers here. */
export interface QuotaCalls {
  readonly quotaGet: typeof quotaGet;
  readonly quotaSet: typeof quotaSet;
  readonly setProjectId: typeof setProjectId;
  readonly tryWriting: typeof tryWriting;
}

export const KERNEL_CALLS: QuotaCalls = { quotaGet, quotaSet, setProjectId, tryWriting };

/** What distinguishes the two drivers. */
export interface KernelQuotaKind {
  readonly kind: 'user' | 'project';
  readonly supports: QuotaSupports;
}

/** Numbers far above every pool, from which the probe takes one that no container has. */
const PROBE_IDS = { first: 2_000_000_000, count: 100_000_000 } as const;
/**
 * Half of what is written. Not less: xfs reserves some 160 KiB when a file is made, and refuses that where
 * the limit does not leave it.
 */
const PROBE_LIMIT_BLOCKS = 512n;
const PROBE_WRITE_BYTES = 1024 * 1024;

/** Limits that the file system itself keeps, by quotactl: per user or per project. The state is `{ id }`. */
export class KernelQuota implements QuotaDriver {
  readonly role = 'quota' as const;
  readonly name: 'user' | 'project';
  #supports: QuotaSupports;
  readonly #components: DriverComponents;
  readonly #calls: QuotaCalls;

  constructor(kind: KernelQuotaKind, components: DriverComponents, calls: QuotaCalls) {
    this.name = kind.kind;
    this.#supports = kind.supports;
    this.#components = components;
    this.#calls = calls;
  }

  /** `errno` is what the probe saw: ext4 says EDQUOT for a full project, xfs ENOSPC. */
  get supports(): QuotaSupports {
    return this.#supports;
  }

  async probe(depot: string): Promise<ProbeResult> {
    const id = PROBE_IDS.first + randomInt(PROBE_IDS.count);
    try {
      // Asked first: on a host without quota nothing is made at all.
      this.#read(depot, id);
      const errno = await this.#calls.tryWriting(depot, id, PROBE_WRITE_BYTES, (directory) => {
        if (this.name === 'project') this.#calls.setProjectId(directory, id);
        this.#calls.quotaSet(depot, this.name, id, { ...UNLIMITED, blockHard: PROBE_LIMIT_BLOCKS });
      });
      if (errno === undefined)
        return { ok: false, reason: `${this.name} quota of ${depot} is counted but not enforced` };
      if (errno !== 'EDQUOT' && errno !== 'ENOSPC')
        return { ok: false, reason: `a write over the limit failed with ${errno}` };
      this.#supports = { ...this.#supports, errno };
      return { ok: true, detail: `${this.name} quota, ${errno} over the limit` };
    } catch (error) {
      return { ok: false, reason: `no ${this.name} quota on the file system of ${depot}: ${explain(error)}` };
    } finally {
      this.#clear(depot, id);
    }
  }

  plan(spec: QuotaSpec): DriverState {
    // The pooled uid serves as project too: both must be unique among living containers.
    return { id: spec.uid };
  }

  async prepare(spec: QuotaSpec, state: DriverState): Promise<void> {
    const layer = makeLayer(spec);
    // Upper and work directory inherit the project from here: renames between two projects would fail with EXDEV.
    if (this.name === 'project') this.#calls.setProjectId(layer, idOf(state));
    this.#calls.quotaSet(depotOf(spec), this.name, idOf(state), UNLIMITED);
  }

  async setLimits(spec: QuotaSpec, state: DriverState, limits: DiskLimits): Promise<DiskLimits> {
    refuseOverflow(spec, limits);
    this.#calls.quotaSet(depotOf(spec), this.name, idOf(state), limits);
    return await this.limits(spec, state);
  }

  async limits(spec: QuotaSpec, state: DriverState): Promise<DiskLimits> {
    const { blockSoft, blockHard, inodeSoft, inodeHard } = this.#read(depotOf(spec), idOf(state));
    return { blockSoft, blockHard, inodeSoft, inodeHard };
  }

  async usage(spec: QuotaSpec, state: DriverState): Promise<DiskStat> {
    return await withUsageText(() => {
      const { bytes, inodes } = this.#read(depotOf(spec), idOf(state));
      return { bytesUsed: bytes, inodesUsed: inodes };
    });
  }

  async release(spec: QuotaSpec, state: DriverState): Promise<void> {
    try {
      this.#calls.quotaSet(depotOf(spec), this.name, idOf(state), UNLIMITED);
    } catch (error) {
      // Quota that was switched off meanwhile, or a depot that is gone, holds no limit.
      if (!hasErrno(error, 'ENOENT', 'ESRCH', 'ENOSYS', 'EOPNOTSUPP')) throw error;
    }
  }

  /** The record of `id`; one that nobody ever needed does not exist on every file system. */
  #read(path: string, id: number): ReturnType<typeof quotaGet> {
    try {
      return this.#calls.quotaGet(path, this.name, id);
    } catch (error) {
      if (!hasErrno(error, 'ENOENT')) throw error;
      return { ...UNLIMITED, bytes: 0n, inodes: 0n };
    }
  }

  #clear(depot: string, id: number): void {
    try {
      this.#calls.quotaSet(depot, this.name, id, UNLIMITED);
    } catch (error) {
      // Expected where the probe failed; elsewhere a limit on an id that nobody has stays behind.
      const { fields, message } = toWardenError(error);
      this.#components.logger.debug?.('quota-probe-clear', { ...fields, message });
    }
  }
}

/** What quotactl(2) means by its error numbers, whose usual texts mislead. */
function explain(error: unknown): string {
  if (hasErrno(error, 'ESRCH')) return 'it is not switched on by a mount option (ESRCH)';
  if (hasErrno(error, 'ENOSYS', 'EOPNOTSUPP', 'ENOTTY')) {
    return `the file system or the kernel cannot (${String(toWardenError(error).fields.errno)})`;
  }
  return toWardenError(error).message;
}

function idOf(state: DriverState): number {
  const { id } = state;
  if (typeof id !== 'number') {
    throw new WardenError('INTERNAL', 'the state of the quota driver has no id', {
      fields: { operation: 'quota-state', id },
    });
  }
  return id;
}
