/** A quota driver over a table of numbers: who writes reports the bytes to {@link QuotaTable.charge}. */
import { type DiskLimits, type DriverFactory, type QuotaDriver, WardenError } from '@warden/interface';

const NONE: DiskLimits = { blockSoft: 0n, blockHard: 0n, inodeSoft: 0n, inodeHard: 0n };

/** The "kernel" of the fake: shared by driver instances, so that it survives a restart of one. */
export class QuotaTable {
  readonly entries: Map<string, { limits: DiskLimits; bytes: bigint }> = new Map();
  /** There is no room for another entry. */
  isFull = false;

  /** Books `bytes` on `id`; answers `EDQUOT`, booking only what fits, when the hard limit is reached. */
  charge(id: string, bytes: number): string | undefined {
    const entry = this.entries.get(id);
    if (!entry) return undefined;
    const hard = entry.limits.blockHard * 1024n;
    const wanted = entry.bytes + BigInt(bytes);
    entry.bytes = hard !== 0n && wanted > hard ? hard : wanted;
    return entry.bytes < wanted ? 'EDQUOT' : undefined;
  }
}

/** Makes the fake. */
export function memoryQuota(options: { readonly table: QuotaTable }): DriverFactory<QuotaDriver> {
  const { entries } = options.table;
  return () => ({
    role: 'quota',
    name: 'memory',
    supports: {
      limits: true,
      softLimits: true,
      inodeLimits: true,
      countsRootFiles: false,
      shrink: true,
      errno: 'EDQUOT',
    },
    probe: async () => ({ ok: true }),
    plan: (spec) => ({ uid: spec.uid }),
    prepare: async (spec) => {
      if (options.table.isFull) throw failure('prepare layer', spec.id, 'ENOSPC');
      entries.set(spec.id, { limits: NONE, bytes: entries.get(spec.id)?.bytes ?? 0n });
    },
    setLimits: async (spec, _state, limits) => {
      const entry = entries.get(spec.id);
      if (!entry) throw failure('set disk limits', spec.id, 'ENOENT');
      entry.limits = { ...limits };
      return { ...limits };
    },
    limits: async (spec) => ({ ...(entries.get(spec.id)?.limits ?? NONE) }),
    usage: async (spec) => ({ bytesUsed: entries.get(spec.id)?.bytes ?? 0n, inodesUsed: 0n }),
    discard: async (spec) => {
      const entry = entries.get(spec.id);
      if (entry) entry.bytes = 0n;
    },
    release: async (spec) => {
      entries.delete(spec.id);
    },
  });
}

function failure(operation: string, id: string, errno: string): WardenError {
  return new WardenError('NATIVE_FAILED', `${operation} of ${id}: ${errno}`, {
    fields: { operation, object: id, errno },
  });
}
