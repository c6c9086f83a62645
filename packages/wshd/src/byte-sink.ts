/** The daemon's end of a job's open input: a pipe, or a terminal. */
import { type ByteSink, WardenError } from '@warden/interface';
import {
  closeDescriptor,
  type PollWatch,
  setNonBlocking,
  watchDescriptor,
  writeDescriptor,
} from '@warden/native';

/** A write takes this much at most, so that one that finds much room does not hold the loop. */
const WRITE_BYTES = 65_536;

/** Writes by the event loop, one caller after another. */
export class PipeSink implements ByteSink {
  #fd: number | undefined;
  #tail: Promise<unknown> = Promise.resolve();
  #watch: PollWatch | undefined;
  /** Wakes whoever waits for room. */
  #wake: (() => void) | undefined;

  /** Owns `fd`. */
  constructor(fd: number) {
    this.#fd = fd;
    setNonBlocking(fd);
  }

  write(bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    const written = this.#tail.then(() => this.#writeAll(bytes, signal));
    this.#tail = written.catch(() => {});
    return written;
  }

  close(): void {
    const fd = this.#fd;
    if (fd === undefined) return;
    this.#fd = undefined;
    this.#watch?.close();
    this.#watch = undefined;
    closeDescriptor(fd);
    this.#wake?.();
  }

  async #writeAll(bytes: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      if (signal?.aborted) throw abandoned(signal, done);
      if (this.#fd === undefined) throw closed();
      const length = writeDescriptor(this.#fd, bytes.subarray(done, done + WRITE_BYTES));
      if (length > 0) done += length;
      else await this.#room(this.#fd, signal);
    }
    if (bytes.length === 0 && this.#fd === undefined) throw closed();
  }

  /** Resolves when there may be room, nobody reads any more, or waiting has no sense any more. */
  #room(fd: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#watch?.close();
        this.#watch = undefined;
        this.#wake = undefined;
        signal?.removeEventListener('abort', wake);
        resolve();
      };
      this.#watch = watchDescriptor(fd, { writable: true }, wake);
      this.#wake = wake;
      signal?.addEventListener('abort', wake, { once: true });
    });
  }
}

function closed(): WardenError {
  return new WardenError('UNAVAILABLE', 'the input of the job is closed', {
    fields: { operation: 'write input' },
  });
}

function abandoned(signal: AbortSignal, written: number): WardenError {
  return new WardenError('ABORTED', 'the caller gave up writing to the job', {
    cause: signal.reason,
    fields: { operation: 'write input', written },
  });
}
