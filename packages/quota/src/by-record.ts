import type {
  DiskLimits,
  DiskStat,
  DriverState,
  ProbeResult,
  QuotaDriver,
  QuotaSpec,
  QuotaSupports,
} from '@warden/interface';

/**
 * New containers get `chosen`; each keeps the driver that it was made with, whatever a later configuration
 * chooses (spec drivers.md 5). So a container's image is unmounted also by a daemon that has quotas switched
 * off. `others` are the drivers that earlier daemons may have chosen.
 */
export function quotaByRecord(chosen: QuotaDriver, others: readonly QuotaDriver[]): QuotaDriver {
  return new QuotaByRecord(chosen, others);
}

class QuotaByRecord implements QuotaDriver {
  readonly role = 'quota' as const;
  readonly #chosen: QuotaDriver;
  readonly #byName: ReadonlyMap<string, QuotaDriver>;

  constructor(chosen: QuotaDriver, others: readonly QuotaDriver[]) {
    this.#chosen = chosen;
    this.#byName = new Map([...others, chosen].map((driver) => [driver.name, driver]));
  }

  get name(): string {
    return this.#chosen.name;
  }

  get supports(): QuotaSupports {
    return this.#chosen.supports;
  }

  probe(depot: string): Promise<ProbeResult> {
    return this.#chosen.probe(depot);
  }

  plan(spec: QuotaSpec): DriverState {
    return { ...this.#chosen.plan(spec), driver: this.#chosen.name };
  }

  prepare(spec: QuotaSpec, state: DriverState): Promise<void> {
    return this.#of(state).prepare(spec, state);
  }

  setLimits(spec: QuotaSpec, state: DriverState, limits: DiskLimits): Promise<DiskLimits> {
    return this.#of(state).setLimits(spec, state, limits);
  }

  limits(spec: QuotaSpec, state: DriverState): Promise<DiskLimits> {
    return this.#of(state).limits(spec, state);
  }

  usage(spec: QuotaSpec, state: DriverState): Promise<DiskStat> {
    return this.#of(state).usage(spec, state);
  }

  async discard(spec: QuotaSpec, state: DriverState): Promise<void> {
    await this.#of(state).discard?.(spec, state);
  }

  countsFiles(state: DriverState): boolean {
    return this.#of(state).countsFiles?.(state) ?? true;
  }

  release(spec: QuotaSpec, state: DriverState): Promise<void> {
    return this.#of(state).release(spec, state);
  }

  /** A record that names no driver is one of the chosen's. */
  #of({ driver }: DriverState): QuotaDriver {
    return this.#byName.get(String(driver)) ?? this.#chosen;
  }
}
