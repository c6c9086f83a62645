import { randomInt } from 'node:crypto';
import { chmodSync, closeSync, existsSync, lstatSync, openSync, readdirSync, rmdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import {
  type DiskLimits,
  type DiskStat,
  type DriverComponents,
  type DriverFactory,
  type DriverState,
  type ProbeResult,
  type QuotaDriver,
  type QuotaSpec,
  toWardenError,
  WardenError,
} from '@warden/interface';
import {
  type BtrfsFacts,
  btrfsFacts,
  btrfsQuota,
  createSubvolume,
  destroySubvolume,
  limitSubvolume,
  removeQuotaGroup,
  removeTree,
} from '@warden/native';
import { limitedSubvolumes, quotaMode, readGroup, refreshCounts } from './btrfs-group.ts';
import {
  hasErrno,
  LAYER_MODE,
  layerOf,
  refuseOverflow,
  UNLIMITED,
  withUsageText,
} from './container-layer.ts';
import { IgnoredLimits } from './ignored-limits.ts';
import { TRIAL_PREFIX, tryWriting } from './try-writing.ts';

/** Options of {@link btrfsSubvolume}. */
export interface BtrfsSubvolumeOptions {
  /**
   * Switches the quota of the whole file system on where it is off: `simple` (Linux 6.7) costs next to
   * nothing, `full` is exact about shared extents and slow with many snapshots. Without, a file system with
   * quota off is refused.
   */
  readonly switchOn?: 'simple' | 'full';
}

/** Keeps the layer's directory, which file system drivers remove when it is empty: the group is found by it. */
const MARK = '.warden-subvolume';
const PROBE_LIMIT_BYTES = 512n * 1024n;
const PROBE_WRITE_BYTES = 1024 * 1024;
/** Far above every pool: nobody's. */
const PROBE_UIDS = { first: 2_000_000_000, count: 100_000_000 } as const;

/**
 * Limits by quota group: each container's layer is a subvolume of its own. Needs a depot on btrfs with quota
 * on (or `switchOn`), and Linux 5.9.
 *
 * What lies in a subvolume that a container itself makes counts for nobody. The kernel's overlay hides the
 * requests for that, and the system-call filter of wshd refuses them; a file system driver that shows the
 * layer without either must not be used with this one.
 */
export function btrfsSubvolume(options: BtrfsSubvolumeOptions = {}): DriverFactory<QuotaDriver> {
  return (components) => new BtrfsSubvolume(options, components);
}

class BtrfsSubvolume implements QuotaDriver {
  readonly role = 'quota' as const;
  readonly name = 'btrfs';
  readonly supports = {
    limits: true,
    softLimits: false,
    inodeLimits: false,
    countsRootFiles: true,
    shrink: true,
    errno: 'EDQUOT',
  } as const;
  readonly #switchOn: 'simple' | 'full' | undefined;
  readonly #components: DriverComponents;
  readonly #ignored: IgnoredLimits;

  constructor({ switchOn }: BtrfsSubvolumeOptions, components: DriverComponents) {
    this.#switchOn = switchOn;
    this.#components = components;
    this.#ignored = new IgnoredLimits(components.logger);
  }

  async probe(depot: string): Promise<ProbeResult> {
    let switchedOn = false;
    let own: bigint | undefined;
    let filesystem = '';
    try {
      ({ filesystem } = btrfsFacts(depot));
      if (quotaMode(filesystem) === undefined) {
        this.#tellOfUnlimited(depot);
        if (this.#switchOn === undefined)
          return { ok: false, reason: `quota of the btrfs at ${depot} is off` };
        btrfsQuota(depot, this.#switchOn);
        switchedOn = true;
      }
      const mode = quotaMode(filesystem);
      if (mode === undefined) return { ok: false, reason: `no quota groups in /sys/fs/btrfs/${filesystem}` };
      const errno = await tryLimit(depot, (subvolume) => {
        own = subvolume;
      });
      if (errno === 'EDQUOT') return { ok: true, detail: `quota groups (${mode})` };
      return {
        ok: false,
        reason:
          errno === undefined
            ? `quota groups of ${depot} are counted but not enforced`
            : `a write over the limit failed with ${errno}`,
      };
    } catch (error) {
      const why = hasErrno(error, 'EOPNOTSUPP')
        ? 'it is on another file system'
        : toWardenError(error).message;
      return { ok: false, reason: `no btrfs subvolumes in ${depot}: ${why}` };
    } finally {
      if (switchedOn) this.#switchOffAgain(depot, filesystem, own);
    }
  }

  plan(_spec: QuotaSpec): DriverState {
    return {};
  }

  async prepare(spec: QuotaSpec, _state: DriverState): Promise<void> {
    const { filesystem } = btrfsFacts(spec.directory);
    if (this.#switchOn !== undefined && quotaMode(filesystem) === undefined)
      btrfsQuota(spec.directory, this.#switchOn);
    refreshCounts(spec.directory, filesystem);
    const isNew = await makeSubvolume(spec);
    try {
      const layer = layerOf(spec);
      chmodSync(layer, LAYER_MODE); // a subvolume is made with what this process's mask leaves
      closeSync(openSync(join(layer, MARK), 'a', 0o600));
      limitSubvolume(layer, btrfsFacts(layer).subvolume, undefined);
    } catch (error) {
      if (isNew) destroySubvolume(spec.directory, basename(layerOf(spec)));
      throw failure('prepare-layer', layerOf(spec), error);
    }
  }

  async setLimits(spec: QuotaSpec, state: DriverState, limits: DiskLimits): Promise<DiskLimits> {
    refuseOverflow(spec, limits);
    this.#ignored.look(limits);
    const { filesystem, subvolume } = requireSubvolume(spec);
    refreshCounts(spec.directory, filesystem);
    limitSubvolume(layerOf(spec), subvolume, limits.blockHard === 0n ? undefined : limits.blockHard * 1024n);
    return await this.limits(spec, state);
  }

  async limits(spec: QuotaSpec, _state: DriverState): Promise<DiskLimits> {
    const facts = subvolumeOf(spec);
    const limit = facts && readGroup(facts)?.limit;
    return { ...UNLIMITED, blockHard: (limit ?? 0n) / 1024n };
  }

  /** btrfs counts no inodes. */
  async usage(spec: QuotaSpec, _state: DriverState): Promise<DiskStat> {
    return await withUsageText(() => {
      const group = readGroup(requireSubvolume(spec));
      if (group === undefined) {
        throw new WardenError('NATIVE_FAILED', `quota of the btrfs of ${spec.directory} is off`, {
          fields: { operation: 'disk-usage', object: spec.directory, errno: 'ENOTCONN' },
        });
      }
      return { bytesUsed: group.used, inodesUsed: 0n };
    });
  }

  /** One call of the kernel's, however many files there are. */
  async discard(spec: QuotaSpec, state: DriverState): Promise<void> {
    await this.release(spec, state);
  }

  async release(spec: QuotaSpec, _state: DriverState): Promise<void> {
    const facts = subvolumeOf(spec);
    if (facts === undefined) return;
    try {
      destroySubvolume(spec.directory, basename(layerOf(spec)));
    } catch (error) {
      // Subvolumes in it, which go one by one as directories do.
      if (!hasErrno(error, 'ENOTEMPTY')) throw error;
      await removeTree(layerOf(spec));
    }
    removeGroup(spec.directory, facts.subvolume);
  }

  /** With quota every limit goes, and none of them comes back with it. */
  #tellOfUnlimited(depot: string): void {
    const containers = readdirSync(depot).filter((name) =>
      existsSync(join(layerOf({ directory: join(depot, name) }), MARK)),
    );
    if (containers.length === 0) return;
    this.#components.logger.warn('disk-limits-lost', {
      driver: this.name,
      count: containers.length,
      containers: containers.slice(0, 8),
      means:
        'quota of the btrfs was on when these containers were made, and is off: whatever limits they had, nothing limits what they write, nor tells how much it is',
      advice: 'btrfs quota enable, and set their limits again, which are not kept; or destroy them',
    });
  }

  /** Unless another daemon on this file system has limited something meanwhile, which would be lost. */
  #switchOffAgain(depot: string, filesystem: string, own: bigint | undefined): void {
    try {
      if (limitedSubvolumes(filesystem).some((subvolume) => subvolume !== own)) return;
      btrfsQuota(depot, 'off');
    } catch (error) {
      const { fields, message } = toWardenError(error);
      this.#components.logger.warn('quota-probe-left-quota-on', { ...fields, message });
    }
  }
}

/** Writes over the limit of a subvolume that exists only for this. */
async function tryLimit(depot: string, onMade: (subvolume: bigint) => void): Promise<string | undefined> {
  const uid = PROBE_UIDS.first + randomInt(PROBE_UIDS.count);
  let subvolume: bigint | undefined;
  await removeLeftovers(depot);
  try {
    return await tryWriting(depot, uid, PROBE_WRITE_BYTES, async (directory) => {
      rmdirSync(directory);
      await createSubvolume(dirname(directory), basename(directory));
      ({ subvolume } = btrfsFacts(directory));
      onMade(subvolume); // a new kernel removes its group later
      limitSubvolume(directory, subvolume, PROBE_LIMIT_BYTES);
    });
  } finally {
    if (subvolume !== undefined) removeGroup(depot, subvolume);
  }
}

/** Subvolumes of starts that were killed, with their groups, for which only their numbers stand. */
async function removeLeftovers(depot: string): Promise<void> {
  for (const name of readdirSync(depot).filter((one) => one.startsWith(TRIAL_PREFIX))) {
    const { isSubvolumeRoot, subvolume } = btrfsFacts(join(depot, name));
    await removeTree(join(depot, name));
    if (isSubvolumeRoot) removeGroup(depot, subvolume);
  }
}

/**
 * Makes the layer's directory a subvolume; answers false when it is one already. An empty directory gives way
 * to it.
 */
async function makeSubvolume(spec: QuotaSpec): Promise<boolean> {
  const layer = layerOf(spec);
  if (subvolumeOf(spec) !== undefined) return false;
  try {
    if (existsSync(layer)) rmdirSync(layer);
    await createSubvolume(spec.directory, basename(layer));
    return true;
  } catch (cause) {
    throw failure('prepare-layer', layer, cause);
  }
}

/** The subvolume of the layer; undefined when there is no layer, or a plain directory. */
function subvolumeOf(spec: QuotaSpec): BtrfsFacts | undefined {
  const layer = layerOf(spec);
  if (lstatSync(layer, { throwIfNoEntry: false })?.isDirectory() !== true) return undefined;
  try {
    const facts = btrfsFacts(layer);
    return facts.isSubvolumeRoot ? facts : undefined;
  } catch (error) {
    if (hasErrno(error, 'EOPNOTSUPP')) return undefined; // a container of another driver's time
    throw error;
  }
}

function requireSubvolume(spec: QuotaSpec): BtrfsFacts {
  const facts = subvolumeOf(spec);
  if (facts !== undefined) return facts;
  throw new WardenError('NATIVE_FAILED', `${layerOf(spec)} is no subvolume`, {
    fields: { operation: 'find-subvolume', object: layerOf(spec), errno: 'EINVAL' },
  });
}

/**
 * Before Linux 6.10 the group goes at once; a newer kernel is still busy with the subvolume, and removes both
 * together.
 */
function removeGroup(directory: string, subvolume: bigint): void {
  try {
    removeQuotaGroup(directory, subvolume);
  } catch (error) {
    if (!hasErrno(error, 'EBUSY', 'ENOENT', 'ENOTCONN')) throw error;
  }
}

function failure(operation: string, object: string, cause: unknown): WardenError {
  const { message, fields } = toWardenError(cause);
  const errno = fields.errno ?? (cause as NodeJS.ErrnoException).code;
  return new WardenError('NATIVE_FAILED', `cannot make the writable layer: ${message}`, {
    cause,
    fields: { operation, object, errno },
  });
}
