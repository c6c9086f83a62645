/** Lets so many in at a time; who comes later waits in order. */
import { onAbort, WardenError } from '@warden/interface';

/** How somebody waits. */
export interface Wait {
  /** Not behind those that are not, and in by a few places more. */
  readonly isUrgent?: boolean | undefined;
  /** Leaves the queue with `ABORTED`. */
  readonly signal?: AbortSignal | undefined;
}

/** Gives a place back; true the first time, after which it does nothing. */
export type Leave = () => boolean;

interface Waiter {
  readonly admit: () => void;
  readonly refuse: (error: WardenError) => void;
}

/** See the file's head. */
export class Gate {
  readonly #places: number;
  readonly #urgentPlaces: number;
  readonly #queue: Waiter[] = [];
  readonly #urgentQueue: Waiter[] = [];
  /** Inside. */
  #count = 0;
  #closed: WardenError | undefined;

  /** With so many places, and so many more for what is urgent. */
  constructor(places: number, urgentExtra = 0) {
    this.#places = places;
    this.#urgentPlaces = places + urgentExtra;
  }

  /** Whether somebody who comes now is let in at once. */
  get isOpen(): boolean {
    return this.#queue.length === 0 && this.#count < this.#places;
  }

  /** Whether nobody is inside, and nobody waits. */
  get isEmpty(): boolean {
    return this.#count === 0 && this.#queue.length === 0 && this.#urgentQueue.length === 0;
  }

  /**
   * Resolves when there is a place, with what gives it back: true the first time. Errors: `ABORTED`, and the
   * reason of {@link close}.
   */
  enter({ isUrgent = false, signal }: Wait = {}): Promise<Leave> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    if (signal?.aborted) return Promise.reject(abortedInQueue(signal));
    const queue = isUrgent ? this.#urgentQueue : this.#queue;
    return new Promise((resolve, reject) => {
      const settle = onAbort(signal, () => {
        queue.splice(queue.indexOf(waiter), 1);
        reject(abortedInQueue(signal!));
      });
      const waiter: Waiter = {
        admit: () => {
          settle();
          resolve(this.#leaving());
        },
        refuse: (error) => {
          settle();
          reject(error);
        },
      };
      queue.push(waiter);
      this.#dispatch();
    });
  }

  #leaving(): Leave {
    let isIn = true;
    return () => {
      if (!isIn) return false;
      isIn = false;
      this.#count -= 1;
      this.#dispatch();
      return true;
    };
  }

  /** Refuses who waits and who comes. Idempotent; the first reason stays. */
  close(reason: WardenError): void {
    this.#closed ??= reason;
    for (const waiter of [...this.#urgentQueue.splice(0), ...this.#queue.splice(0)])
      waiter.refuse(this.#closed);
  }

  /** The urgent first. */
  #dispatch(): void {
    for (;;) {
      const waiter =
        (this.#count < this.#urgentPlaces ? this.#urgentQueue.shift() : undefined) ??
        (this.#count < this.#places ? this.#queue.shift() : undefined);
      if (waiter === undefined) return;
      this.#count += 1;
      waiter.admit();
    }
  }
}

function abortedInQueue(signal: AbortSignal): WardenError {
  return new WardenError('ABORTED', 'the caller gave up while waiting for a connection', {
    cause: signal.reason,
  });
}
