/** Answers that have arrived and that the consumer has not taken yet, with back-pressure. */

/** Bytes above which the source is paused; the kernel's buffer then slows the daemon. */
const HIGH_WATER = 256 * 1024;

/** What the answers come from. */
interface Source {
  pause(): void;
  resume(): void;
}

/** See the file's head. */
export class AnswerQueue<T> {
  readonly #source: Source;
  readonly #arrived: { readonly answer: T; readonly size: number }[] = [];
  #buffered = 0;
  #isPaused = false;
  #isComplete = false;
  #failure: { readonly error: unknown } | undefined;
  #wake: () => void = () => undefined;

  constructor(source: Source) {
    this.#source = source;
  }

  /** Whether the last answer has arrived, or an error instead of it. */
  get isSettled(): boolean {
    return this.#isComplete || this.#failure !== undefined;
  }

  /** Takes in an answer of `size` bytes. */
  push(answer: T, size: number, isLast: boolean): void {
    this.#arrived.push({ answer, size });
    this.#buffered += size;
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

  /** The next answer, and whether it is the last. Rejects with the error of {@link fail}. */
  async next(): Promise<{ readonly answer: T; readonly isLast: boolean }> {
    while (this.#arrived.length === 0) {
      if (this.#failure !== undefined) throw this.#failure.error;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const { answer, size } = this.#arrived.shift()!;
    this.#buffered -= size;
    if (this.#isPaused && this.#buffered <= HIGH_WATER / 2) {
      this.#isPaused = false;
      this.#source.resume();
    }
    return { answer, isLast: this.#isComplete && this.#arrived.length === 0 };
  }
}
