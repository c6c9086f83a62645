/** Limits that a driver cannot set: the request is fulfilled without them, and its answer says so. */
import type { DiskLimits, Logger } from '@warden/interface';

/** Of drivers that limit by blocks, and hard, alone. */
const IGNORED = ['blockSoft', 'inodeSoft', 'inodeHard'] as const;

/** Logs the first such request (spec drivers.md 4.5): what wants one wants it for each container. */
export class IgnoredLimits {
  readonly #logger: Logger;
  #isTold = false;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Before limits are set. */
  look(limits: DiskLimits): void {
    const ignored = IGNORED.filter((name) => limits[name] !== 0n);
    if (this.#isTold || ignored.length === 0) return;
    this.#isTold = true;
    this.#logger.warn('disk-limits-ignored', { ignored });
  }
}
