import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import {
  type DiskLimits,
  type DiskStat,
  type DriverComponents,
  type DriverFactory,
  type DriverState,
  type Failpoints,
  NO_FAILPOINTS,
  type ProbeResult,
  type QuotaDriver,
  type QuotaSpec,
  toWardenError,
  WardenError,
} from '@warden/interface';
import {
  attachLoopDevice,
  closeDescriptor,
  copySparseFile,
  MS,
  mountFilesystem,
  shutDownFilesystem,
  tryMountBeside,
  unmount,
} from '@warden/native';
import {
  depotOf,
  hasErrno,
  LAYER_MODE,
  layerOf,
  makeLayer,
  UNLIMITED,
  withUsageText,
} from './container-layer.ts';
import { IgnoredLimits } from './ignored-limits.ts';
import { capacityOf, clearFilesystem, readLimit, readUsage, writeLimit } from './image-filesystem.ts';
import { ImageTemplate } from './image-template.ts';

/** Where a test can make this driver fail, each named after the step it stands behind (docs/failpoints.md). */
export const IMAGE_FAILPOINTS = ['image.file', 'image.loop', 'image.mount', 'image.unmount'] as const;

const GIB = 1024 ** 3;
const MINIMUM_BYTES = 16 * 1024 ** 2;
const MAXIMUM_BYTES = 16 * 1024 * GIB;

/** Options of {@link sizedImage}. */
export interface SizedImageOptions {
  /**
   * The most that a container can hold, limited or not: bytes, from 16 MiB to 16 TiB. Default 16 GiB. Free
   * space of an image takes no room.
   */
  readonly size?: number;
}

/**
 * A sparse ext4 image per container, mounted from a loop device on its layer. Works on every depot; costs a mount per
 * container and caches file content twice. Needs loop devices, and mkfs.ext4 once per start of the daemon.
 */
export function sizedImage(options: SizedImageOptions = {}): DriverFactory<QuotaDriver> {
  const { size = 16 * GIB } = options;
  if (!Number.isInteger(size) || size < MINIMUM_BYTES || size > MAXIMUM_BYTES) {
    throw new TypeError(
      `size must be an integer from ${MINIMUM_BYTES} to ${MAXIMUM_BYTES}, not ${String(size)}`,
    );
  }
  return (components) => new SizedImage(BigInt(size), components);
}

class SizedImage implements QuotaDriver {
  readonly role = 'quota' as const;
  readonly name = 'image';
  readonly supports = {
    limits: true,
    softLimits: false,
    inodeLimits: false, // fixed when the image is made
    countsRootFiles: true,
    shrink: true,
    errno: 'ENOSPC',
  } as const;
  readonly #size: bigint;
  readonly #failpoints: Failpoints;
  readonly #ignored: IgnoredLimits;
  #template: Promise<ImageTemplate> | undefined;

  constructor(size: bigint, { logger, failpoints = NO_FAILPOINTS }: DriverComponents) {
    this.#size = size;
    this.#failpoints = failpoints;
    this.#ignored = new IgnoredLimits(logger);
  }

  async probe(depot: string): Promise<ProbeResult> {
    let directory: string | undefined;
    try {
      removeLeftovers(depot);
      directory = mkdtempSync(join(depot, '.quota-probe-'));
      const image = join(directory, 'image');
      // The template is kept: no request will have to wait for mkfs.
      copySparseFile((await this.#templateFor(depot)).path, image);
      const device = attach(image);
      try {
        const trial = await tryMountBeside(
          { ...IMAGE_MOUNT, source: device.path, target: directory },
          'write',
        );
        return trial.ok
          ? { ok: true, detail: `ext4 images of ${this.#size} bytes` }
          : refused(trial.step, trial.errno);
      } finally {
        closeDescriptor(device.fd);
      }
    } catch (error) {
      return { ok: false, reason: `no image can be made on ${depot}: ${toWardenError(error).message}` };
    } finally {
      if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
    }
  }

  plan(_spec: QuotaSpec): DriverState {
    return {};
  }

  async prepare(spec: QuotaSpec, _state: DriverState): Promise<void> {
    const layer = makeLayer(spec);
    if (!isMounted(spec)) {
      const template = await this.#templateFor(depotOf(spec));
      const image = imageOf(spec);
      rmSync(image, { force: true }); // of a prepare that was cut off before its mount
      copySparseFile(template.path, image);
      this.#failpoints.passSync('image.file');
      mountImage(image, layer, () => this.#failpoints.passSync('image.loop'));
    }
    this.#failpoints.passSync('image.mount');
    chmodSync(layer, LAYER_MODE); // the root of the image, which lies over the directory
    clearFilesystem(layer);
    await writeLimit(layer, 0n);
  }

  async setLimits(spec: QuotaSpec, state: DriverState, limits: DiskLimits): Promise<DiskLimits> {
    requireMount(spec);
    this.#ignored.look(limits);
    const layer = layerOf(spec);
    const capacity = (await capacityOf(layer)) / 1024n;
    if (limits.blockHard >= capacity) {
      throw cannotSet(spec, `the image holds ${capacity} blocks`, {
        limit: limits.blockHard,
        capacity,
        advice:
          'set a lower limit, or 0 for all that the image holds; drivers.quota_image_size says how much that is for containers made from then on',
      });
    }
    try {
      await writeLimit(layer, limits.blockHard);
    } catch (cause) {
      if (!hasErrno(cause, 'ENOSPC')) throw cause;
      throw cannotSet(spec, 'more is used already', { limit: limits.blockHard, errno: 'ENOSPC' }, cause);
    }
    return await this.limits(spec, state);
  }

  async limits(spec: QuotaSpec, _state: DriverState): Promise<DiskLimits> {
    return isMounted(spec) ? { ...UNLIMITED, blockHard: await readLimit(layerOf(spec)) } : UNLIMITED;
  }

  async usage(spec: QuotaSpec, _state: DriverState): Promise<DiskStat> {
    return await withUsageText(async () => {
      requireMount(spec); // without it these would be the numbers of the host's disk
      return await readUsage(layerOf(spec));
    });
  }

  /**
   * Removing its files one by one would punch a hole into the image for each of them, all of which goes with
   * it anyway.
   */
  async discard(spec: QuotaSpec, state: DriverState): Promise<void> {
    await this.release(spec, state);
  }

  async release(spec: QuotaSpec, _state: DriverState): Promise<void> {
    if (isMounted(spec)) {
      const layer = layerOf(spec);
      endQuickly(layer);
      try {
        unmount(layer);
      } catch (error) {
        // Somebody looks into it. Detached, it goes with its last user, and the loop device with it.
        if (!hasErrno(error, 'EBUSY')) throw error;
        unmount(layer, { detach: true });
      }
      this.#failpoints.passSync('image.unmount');
    }
    rmSync(imageOf(spec), { force: true });
  }

  async #templateFor(depot: string): Promise<ImageTemplate> {
    this.#template ??= ImageTemplate.make(depot, this.#size);
    try {
      return await this.#template;
    } catch (error) {
      this.#template = undefined; // the next attempt may find what was missing
      throw error;
    }
  }
}

/**
 * `discard` gives freed blocks back to the depot: the loop device punches holes into the image.
 * `noinit_itable`: no kernel thread walks through each image to clear inode tables, which are holes already.
 */
const IMAGE_MOUNT = { type: 'ext4', flags: MS.NOATIME, data: 'discard,noinit_itable' } as const;

/** What a daemon left that was killed while it probed or made its template. The depot is the caller's alone. */
function removeLeftovers(depot: string): void {
  for (const name of readdirSync(depot)) {
    if (name.startsWith('.quota-probe-') || name.startsWith('.quota-template-'))
      rmSync(join(depot, name), { recursive: true, force: true });
  }
}

function attach(image: string): ReturnType<typeof attachLoopDevice> {
  try {
    return attachLoopDevice(image);
  } catch (cause) {
    const { fields, message } = toWardenError(cause);
    throw new WardenError(
      'NATIVE_FAILED',
      `cannot get a loop device, of which each container needs one: ${message}`,
      { fields, cause },
    );
  }
}

function mountImage(image: string, layer: string, onAttached: () => void): void {
  const device = attach(image);
  try {
    onAttached();
    mountFilesystem({ ...IMAGE_MOUNT, source: device.path, target: layer });
  } finally {
    closeDescriptor(device.fd); // the mount holds the device now; it frees itself with the last user
  }
}

/** What is not on the disk yet never gets there: else the unmount would wait for all that the container wrote. */
function endQuickly(layer: string): void {
  try {
    shutDownFilesystem(layer);
  } catch {
    // of a file system with errors, say: its unmount takes its time then
  }
}

function imageOf(spec: QuotaSpec): string {
  return join(spec.directory, 'disk.img');
}

function isMounted(spec: QuotaSpec): boolean {
  const layer = statSync(layerOf(spec), { throwIfNoEntry: false });
  const directory = statSync(spec.directory, { throwIfNoEntry: false });
  return layer !== undefined && directory !== undefined && layer.dev !== directory.dev;
}

function requireMount(spec: QuotaSpec): void {
  if (isMounted(spec)) return;
  throw new WardenError('NATIVE_FAILED', `the image of ${layerOf(spec)} is not mounted`, {
    fields: { operation: 'find-image', object: layerOf(spec), errno: 'EINVAL' },
  });
}

function refused(step: string, errno: string): ProbeResult {
  return { ok: false, reason: `an ext4 image on a loop device cannot be used: ${step} failed with ${errno}` };
}

function cannotSet(
  spec: QuotaSpec,
  why: string,
  fields: Record<string, unknown>,
  cause?: unknown,
): WardenError {
  return new WardenError('INVALID_SPEC', `cannot set the disk limit: ${why}`, {
    fields: { operation: 'set-disk-limits', object: spec.id, ...fields },
    ...(cause === undefined ? {} : { cause }),
  });
}
