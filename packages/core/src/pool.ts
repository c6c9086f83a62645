/** First-in, first-out pools of numbers with a release delay (spec behaviour.md 13). */

/** A free entry, and since when. */
type Free = readonly [entry: number, since: number];
const NEVER_USED = Number.NEGATIVE_INFINITY;
const unused = (entry: number): Free => [entry, NEVER_USED];

/** Numbers that are handed out and come back. Times are milliseconds of a monotonic clock. */
export class Pool {
  readonly #delayMs: number;
  readonly #now: () => number;
  /** Free entries and since when; a Map keeps the order of insertion. */
  #free: Map<number, number>;
  readonly #all: Set<number>;
  /** Entries of a pool that was larger, which somebody has still: for when this one has grown to hold them. */
  readonly #held = new Set<number>();
  #isExcluded: (entry: number) => boolean = () => false;

  constructor(
    entries: readonly number[],
    options: { readonly delayMs?: number; readonly now?: () => number } = {},
  ) {
    this.#delayMs = options.delayMs ?? 0;
    this.#now = options.now ?? (() => performance.now());
    this.#all = new Set(entries);
    this.#free = new Map(entries.map(unused));
  }

  /** All entries. */
  get size(): number {
    return this.#all.size;
  }

  /** Whether the entry is one of its own, free or not. */
  has(entry: number): boolean {
    return this.#all.has(entry);
  }

  /**
   * Adds what it does not have yet, behind what has never been used and before what has come back. What was
   * withdrawn before is taken.
   */
  extend(entries: readonly number[]): void {
    const fresh = entries.filter((entry) => !this.#all.has(entry) && !this.#isExcluded(entry));
    for (const entry of fresh) this.#all.add(entry);
    const added = fresh.filter((entry) => !this.#held.delete(entry)).map(unused);
    const earlier = [...this.#free];
    const hasComeBack = ([, since]: Free): boolean => since > NEVER_USED;
    this.#free = new Map([
      ...earlier.filter((one) => !hasComeBack(one)),
      ...added,
      ...earlier.filter(hasComeBack),
    ]);
  }

  /** Whether all of its entries are among these. */
  isWithin(entries: readonly number[]): boolean {
    const others = new Set(entries);
    return [...this.#all].every((entry) => others.has(entry));
  }

  /** Entries that are taken or still wait for their delay. */
  get used(): number {
    const now = this.#now();
    let available = 0;
    for (const since of this.#free.values()) if (since <= now) available += 1;
    return this.size - available;
  }

  /** Entries that somebody has. */
  get taken(): number {
    return this.size - this.#free.size;
  }

  /** Whether {@link acquire} would find one. */
  get hasFree(): boolean {
    const head = this.#free.values().next().value;
    return head !== undefined && head <= this.#now();
  }

  /** The entry that has been free for longest; `undefined` when there is none. */
  acquire(): number | undefined {
    const head = this.#free.entries().next().value;
    if (head === undefined || head[1] > this.#now()) return undefined;
    this.#free.delete(head[0]);
    return head[0];
  }

  /** Takes this very entry; false when it is taken, waits for its delay or is none of the pool's. */
  take(entry: number): boolean {
    const since = this.#free.get(entry);
    if (since === undefined || since > this.#now()) return false;
    return this.#free.delete(entry);
  }

  /**
   * Marks an entry as taken whatever its delay, for what is found at start; a foreign one for when it is none any
   * more.
   */
  withdraw(entry: number): void {
    if (this.#all.has(entry)) this.#free.delete(entry);
    else this.#held.add(entry);
  }

  /** Takes what `isExcluded` says out of the pool, for good: also when it comes back, or the pool grows. */
  exclude(isExcluded: (entry: number) => boolean): void {
    this.#isExcluded = isExcluded;
    for (const entry of this.#all) {
      if (!isExcluded(entry)) continue;
      this.#all.delete(entry);
      this.#free.delete(entry);
    }
  }

  /** Makes an entry that nobody has used the next one, as if it had never been taken. Foreign entries are ignored. */
  putBack(entry: number): void {
    if (!this.#all.has(entry)) return;
    this.#free.delete(entry);
    this.#free = new Map([unused(entry), ...this.#free]);
  }

  /** Gives back. Foreign entries and such that are free already are ignored. */
  release(entry: number): void {
    this.#held.delete(entry);
    if (this.#all.has(entry) && !this.#free.has(entry)) this.#free.set(entry, this.#now() + this.#delayMs);
  }
}
