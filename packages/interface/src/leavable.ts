/** What a {@link leavable} iteration is made of. */
export interface LeavableSource<T> {
  /** Aborts the step in progress. */
  readonly left: AbortController;
  /** What is left, for the reason of that: `the watch`. */
  readonly what: string;
  readonly next: () => Promise<IteratorResult<T, undefined>>;
  /** Gives up what the steps come from; what it throws is of no interest any more. */
  readonly close: () => Promise<unknown>;
}

/**
 * An iteration without an end of its own, such as of events: a step may wait for what never comes, so leaving
 * (`return`, the end of a `for await`) aborts it first. Leaving never fails, and may be repeated.
 */
export function leavable<T>({
  left,
  what,
  next,
  close,
}: LeavableSource<T>): AsyncIterableIterator<T, undefined, undefined> {
  const iterator: AsyncIterableIterator<T, undefined, undefined> = {
    next,
    return: async () => {
      left.abort(new Error(`${what} is left`));
      await close().catch(() => undefined);
      return { done: true, value: undefined };
    },
    [Symbol.asyncIterator]: () => iterator,
  };
  return iterator;
}
