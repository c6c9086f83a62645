/**
 * What several ask for in one turn of the event loop, done behind it in one go. Where that fails, each is on
 * its own.
 */

interface Waiting<Item> {
  readonly item: Item;
  resolve(): void;
  reject(error: unknown): void;
}

/** See the file's head. */
export class Together<Item> {
  readonly #carryOut: (items: readonly Item[]) => Promise<void>;
  /** Those of this turn. */
  readonly #waiting: Waiting<Item>[] = [];

  /** `carryOut` does all or nothing. */
  constructor(carryOut: (items: readonly Item[]) => Promise<void>) {
    this.#carryOut = carryOut;
  }

  /** Settles when it is done. Errors: those of `carryOut` for it alone. */
  add(item: Item): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.length === 0) setImmediate(() => void this.#begin());
      this.#waiting.push({ item, resolve, reject });
    });
  }

  async #begin(): Promise<void> {
    const waiting = this.#waiting.splice(0);
    try {
      await this.#carryOut(waiting.map(({ item }) => item));
      for (const { resolve } of waiting) resolve();
    } catch {
      for (const { item, resolve, reject } of waiting) {
        try {
          await this.#carryOut([item]);
          resolve();
        } catch (error) {
          reject(error);
        }
      }
    }
  }
}
