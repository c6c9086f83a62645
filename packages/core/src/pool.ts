/** First-in, first-out pools of numbers with a release delay (spec behaviour.md 13). */
import type { NumberRange } from './options.ts';

/** Numbers of which each is `step` more than the one before; 1 where nothing else is said. */
export interface NumberSeries extends NumberRange {
  readonly step?: number;
}

/** A series, and how many of it have had their turn as what nobody has used yet. */
interface Run {
  readonly first: number;
  readonly step: number;
  count: number;
  passed: number;
}

/**
 * Numbers that are handed out and come back. Times are milliseconds of a monotonic clock. A pool of a quarter of a
 * million networks takes no more time and memory than one of two: what nobody has had yet is counted, not listed.
 */
export class Pool {
  readonly #delayMs: number;
  readonly #now: () => number;
  /** All entries, none of them twice, and those that are excluded. */
  readonly #runs: Run[] = [];
  readonly #excluded = new Set<number>();
  #isExcluded: (entry: number) => boolean = () => false;
  #size = 0;
  /** How many are free, those that wait for their delay among them. */
  #free = 0;
  /** Unused ones that were put back; the last one is the next. */
  readonly #putBack: number[] = [];
  /** The run whose turn it is among those that nobody has used. */
  #turn = 0;
  /** Entries whose turn has not come, and who are to have none. */
  readonly #passedOver = new Set<number>();
  /** Free entries that were used, and since when they are; a Map keeps the order of insertion. */
  readonly #comeBack = new Map<number, number>();
  /** Entries of a pool that was larger, which somebody has still: for when this one has grown to hold them. */
  readonly #held = new Set<number>();

  constructor(
    entries: NumberSeries,
    options: { readonly delayMs?: number; readonly now?: () => number } = {},
  ) {
    this.#delayMs = options.delayMs ?? 0;
    this.#now = options.now ?? (() => performance.now());
    const { first, count, step = 1 } = entries;
    this.#runs.push({ first, count, step, passed: 0 });
    this.#size = count;
    this.#free = count;
  }

  /** All entries. */
  get size(): number {
    return this.#size;
  }

  /** Whether the entry is one of its own, free or not. */
  has(entry: number): boolean {
    return !this.#excluded.has(entry) && this.#runs.some((run) => holds(run, entry));
  }

  /**
   * Adds what it does not have yet, behind what has never been used and before what has come back. What was
   * withdrawn before is taken.
   */
  extend(entries: NumberSeries): void {
    const { step = 1 } = entries;
    let run: Run | undefined;
    for (const entry of numbersOf(entries)) {
      if (this.has(entry) || this.#isExcluded(entry)) {
        run = undefined;
        continue;
      }
      if (run === undefined) {
        run = { first: entry, count: 0, step, passed: 0 };
        this.#runs.push(run);
      }
      run.count += 1;
      this.#size += 1;
      if (this.#held.delete(entry)) this.#passedOver.add(entry);
      else this.#free += 1;
    }
  }

  /** Whether all of its entries are among these. */
  isWithin(entries: NumberSeries): boolean {
    return this.#entries().every((entry) => holds(entries, entry));
  }

  /** Entries that are taken or still wait for their delay. */
  get used(): number {
    const now = this.#now();
    let waiting = 0;
    for (const since of this.#comeBack.values()) if (since > now) waiting += 1;
    return this.taken + waiting;
  }

  /** Entries that somebody has. */
  get taken(): number {
    return this.#size - this.#free;
  }

  /** Whether {@link acquire} would find one. */
  get hasFree(): boolean {
    return this.#free > this.#comeBack.size || this.#ready() !== undefined;
  }

  /** The entry that has been free for longest; `undefined` when there is none. */
  acquire(): number | undefined {
    const entry = this.#putBack.pop() ?? this.#nextUnused() ?? this.#ready();
    if (entry === undefined) return undefined;
    this.#comeBack.delete(entry);
    this.#free -= 1;
    return entry;
  }

  /** Takes this very entry; false when it is taken, waits for its delay or is none of the pool's. */
  take(entry: number): boolean {
    const since = this.#comeBack.get(entry);
    return (since === undefined || since <= this.#now()) && this.#remove(entry);
  }

  /**
   * Marks an entry as taken whatever its delay, for what is found at start; a foreign one for when it is none any
   * more.
   */
  withdraw(entry: number): void {
    if (this.has(entry)) this.#remove(entry);
    else this.#held.add(entry);
  }

  /** Takes what `isExcluded` says out of the pool, for good: also when it comes back, or the pool grows. */
  exclude(isExcluded: (entry: number) => boolean): void {
    const earlier = this.#isExcluded;
    this.#isExcluded = (entry) => earlier(entry) || isExcluded(entry);
    for (const entry of this.#entries()) {
      if (!isExcluded(entry)) continue;
      this.#remove(entry);
      this.#excluded.add(entry);
      this.#size -= 1;
    }
  }

  /** Makes an entry that nobody has used the next one, as if it had never been taken. Foreign entries are ignored. */
  putBack(entry: number): void {
    if (!this.has(entry)) return;
    this.#remove(entry);
    this.#putBack.push(entry);
    this.#free += 1;
  }

  /** Gives back. Foreign entries and such that are free already are ignored. */
  release(entry: number): void {
    this.#held.delete(entry);
    if (!this.has(entry) || this.#isFree(entry)) return;
    this.#comeBack.set(entry, this.#now() + this.#delayMs);
    this.#free += 1;
  }

  /** The first of those that have come back, once its delay is over. */
  #ready(): number | undefined {
    const [head] = this.#comeBack;
    return head !== undefined && head[1] <= this.#now() ? head[0] : undefined;
  }

  #nextUnused(): number | undefined {
    for (; this.#turn < this.#runs.length; this.#turn += 1) {
      const run = this.#runs[this.#turn]!;
      while (run.passed < run.count) {
        const entry = run.first + run.step * run.passed;
        run.passed += 1;
        if (!this.#passedOver.delete(entry)) return entry;
      }
    }
    return undefined;
  }

  /** Whether its turn among those that nobody has used is still to come. */
  #isUnused(entry: number): boolean {
    if (this.#passedOver.has(entry)) return false;
    return this.#runs.some((run) => holds(run, entry) && (entry - run.first) / run.step >= run.passed);
  }

  #isFree(entry: number): boolean {
    return this.#comeBack.has(entry) || this.#putBack.includes(entry) || this.#isUnused(entry);
  }

  /** Out of the free ones, wherever among them it is; false when it is not. */
  #remove(entry: number): boolean {
    const at = this.#putBack.indexOf(entry);
    if (at >= 0) this.#putBack.splice(at, 1);
    else if (this.#isUnused(entry)) this.#passedOver.add(entry);
    else if (!this.#comeBack.delete(entry)) return false;
    this.#free -= 1;
    return true;
  }

  #entries(): number[] {
    return this.#runs.flatMap((run) => numbersOf(run)).filter((entry) => !this.#excluded.has(entry));
  }
}

function holds({ first, count, step = 1 }: NumberSeries, entry: number): boolean {
  const at = (entry - first) / step;
  return Number.isInteger(at) && at >= 0 && at < count;
}

function numbersOf({ first, count, step = 1 }: NumberSeries): number[] {
  return Array.from({ length: count }, (_, at) => first + step * at);
}
