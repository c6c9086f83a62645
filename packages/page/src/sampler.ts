/**
 * Reads what containers use while somebody watches. One container after the other, and never more than a
 * fifth of the daemon's time: with a thousand containers a round takes seconds, and others are served in
 * between.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { ContainerMeasure, Onlooker } from '@warden/interface';
import { History, type Sample } from './history.ts';

/** From the beginning of a round to that of the next one, where there is time enough. */
export const PERIOD_MS = 2_000;
/** After the last look of somebody. */
const WATCHED_MS = 30_000;
/** So long containers are read in one go; then others have so many times as long. */
const TURN_MS = 2;
const REST = 4;

/** Of what the sampler takes its numbers. */
export interface SamplerSource {
  onlooker(): Onlooker | undefined;
}

/** See the file's head. */
export class Sampler {
  readonly history: History = new History();
  readonly #source: SamplerSource;
  readonly #closing = new AbortController();
  #measures: ReadonlyMap<string, ContainerMeasure> = new Map();
  #watchedUntil = 0;
  #running: Promise<void> | undefined;

  constructor(source: SamplerSource) {
    this.#source = source;
  }

  /** Somebody looks: rounds go on for a while. */
  watch(): void {
    this.#watchedUntil = performance.now() + WATCHED_MS;
    this.#running ??= this.#run()
      .catch(() => {}) // the end was asked for while a round was resting
      .finally(() => {
        this.#running = undefined;
      });
  }

  /** The last reading of a container. */
  measureOf(id: string): ContainerMeasure | undefined {
    return this.#measures.get(id);
  }

  /** Ends the round in progress. Idempotent. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted && performance.now() < this.#watchedUntil) {
      const begun = performance.now();
      await this.#round();
      const rest = Math.max(PERIOD_MS - (performance.now() - begun), 0);
      await delay(rest, undefined, { signal, ref: false });
    }
  }

  async #round(): Promise<void> {
    const onlooker = this.#source.onlooker();
    if (onlooker === undefined) return;
    const { signal } = this.#closing;
    const measures = new Map<string, ContainerMeasure>();
    const samples: Sample[] = [];
    const looks = onlooker.looks();
    let turn = performance.now();
    for (const { handle } of looks) {
      const measure = await onlooker.measure(handle);
      const now = performance.now();
      if (measure !== undefined) {
        measures.set(measure.id, measure);
        const { cpu, memory } = measure.usage;
        samples.push({ id: measure.id, cpu, memory, readAt: now });
      }
      if (now - turn < TURN_MS) continue;
      await delay(Math.ceil((now - turn) * REST), undefined, { signal, ref: false });
      turn = performance.now();
    }
    this.#measures = measures;
    const jobs = looks.reduce((sum, one) => sum + one.jobs.filter(({ hasEnded }) => !hasEnded).length, 0);
    this.history.add(Date.now(), samples, { jobs });
  }
}
