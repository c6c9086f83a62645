/** Undo of a sequence of steps: what was done is undone in reverse order, whatever fails on the way. */
import { toWardenError, WardenError } from '@warden/interface';

/**
 * Undoes one step. `isIntact`: every undo before it succeeded, so nothing that this step would make hard to
 * find is left; else `failure` is what the first of them failed with.
 */
export type Undo = (isIntact: boolean, failure: unknown) => void | Promise<void>;

/** See the file's head. */
export class UndoStack {
  readonly #steps: Undo[] = [];

  /** Registers the undo of a step, before or after the step: it must cope with a half-made thing. */
  push(step: Undo): void {
    this.#steps.push(step);
  }

  /** Runs everything once; answers the failures. */
  async unwind(): Promise<unknown[]> {
    const failures: unknown[] = [];
    for (const step of this.#steps.splice(0).reverse()) {
      try {
        await step(failures.length === 0, failures[0]);
      } catch (error) {
        failures.push(error);
      }
    }
    return failures;
  }

  /** Unwinds and answers the error to report: `cause`, with the clean-up's failures beside it. */
  async fail(cause: unknown): Promise<WardenError> {
    const first = toWardenError(cause);
    const suppressed = await this.unwind();
    if (suppressed.length === 0) return first;
    return new WardenError(first.code, first.message, {
      fields: first.fields,
      cause: first.cause ?? first,
      suppressed: [...first.suppressed, ...suppressed],
    });
  }
}
