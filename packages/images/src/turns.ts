/**
 * Operations of which only so many run at a time; the others wait, and begin in the order in which they were
 * asked for.
 */
import { throwIfGivenUp } from './failure.ts';

/** See the file's head. */
export class Turns {
  readonly #waiting = new Set<() => void>();
  /** Places that nobody has. Whoever ends passes its own on to the first that waits. */
  #free: number;

  /** `places`: how many run at a time. */
  constructor(places = 1) {
    this.#free = places;
  }

  /**
   * Does `action` when there is a place for it. Errors: those of the action; `ABORTED` when `signal` is
   * aborted before its turn, at once: nothing is done then. From its turn on the action looks after the
   * signal itself, since it has something to take back.
   */
  async take<T>(action: () => Promise<T>, signal?: AbortSignal | undefined): Promise<T> {
    throwIfGivenUp(signal);
    if (this.#free > 0) this.#free--;
    else await this.#turn(signal);
    try {
      return await action();
    } finally {
      this.#pass();
    }
  }

  #turn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const begin = (): void => {
        signal?.removeEventListener('abort', giveUp);
        resolve();
      };
      const giveUp = (): void => {
        this.#waiting.delete(begin);
        try {
          throwIfGivenUp(signal);
        } catch (error) {
          reject(error);
        }
      };
      this.#waiting.add(begin);
      signal?.addEventListener('abort', giveUp, { once: true });
    });
  }

  /** Whoever asked for what has ended is told before the next one begins. */
  #pass(): void {
    if (this.#waiting.size === 0) this.#free++;
    else setImmediate(() => this.#begin());
  }

  #begin(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#free++;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
