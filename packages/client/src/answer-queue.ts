/** Answers that have arrived and that the consumer has not taken yet, with back-pressure. */

/** Bytes above which the source is paused; the kernel's buffer then slows the daemon. */
const HIGH_WATER = 256 * 1024;

/** Where the memory of answers goes that are no longer needed. */
interface Memory {
  giveBack(frame: Uint8Array): void;
}

/** What the answers come from. */
interface Source {
  pause(): void;
  resume(): void;
}

/** See the file's head. */
export class AnswerQueue<T> {
  readonly #source: Source;
  readonly #memory: Memory | undefined;
  readonly #arrived: { readonly answer: T; readonly frame: Uint8Array }[] = [];
  /** Of the answer that was given out last. */
  #lent: Uint8Array | undefined;
  #buffered = 0;
  #isPaused = false;
  #isComplete = false;
  #failure: { readonly error: unknown } | undefined;
  #wake: () => void = () => undefined;

  /** With `memory`, what an answer lies in goes back when the next one is asked for. */
  constructor(source: Source, memory?: Memory) {
    this.#source = source;
    this.#memory = memory;
  }

  /** Whether the last answer has arrived, or an error instead of it. */
  get isSettled(): boolean {
    return this.#isComplete || this.#failure !== undefined;
  }

  /** Takes in an answer, whose bytes lie in `frame`. */
  push(answer: T, frame: Uint8Array, isLast: boolean): void {
    this.#arrived.push({ answer, frame });
    this.#buffered += frame.length;
    this.#isComplete = isLast;
    if (this.#buffered > HIGH_WATER && !isLast) {
      this.#isPaused = true;
      this.#source.pause();
    }
    this.#wake();
  }

  /** Nothing more comes; what has arrived is still given out before the error. */
  fail(error: unknown): void {
    this.#failure = { error };
    this.#wake();
  }

  /** Nobody takes what is left. The source is everybody's again, and must not stand still. */
  leave(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#source.resume();
  }

  /** The next answer, and whether it is the last. Rejects with the error of {@link fail}. */
  async next(): Promise<{ readonly answer: T; readonly isLast: boolean }> {
    if (this.#lent !== undefined) this.#memory?.giveBack(this.#lent);
    this.#lent = undefined;
    while (this.#arrived.length === 0) {
      if (this.#failure !== undefined) throw this.#failure.error;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const { answer, frame } = this.#arrived.shift()!;
    this.#buffered -= frame.length;
    if (this.#memory !== undefined) this.#lent = frame;
    if (this.#isPaused && this.#buffered <= HIGH_WATER / 2) {
      this.#isPaused = false;
      this.#source.resume();
    }
    return { answer, isLast: this.#isComplete && this.#arrived.length === 0 };
  }
}
