/** The pool counts what nobody has had yet; here it is compared with one that lists everything. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Pool } from './pool.ts';

const DELAY_MS = 100;
const STEP = 4;

/** Free entries in their order, and all there are: slow, and as one would say it. */
class Listed {
  free: { readonly entry: number; readonly since: number }[];
  readonly all: Set<number>;
  readonly held = new Set<number>();
  private readonly now: () => number;
  isExcluded = (_entry: number): boolean => false;

  constructor(entries: readonly number[], now: () => number) {
    this.now = now;
    this.all = new Set(entries);
    this.free = entries.map(unused);
  }

  get used(): number {
    return this.all.size - this.free.filter(({ since }) => since <= this.now()).length;
  }

  get hasFree(): boolean {
    return this.free.length > 0 && this.free[0]!.since <= this.now();
  }

  acquire(): number | undefined {
    return this.hasFree ? this.free.shift()!.entry : undefined;
  }

  take(entry: number): boolean {
    const found = this.free.find((one) => one.entry === entry);
    if (found === undefined || found.since > this.now()) return false;
    this.remove(entry);
    return true;
  }

  withdraw(entry: number): void {
    if (this.all.has(entry)) this.remove(entry);
    else this.held.add(entry);
  }

  putBack(entry: number): void {
    if (!this.all.has(entry)) return;
    this.remove(entry);
    this.free.unshift(unused(entry));
  }

  release(entry: number): void {
    this.held.delete(entry);
    if (this.all.has(entry) && !this.free.some((one) => one.entry === entry))
      this.free.push({ entry, since: this.now() + DELAY_MS });
  }

  exclude(isExcluded: (entry: number) => boolean): void {
    const earlier = this.isExcluded;
    this.isExcluded = (number) => earlier(number) || isExcluded(number);
    for (const entry of [...this.all].filter(isExcluded)) {
      this.all.delete(entry);
      this.remove(entry);
    }
  }

  extend(entries: readonly number[]): void {
    const fresh = entries.filter((entry) => !this.all.has(entry) && !this.isExcluded(entry));
    for (const entry of fresh) this.all.add(entry);
    const added = fresh.filter((entry) => !this.held.delete(entry)).map(unused);
    const isUnused = ({ since }: { since: number }): boolean => since === Number.NEGATIVE_INFINITY;
    const earlier = this.free;
    this.free = [...earlier.filter(isUnused), ...added, ...earlier.filter((one) => !isUnused(one))];
  }

  private remove(entry: number): void {
    this.free = this.free.filter((one) => one.entry !== entry);
  }
}

function unused(entry: number): { entry: number; since: number } {
  return { entry, since: Number.NEGATIVE_INFINITY };
}

function listed(series: { first: number; count: number }): number[] {
  return Array.from({ length: series.count }, (_, at) => series.first + STEP * at);
}

// some that are between two entries, and some outside
const entry = fc.integer({ min: -2, max: 62 });
const series = fc.record({
  first: fc.integer({ min: 0, max: 10 }).map((at) => at * STEP),
  count: fc.integer({ min: 0, max: 6 }),
});
const action = fc.oneof(
  fc.constant({ what: 'acquire' } as const),
  fc.record({ what: fc.constantFrom('take', 'withdraw', 'putBack', 'release'), entry }),
  fc.record({ what: fc.constant('extend' as const), series }),
  fc.record({ what: fc.constant('exclude' as const), of: fc.integer({ min: 2, max: 9 }) }),
  fc.record({ what: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 2 * DELAY_MS }) }),
);

it('a pool answers as one that lists all of its entries, whatever is asked of it', () => {
  fc.assert(
    fc.property(series, fc.array(action, { maxLength: 60 }), (first, actions) => {
      let now = 0;
      const pool = new Pool({ ...first, step: STEP }, { delayMs: DELAY_MS, now: () => now });
      const model = new Listed(listed(first), () => now);
      for (const one of actions) {
        if (one.what === 'wait') now += one.ms;
        else if (one.what === 'acquire') expect(pool.acquire()).toBe(model.acquire());
        else if (one.what === 'extend') {
          pool.extend({ ...one.series, step: STEP });
          model.extend(listed(one.series));
        } else if (one.what === 'exclude') {
          pool.exclude((number) => number % one.of === 0);
          model.exclude((number) => number % one.of === 0);
        } else expect(pool[one.what](one.entry)).toBe(model[one.what](one.entry));
        expect([pool.size, pool.taken, pool.used, pool.hasFree]).toEqual([
          model.all.size,
          model.all.size - model.free.length,
          model.used,
          model.hasFree,
        ]);
        for (let number = -2; number < 70; number++) expect(pool.has(number)).toBe(model.all.has(number));
      }
      now += DELAY_MS;
      const drained = listed({ first: 0, count: 20 });
      expect(drained.map(() => pool.acquire())).toEqual(drained.map(() => model.acquire()));
    }),
    { numRuns: 500 },
  );
});
