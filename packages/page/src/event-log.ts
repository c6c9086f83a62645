/** The latest events, for those who come later. */
import type { ContainerEvent, Onlooker } from '@warden/interface';

/** How many are kept. */
const KEPT = 200;

/** An event with its place among all. */
export type NumberedEvent = ContainerEvent & { readonly number: number };

/** See the file's head. */
export class EventLog {
  #events: NumberedEvent[] = [];
  #count = 0;
  #subscription: AsyncIterableIterator<ContainerEvent, undefined, undefined> | undefined;
  #isClosed = false;

  /** The newest first. */
  latest(): readonly NumberedEvent[] {
    return this.#events.toReversed();
  }

  /** Listens from now on; a second time nothing happens. */
  follow(onlooker: Onlooker): void {
    if (this.#isClosed || this.#subscription !== undefined) return;
    this.#subscription = onlooker.events();
    void this.#read(this.#subscription);
  }

  /** Idempotent. */
  close(): void {
    this.#isClosed = true;
    void this.#subscription?.return?.();
  }

  async #read(subscription: AsyncIterableIterator<ContainerEvent, undefined, undefined>): Promise<void> {
    for await (const event of subscription) {
      this.#count += 1 + event.lost;
      this.#events.push({ ...event, number: this.#count });
      if (this.#events.length > KEPT) this.#events.shift();
    }
  }
}
