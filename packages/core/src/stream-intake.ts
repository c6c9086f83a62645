/**
 * How one output stream of a job is read.
 *
 * At first not at all: a job that ends within milliseconds leaves everything in its pipe, which is then read
 * once, and no file is made for it. A job that lives longer is read as it prints, into its file and to
 * whoever listens. Listeners that cannot keep up press on the stream, and through the full pipe on the job.
 */
import type { ByteSource, OutputFile } from '@warden/interface';

/** How long output may lie in the pipe unread. A full pipe holds its writer that long, once. */
export const HOLD_MS = 4;

/** Options of {@link StreamIntake}. */
export interface StreamIntakeOptions {
  readonly source: ByteSource;
  /** Where every byte goes before it is delivered; `undefined`: nowhere. */
  readonly file: () => OutputFile | undefined;
  readonly onChunk: (chunk: Buffer) => void;
}

/** See the file's head. */
export class StreamIntake {
  /** Settles at the end of the stream, unless it was closed. */
  readonly ended: Promise<void>;
  readonly #options: StreamIntakeOptions;
  readonly #pressing = new Set<object>();
  #onEnd: () => void = () => {};
  #isHeld = true;
  #isKept = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: StreamIntakeOptions) {
    this.#options = options;
    this.ended = new Promise((resolve) => {
      this.#onEnd = resolve;
    });
    options.source.pause();
  }

  /** Whether what is read goes into the file. */
  get isKept(): boolean {
    return this.#isKept;
  }

  /** Begins; nothing is read before {@link flow}. */
  hold(skipKept = 0): void {
    const { source, onChunk } = this.#options;
    source.start(onChunk, () => this.#onEnd(), skipKept);
  }

  /** Reads as soon as there is something, `delayMs` later. */
  flowWhenReadable(delayMs: number): void {
    if (!this.#isHeld) return;
    clearTimeout(this.#timer);
    this.#options.source.onceReadable((isEnd) => {
      // nothing was printed: no file is made for that, and the job's end, which comes next, finds the stream's
      if (isEnd === true) return;
      if (delayMs === 0) this.flow();
      else this.#timer = setTimeout(() => this.flow(), delayMs);
    });
  }

  /** Reads from now on. */
  flow(): void {
    if (!this.#isHeld) return;
    clearTimeout(this.#timer);
    this.#isHeld = false;
    this.keep();
    if (this.#pressing.size === 0) this.#options.source.resume();
  }

  /** From now on bytes go into the file. */
  keep(): void {
    if (this.#isKept) return;
    const file = this.#options.file();
    if (file === undefined) return;
    this.#isKept = true;
    this.#options.source.keepIn(file);
  }

  /** While anybody presses, nothing is read. */
  press(who: object, isPressing: boolean): void {
    const before = this.#pressing.size;
    if (isPressing) this.#pressing.add(who);
    else this.#pressing.delete(who);
    if (this.#isHeld || before === this.#pressing.size) return;
    if (this.#pressing.size === 0) this.#options.source.resume();
    else if (before === 0) this.#options.source.pause();
  }

  /** Reads, whoever presses, all that is in the pipe now; true at the end of the stream. */
  drain(): boolean {
    return this.#options.source.drain();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#isHeld = false;
    this.#options.source.close();
  }
}
