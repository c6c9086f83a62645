/** Signals to this program while a job runs in the foreground: they are meant for the job. */
import os from 'node:os';
import type { ClientJob } from '@warden/client';
import { EXIT_SIGNAL } from './exit-code.ts';

const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;
const SIGKILL = 9;

/** See the file's head. Made before anything is, so that a signal never leaves a half-made container. */
export class Interruption implements Disposable {
  readonly #handlers = new Map<NodeJS.Signals, () => void>();
  #job: ClientJob | undefined;
  #count = 0;
  #first: NodeJS.Signals | undefined;
  readonly #abort = new AbortController();

  constructor() {
    for (const name of FORWARDED) {
      const handler = (): void => this.#take(name);
      this.#handlers.set(name, handler);
      process.on(name, handler);
    }
  }

  /** 128+n of the first signal; `undefined`: there was none. */
  get exitCode(): number | undefined {
    return this.#first === undefined ? undefined : EXIT_SIGNAL + os.constants.signals[this.#first];
  }

  /** Aborted at the first signal that finds no job. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** From now on the job gets them: its tree, as a terminal would send them; from the second one on SIGKILL. */
  follow(job: ClientJob): void {
    this.#job = job;
    if (this.#first !== undefined) this.#pass(this.#first);
  }

  [Symbol.dispose](): void {
    for (const [name, handler] of this.#handlers) process.removeListener(name, handler);
  }

  #take(name: NodeJS.Signals): void {
    this.#first ??= name;
    if (this.#job !== undefined) this.#pass(name);
    else this.#abort.abort(new Error(name));
  }

  #pass(name: NodeJS.Signals): void {
    this.#count += 1;
    const signal = this.#count > 1 ? SIGKILL : os.constants.signals[name];
    // an old daemon cannot; then its output goes on, and a lost connection is told by the stream
    this.#job!.kill({ signal, tree: true }).catch(() => undefined);
  }
}
