import {
  type DiskLimits,
  type DiskStat,
  type DriverFactory,
  type DriverState,
  type ProbeResult,
  type QuotaDriver,
  type QuotaSpec,
  WardenError,
} from '@warden/interface';
import { makeLayer } from './container-layer.ts';

/** Options of {@link noQuota}. */
export interface NoQuotaOptions {
  /**
   * `prepare` makes the writable layer `tmp/rootfs`; false where containers have no root of their own.
   * Default: true.
   */
  readonly layer?: boolean;
}

/** No disk limits: every request for one is refused as unsupported, and usage is unknown. */
export function noQuota(options: NoQuotaOptions = {}): DriverFactory<QuotaDriver> {
  return () => new NoQuota(options.layer ?? true);
}

class NoQuota implements QuotaDriver {
  readonly role = 'quota' as const;
  readonly name = 'none';
  readonly supports = {
    limits: false,
    softLimits: false,
    inodeLimits: false,
    countsRootFiles: false,
    shrink: false,
    errno: 'ENOSPC', // of a full disk: nothing else stops a writer
  } as const;

  readonly #layer: boolean;

  constructor(layer: boolean) {
    this.#layer = layer;
  }

  async probe(_depot: string): Promise<ProbeResult> {
    return { ok: true, detail: 'disk limits are off' };
  }

  plan(_spec: QuotaSpec): DriverState {
    return {};
  }

  async prepare(spec: QuotaSpec, _state: DriverState): Promise<void> {
    if (this.#layer) makeLayer(spec);
  }

  async setLimits(_spec: QuotaSpec, _state: DriverState, _limits: DiskLimits): Promise<DiskLimits> {
    throw unsupported('set-disk-limits', 'disk limits are off');
  }

  async limits(_spec: QuotaSpec, _state: DriverState): Promise<DiskLimits> {
    throw unsupported('read-disk-limits', 'disk limits are off');
  }

  /** Walking a container's tree for every `info` would cost more than the answer is worth. */
  async usage(_spec: QuotaSpec, _state: DriverState): Promise<DiskStat> {
    throw unsupported('disk-usage', 'Failed getting disk usage: disk quota is off');
  }

  countsFiles(_state: DriverState): boolean {
    return false;
  }

  async release(_spec: QuotaSpec, _state: DriverState): Promise<void> {}
}

function unsupported(operation: string, message: string): WardenError {
  return new WardenError('UNSUPPORTED', message, { fields: { operation, object: 'quota driver none' } });
}
