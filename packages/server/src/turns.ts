/**
 * Shares the event loop between clients. Who rests gets its request executed at once; who sends many waits
 * for its turn, one after the other, and so do the connections of one client among themselves. Between two
 * turns the loop looks for what else has come.
 */

/**
 * How long whoever has the turn goes on with its own requests or one stream, and how long requests begin at
 * once, and long ones are read on, within one round of the loop.
 */
export const TURN_MILLISECONDS = 2;

/** Whose turn it is: the same key, the same client. */
export type ClientKey = number | object;

/** See the file's head. */
export class Turns {
  /** In the order in which clients get their turns; each has its connections in theirs. */
  readonly #waiting = new Map<ClientKey, (() => void)[]>();
  /** When the first request of this round began. */
  #begun: number | undefined;
  /** When the first piece of something long was read in this round. */
  #readSince: number | undefined;
  #isScheduled = false;

  /** Before the first request of a connection that rested. `undefined`: now. */
  enter(key: ClientKey): Promise<void> | undefined {
    const now = performance.now();
    this.#begun ??= now;
    if (this.#waiting.size > 0 || now - this.#begun >= TURN_MILLISECONDS) return this.wait(key);
    this.#schedule();
    return undefined;
  }

  /** Resolves when it is this client's turn. */
  wait(key: ClientKey): Promise<void> {
    return new Promise((resolve) => {
      const own = this.#waiting.get(key);
      if (own) own.push(resolve);
      else this.#waiting.set(key, [resolve]);
      this.#schedule();
    });
  }

  /**
   * Whether a connection of which a long piece was read goes on to be read within this round. Without an end
   * to that, many that send as fast as they are read would keep the loop for as long as all of it takes.
   */
  mayReadOn(): boolean {
    const now = performance.now();
    if (this.#readSince === undefined) {
      this.#readSince = now;
      setImmediate(() => {
        this.#readSince = undefined;
      });
    }
    return now - this.#readSince < TURN_MILLISECONDS;
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#begun = undefined;
      this.#giveTurn();
    });
  }

  #giveTurn(): void {
    const [next] = this.#waiting;
    if (next === undefined) return;
    const [key, own] = next;
    this.#waiting.delete(key);
    own.shift()!();
    // behind everybody else
    if (own.length > 0) this.#waiting.set(key, own);
    if (this.#waiting.size > 0) this.#schedule();
  }
}
