/** Standard input of a job that was started with it open, and the size of its terminal. */
import { type ByteSink, type Init, isWardenError, type TerminalSize, WardenError } from '@warden/interface';

/** What a terminal takes for the end of a file, where nobody has changed that. */
const END_OF_FILE = Uint8Array.of(4);
const MAX_SIZE = 65_535;

/** Options of {@link JobInput}. */
export interface JobInputOptions {
  readonly init: Init;
  readonly jobId: number;
  readonly sink: ByteSink | undefined;
  readonly isTerminal: boolean;
}

/** See the file's head. */
export class JobInput {
  readonly #options: JobInputOptions;
  #writes: Promise<unknown> = Promise.resolve();
  #isEnded = false;

  constructor(options: JobInputOptions) {
    this.#options = options;
  }

  /** Errors: `BAD_STATE`, `NATIVE_FAILED` with errno EPIPE, `ABORTED`, `UNAVAILABLE`. */
  write(bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    const { sink } = this.#options;
    if (sink === undefined || this.#isEnded) return Promise.reject(this.#closed());
    const written = sink.write(bytes, signal).catch((error: unknown) => {
      if (!isWardenError(error)) throw error;
      if (error.fields.errno === 'EPIPE') throw this.#unread(error);
      // ended while it waited: it is the job that has gone, not the way to it
      throw this.#isEnded && error.code === 'UNAVAILABLE' ? this.#closed() : error;
    });
    this.#writes = written.catch(() => {});
    return written;
  }

  /** Behind what is being written. Idempotent. */
  async end(): Promise<void> {
    const { sink, isTerminal, init, jobId } = this.#options;
    if (sink === undefined || this.#isEnded) return;
    if (isTerminal) {
      await this.write(END_OF_FILE);
      return;
    }
    await this.#writes;
    if (this.#isEnded) return;
    this.#isEnded = true;
    sink.close();
    await init.endInput?.(jobId);
  }

  /** Errors: `BAD_STATE`, `INVALID_SPEC`. */
  async resize(size: TerminalSize): Promise<void> {
    const { isTerminal, init, jobId } = this.#options;
    if (!isTerminal) {
      throw new WardenError('BAD_STATE', 'the job has no terminal', {
        fields: { operation: 'resize', job: jobId },
      });
    }
    checkSize(size);
    await init.resize?.(jobId, size);
  }

  /** The job has ended. */
  drop(): void {
    this.#isEnded = true;
    this.#options.sink?.close();
  }

  /** Which descriptor of this process it was says nothing to a client. */
  #unread(cause: WardenError): WardenError {
    return new WardenError('NATIVE_FAILED', 'nothing reads the standard input of the job any more', {
      cause,
      fields: { operation: 'write input', job: this.#options.jobId, errno: 'EPIPE' },
    });
  }

  #closed(): WardenError {
    const { sink, jobId } = this.#options;
    const text =
      sink === undefined
        ? "the job's standard input was not left open, or is ended"
        : "the job's standard input is ended";
    return new WardenError('BAD_STATE', text, { fields: { operation: 'write input', job: jobId } });
  }
}

/** Errors: `INVALID_SPEC`. */
export function checkSize({ rows, columns }: TerminalSize): void {
  for (const value of [rows, columns]) {
    if (Number.isInteger(value) && value >= 1 && value <= MAX_SIZE) continue;
    throw new WardenError('INVALID_SPEC', `a terminal has 1 to ${MAX_SIZE} rows and columns, not ${value}`, {
      fields: { operation: 'terminal size', object: value },
    });
  }
}
