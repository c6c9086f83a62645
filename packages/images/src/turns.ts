/** Operations that come one after another, in the order in which they were asked for. */
import { throwIfGivenUp } from './failure.ts';

/** See the file's head. */
export class Turns {
  #tail: Promise<void> = Promise.resolve();

  /**
   * Does `action` when all before it have ended. Errors: those of the action; `ABORTED` when `signal` is aborted before its turn, at once: nothing is done then. From
   * its turn on the action looks after the signal itself, since it has something to take back.
   */
  take<T>(action: () => Promise<T>, signal?: AbortSignal | undefined): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const giveUp = (): void => {
        try {
          throwIfGivenUp(signal);
        } catch (error) {
          reject(error);
        }
      };
      signal?.addEventListener('abort', giveUp, { once: true });
      giveUp();
      this.#tail = this.#tail.then(async () => {
        signal?.removeEventListener('abort', giveUp);
        if (signal?.aborted) return;
        try {
          resolve(await action());
        } catch (error) {
          reject(error);
        }
      });
    });
  }
}
