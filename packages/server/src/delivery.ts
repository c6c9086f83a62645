/** What becomes of an answer, for whoever must not give up what is in it before its client can read it. */

/** See the file's head. */
export class Delivery {
  #outcome: Promise<void> | undefined;
  #resolve: () => void = () => {};
  #reject: (reason: unknown) => void = () => {};

  /** Whether anybody has asked for it. */
  get isAwaited(): boolean {
    return this.#outcome !== undefined;
  }

  /** Asked for before the answer is sent. */
  get outcome(): Promise<void> {
    if (this.#outcome === undefined) {
      this.#outcome = new Promise((resolve, reject) => {
        this.#resolve = resolve;
        this.#reject = reject;
      });
      this.#outcome.catch(() => {}); // nobody need listen any more
    }
    return this.#outcome;
  }

  succeed(): void {
    this.#resolve();
  }

  fail(reason: unknown): void {
    this.#reject(reason);
  }
}
