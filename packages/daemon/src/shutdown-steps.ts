/** What ends the parts of a daemon: the last that was made first, and each of them whatever becomes of the others. */
import type { Logger } from '@warden/interface';

type Step = () => void | Promise<void>;

/** See the file's head. */
export class ShutdownSteps {
  readonly #steps: Step[] = [];
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** How many there are: with {@link insert}, the place behind all that are there now. */
  get count(): number {
    return this.#steps.length;
  }

  /** Runs before all that are there. */
  push(step: Step): void {
    this.#steps.push(step);
  }

  /** Runs before the first `place` steps, and behind all that were pushed later. */
  insert(place: number, step: Step): void {
    this.#steps.splice(place, 0, step);
  }

  /** Runs each step once. Never rejects: what fails is logged. */
  async run(): Promise<void> {
    for (const step of this.#steps.splice(0).reverse()) {
      try {
        await step();
      } catch (error) {
        this.#logger.error('shutdown-step-failed', { error });
      }
    }
  }
}
