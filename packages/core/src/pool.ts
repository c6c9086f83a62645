/** First-in, first-out pools of numbers with a release delay (spec behaviour.md 13). */

/** Entries `first`, `first + step`, … */
export interface PoolRange {
  readonly first: number;
  readonly count: number;
  /** Default 1. */
  readonly step?: number;
}

/** Timing of a {@link Pool}. */
export interface PoolOptions {
  /** How long a released entry stays unavailable. Default 0. */
  readonly delayMs?: number;
  /** Milliseconds of a monotonic clock. */
  readonly now?: () => number;
}

/**
 * Numbers that are handed out and come back. Entries that were never used come first, in ascending order, then released ones,
 * longest free first. Costs memory only for entries that have been used: a pool may be a whole /8.
 */
export class Pool {
  readonly size: number;
  readonly #first: number;
  readonly #step: number;
  readonly #delayMs: number;
  readonly #now: () => number;
  /** Index of the first entry that was never handed out in order. */
  #fresh = 0;
  readonly #taken = new Set<number>();
  /** Released entries and when each becomes available; a Map keeps the order of insertion. */
  readonly #released = new Map<number, number>();

  constructor({ first, count, step = 1 }: PoolRange, options: PoolOptions = {}) {
    this.size = count;
    this.#first = first;
    this.#step = step;
    this.#delayMs = options.delayMs ?? 0;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Entries that are taken or still wait for their delay. */
  get used(): number {
    const now = this.#now();
    let waiting = 0;
    for (const available of this.#released.values()) if (available > now) waiting += 1;
    return this.#taken.size + waiting;
  }

  has(entry: number): boolean {
    const index = (entry - this.#first) / this.#step;
    return Number.isInteger(index) && index >= 0 && index < this.size;
  }

  /** The entry that has been free for longest; `undefined` when there is none. */
  acquire(): number | undefined {
    while (this.#fresh < this.size) {
      const entry = this.#first + this.#fresh * this.#step;
      this.#fresh += 1;
      if (this.#taken.has(entry) || this.#released.has(entry)) continue; // was asked for by name meanwhile
      this.#taken.add(entry);
      return entry;
    }
    const head = this.#released.entries().next().value;
    if (head === undefined || head[1] > this.#now()) return undefined;
    this.#released.delete(head[0]);
    this.#taken.add(head[0]);
    return head[0];
  }

  /** Takes this very entry; false when it is taken, waits for its delay or is none of the pool's. */
  take(entry: number): boolean {
    if (!this.has(entry) || this.#taken.has(entry)) return false;
    if ((this.#released.get(entry) ?? Number.NEGATIVE_INFINITY) > this.#now()) return false;
    this.withdraw(entry);
    return true;
  }

  /** Marks an entry as taken whatever its delay, for what is found at start. Foreign entries are ignored. */
  withdraw(entry: number): void {
    if (!this.has(entry)) return;
    this.#released.delete(entry);
    this.#taken.add(entry);
  }

  /** Gives back. Foreign entries and such that are free already are ignored. */
  release(entry: number): void {
    if (this.#taken.delete(entry)) this.#released.set(entry, this.#now() + this.#delayMs);
  }
}
