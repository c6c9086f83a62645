import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  type DiskLimits,
  type DiskStat,
  isWardenError,
  type QuotaSpec,
  WardenError,
} from '@warden/interface';

/** No limit at all. */
export const UNLIMITED: DiskLimits = { blockSoft: 0n, blockHard: 0n, inodeSoft: 0n, inodeHard: 0n };

/** The directory whose content is limited. The file system driver puts its layers below it. */
export function layerOf(spec: Pick<QuotaSpec, 'directory'>): string {
  return join(spec.directory, 'tmp');
}

/** The directory of all containers: it lies on the limited file system and outlives each of them. */
export function depotOf(spec: QuotaSpec): string {
  return dirname(spec.directory);
}

/**
 * Who may pass the layer: the daemon's user. What is below is the container's, and its set-user-id programs
 * are for nobody on the host.
 */
export const LAYER_MODE = 0o700;

/** Makes the layer's directory. Idempotent. Errors: `NATIVE_FAILED`. */
export function makeLayer(spec: QuotaSpec): string {
  const layer = layerOf(spec);
  try {
    mkdirSync(layer, { recursive: true, mode: LAYER_MODE });
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new WardenError('NATIVE_FAILED', `cannot make the writable layer: ${message}`, {
      cause,
      fields: { operation: 'prepare-layer', object: layer, errno: code },
    });
  }
  return layer;
}

const MAX_BLOCKS = (1n << 53n) - 1n;

/**
 * Errors: `INVALID_SPEC`. The kernel counts in signed bytes and takes a block limit modulo 2^54: what is
 * beyond would become a tiny limit, or none.
 */
export function refuseOverflow(spec: QuotaSpec, { blockSoft, blockHard }: DiskLimits): void {
  const limit = blockSoft > blockHard ? blockSoft : blockHard;
  if (limit <= MAX_BLOCKS) return;
  throw new WardenError(
    'INVALID_SPEC',
    `cannot set the disk limit: the kernel keeps at most ${MAX_BLOCKS} blocks; 0 is no limit`,
    { fields: { operation: 'set-disk-limits', object: spec.id, limit, capacity: MAX_BLOCKS } },
  );
}

/** Tells whether `error` is a kernel failure with one of these error numbers. */
export function hasErrno(error: unknown, ...names: readonly string[]): boolean {
  if (isWardenError(error)) return names.includes(String(error.fields.errno));
  return names.includes(String((error as NodeJS.ErrnoException | undefined)?.code));
}

/** Reads the usage; a failure gets the text that clients of the original daemon know. */
export async function withUsageText(read: () => DiskStat | Promise<DiskStat>): Promise<DiskStat> {
  try {
    return await read();
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    const fields = isWardenError(cause)
      ? cause.fields
      : { operation: 'disk-usage', errno: (cause as NodeJS.ErrnoException).code };
    throw new WardenError('NATIVE_FAILED', `Failed getting disk usage: ${text}`, { fields, cause });
  }
}
