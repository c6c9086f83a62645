/**
 * Usage over time: numbers of the last minutes, of each container and of all together, with a bound in time
 * and in number.
 */
import type { TotalPoint } from './wire.ts';

/** How long a container's numbers are kept, and how many at most. */
const CONTAINER_WINDOW_MS = 180_000;
const CONTAINER_SAMPLES = 90;
/** The same for all containers together. */
const TOTAL_WINDOW_MS = 900_000;
const TOTAL_SAMPLES = 450;

/** One container in one round. `undefined`: nobody counts. */
export interface Sample {
  readonly id: string;
  /** Nanoseconds since its creation. */
  readonly cpu: number | undefined;
  /** Bytes. */
  readonly memory: number | undefined;
  /** When it was read, in milliseconds of a clock that only goes forward. */
  readonly readAt: number;
}

/** Numbers with the times they belong to, the oldest first; `null`: unknown. */
export interface Series {
  /** Processors: 1 is one that was busy all the time. */
  readonly cpu: readonly (number | null)[];
  /** Bytes. */
  readonly memory: readonly (number | null)[];
}

interface Track {
  readonly cpu: (number | null)[];
  readonly memory: (number | null)[];
  last: { readonly cpu: number; readonly readAt: number } | undefined;
}

const NOTHING: Series = { cpu: [], memory: [] };

/** See the file's head. Numbers of a container end with the newest time; one that came later has fewer. */
export class History {
  readonly #times: number[] = [];
  readonly #tracks = new Map<string, Track>();
  #totals: TotalPoint[] = [];

  /** Of the rounds that containers' numbers belong to, in milliseconds since 1970. */
  get times(): readonly number[] {
    return this.#times;
  }

  get totals(): readonly TotalPoint[] {
    return this.#totals;
  }

  of(id: string): Series {
    return this.#tracks.get(id) ?? NOTHING;
  }

  /** Takes a round in. Containers that are not in it are forgotten. */
  add(time: number, samples: readonly Sample[], counts: { readonly jobs: number }): void {
    this.#times.push(time);
    const present = new Set(samples.map(({ id }) => id));
    for (const id of this.#tracks.keys()) if (!present.has(id)) this.#tracks.delete(id);
    let cpu = 0;
    let memory = 0;
    for (const sample of samples) {
      const rate = this.#track(sample);
      cpu += rate ?? 0;
      memory += sample.memory ?? 0;
    }
    this.#totals.push({ time, cpu: round(cpu), memory, containers: samples.length, jobs: counts.jobs });
    this.#forget(time);
  }

  #track({ id, cpu, memory, readAt }: Sample): number | null {
    let track = this.#tracks.get(id);
    if (track === undefined) {
      track = { cpu: [], memory: [], last: undefined };
      this.#tracks.set(id, track);
    }
    const { last } = track;
    const rate =
      cpu === undefined || last === undefined || readAt <= last.readAt
        ? null
        : round(Math.max(0, cpu - last.cpu) / 1e6 / (readAt - last.readAt));
    track.last = cpu === undefined ? undefined : { cpu, readAt };
    track.cpu.push(rate);
    track.memory.push(memory ?? null);
    return rate;
  }

  #forget(now: number): void {
    const times = this.#times;
    const tooOld = times.findIndex((time) => time >= now - CONTAINER_WINDOW_MS);
    times.splice(0, Math.max(tooOld, times.length - CONTAINER_SAMPLES));
    for (const { cpu, memory } of this.#tracks.values()) {
      cpu.splice(0, cpu.length - times.length);
      memory.splice(0, memory.length - times.length);
    }
    const first = this.#totals.findIndex(({ time }) => time >= now - TOTAL_WINDOW_MS);
    this.#totals.splice(0, Math.max(first, this.#totals.length - TOTAL_SAMPLES));
  }
}

function round(value: number): number {
  return Math.round(value * 1_000) / 1_000;
}
