/** What ends this program while a job runs in the foreground, signals above all: it is meant for the job. */
import os from 'node:os';
import type { ClientJob } from '@warden/client';
import { OUTPUT_GONE, type Terminal } from '../terminal.ts';
import { EXIT_SIGNAL } from './exit-code.ts';

const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;
const { SIGKILL, SIGTERM } = os.constants.signals;
/** As many end this program itself, whatever the daemon does: without a job, and with one. */
const GIVEN_UP = { before: 2, following: 3 };

/** What came first. */
interface First {
  /** Of this program. */
  readonly exitCode: number;
  /** For the job. */
  readonly signal: number;
}

/** See the file's head. Made before anything is, so that a signal never leaves a half-made container. */
export class Interruption implements Disposable {
  readonly #handlers = new Map<NodeJS.Signals, () => void>();
  #job: ClientJob | undefined;
  /** That came, and that the job was sent. */
  #taken = 0;
  #passed = 0;
  #first: First | undefined;
  #outputGone: number | undefined;
  readonly #abort = new AbortController();
  readonly #stdout: Terminal['stdout'] | undefined;
  // SIGPIPE would let programs live that do not care for it, and their output goes nowhere
  readonly #onOutputGone = (exitCode: number): void => {
    this.#outputGone = exitCode;
    this.#take({ exitCode, signal: SIGTERM });
  };

  /** `terminal`: what is begun ends with its standard output, by SIGTERM; absent: it goes on. */
  constructor(terminal?: Pick<Terminal, 'stdout'>) {
    for (const name of FORWARDED) {
      const signal = os.constants.signals[name];
      const handler = (): void => this.#take({ exitCode: EXIT_SIGNAL + signal, signal });
      this.#handlers.set(name, handler);
      process.on(name, handler);
    }
    this.#stdout = terminal?.stdout;
    this.#stdout?.on(OUTPUT_GONE, this.#onOutputGone);
  }

  /** 128+n of the first signal, or that of {@link outputGone}; `undefined`: nothing came. */
  get exitCode(): number | undefined {
    return this.#first?.exitCode;
  }

  /** The exit status that follows from lost output, however the job ends; `undefined`: it is taken. */
  get outputGone(): number | undefined {
    return this.#outputGone;
  }

  /** Aborted at what comes first and finds no job. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** From now on the job gets them: its tree, as a terminal would send them; from the second one on SIGKILL. */
  follow(job: ClientJob): void {
    this.#job = job;
    if (this.#first !== undefined) this.#pass(this.#first.signal);
  }

  [Symbol.dispose](): void {
    for (const [name, handler] of this.#handlers) process.removeListener(name, handler);
    this.#stdout?.removeListener(OUTPUT_GONE, this.#onOutputGone);
  }

  #take(what: First): void {
    this.#first ??= what;
    this.#taken += 1;
    // a daemon that accepts and does not answer holds nobody
    if (this.#taken >= GIVEN_UP[this.#job === undefined ? 'before' : 'following'])
      process.exit(what.exitCode);
    if (this.#job !== undefined) this.#pass(what.signal);
    else this.#abort.abort(new Error(`ended with ${what.exitCode}`));
  }

  #pass(first: number): void {
    this.#passed += 1;
    const signal = this.#passed > 1 ? SIGKILL : first;
    // an old daemon cannot; then its output goes on, and a lost connection is told by the stream
    this.#job!.kill({ signal, tree: true }).catch(() => undefined);
  }
}
