/**
 * Shares the event loop between clients. Who rests gets its request executed at once; who sends many waits
 * for its turn, one after the other, and so do the connections of one client among themselves. Between two
 * turns the loop looks for what else has come.
 */

/**
 * How long whoever has the turn goes on with its own requests or one stream, and how long requests begin at
 * once, and what is long is read on, within one round of the loop.
 */
export const TURN_MILLISECONDS = 2;

/** Whose turn it is: the same key, the same client. */
export type ClientKey = number | object;

/** See the file's head. */
export class Turns {
  /** For the execution of requests. */
  readonly #executing = new Line();
  /** For being read; in a line of its own, so that whoever asks little waits for no one who sends much. */
  readonly #reading = new Line();
  /** When the first request of this round began. */
  #begun: number | undefined;
  /** When the first piece of something long was read in this round. */
  #readSince: number | undefined;
  #isScheduled = false;

  /** Before the first request of a connection that rested. `undefined`: now. */
  enter(key: ClientKey): Promise<void> | undefined {
    const now = performance.now();
    this.#begun ??= now;
    if (!this.#executing.isEmpty || now - this.#begun >= TURN_MILLISECONDS) return this.wait(key);
    this.#schedule();
    return undefined;
  }

  /** Resolves when it is this client's turn. */
  wait(key: ClientKey): Promise<void> {
    this.#schedule();
    return this.#executing.join(key);
  }

  /**
   * Whether a connection of which a long piece was read goes on to be read within this round. Without an end
   * to that, many that send as fast as they are read would keep the loop for as long as all of it takes.
   */
  mayReadOn(): boolean {
    const now = performance.now();
    this.#readSince ??= now;
    this.#schedule();
    return now - this.#readSince < TURN_MILLISECONDS;
  }

  /** Resolves when it is this client's turn to be read again: with all of them at once a round would be as long. */
  readOn(key: ClientKey): Promise<void> {
    this.#schedule();
    return this.#reading.join(key);
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#begun = undefined;
      this.#readSince = undefined;
      this.#executing.giveTurn();
      this.#reading.giveTurn();
      if (!this.#executing.isEmpty || !this.#reading.isEmpty) this.#schedule();
    });
  }
}

/** Who waits for the same. */
class Line {
  /** In the order in which clients get their turns; each has its connections in theirs. */
  readonly #waiting = new Map<ClientKey, (() => void)[]>();

  get isEmpty(): boolean {
    return this.#waiting.size === 0;
  }

  /** Resolves when it is this client's turn. */
  join(key: ClientKey): Promise<void> {
    return new Promise((resolve) => {
      const own = this.#waiting.get(key);
      if (own) own.push(resolve);
      else this.#waiting.set(key, [resolve]);
    });
  }

  /** To the first of them, if there is one. */
  giveTurn(): void {
    const [next] = this.#waiting;
    if (next === undefined) return;
    const [key, own] = next;
    this.#waiting.delete(key);
    own.shift()!();
    // behind everybody else
    if (own.length > 0) this.#waiting.set(key, own);
  }
}
