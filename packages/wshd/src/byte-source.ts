/** The daemon's end of one output stream of a job. */
import type { ByteSource } from '@warden/interface';
import {
  closeDescriptor,
  type PollWatch,
  readDescriptor,
  setNonBlocking,
  watchDescriptor,
} from '@warden/native';

/** Linux's default pipe capacity: one read takes all of a full pipe. */
const READ_BYTES = 65536;
/** Reads per wake-up, so that one busy stream does not starve the others. */
const READS_PER_WAKE = 4;

/** Every read lands here first and is copied out at its true size; reads are synchronous, so one buffer serves all streams. */
const scratch = Buffer.allocUnsafe(READ_BYTES);

/** What init had kept of a stream before it was handed over. */
export interface Prefix {
  readonly skipped: bigint;
  readonly chunks: readonly Buffer[];
}

/** Reads a pipe by the event loop; the prefix comes before the pipe's first byte. */
export class PipeSource implements ByteSource {
  readonly skipped: bigint;
  #prefix: readonly Buffer[];
  #fd: number | undefined;
  #watch: PollWatch | undefined;
  #onChunk: ((chunk: Buffer) => void) | undefined;
  #onEnd: (() => void) | undefined;
  #paused = false;
  #closed = false;

  /** Owns `fd` from now on; `undefined` is a stream without a pipe, which ends after the prefix. */
  constructor(fd: number | undefined, prefix: Prefix = { skipped: 0n, chunks: [] }) {
    this.#fd = fd;
    this.skipped = prefix.skipped;
    this.#prefix = prefix.chunks;
    if (fd !== undefined) setNonBlocking(fd);
  }

  start(onChunk: (chunk: Buffer) => void, onEnd: () => void): void {
    if (this.#onChunk !== undefined) throw new TypeError('a byte source can be started only once');
    this.#onChunk = onChunk;
    this.#onEnd = onEnd;
    if (this.#closed) return;
    this.#flow();
    // later, because the caller does not expect the end inside its call of start
    if (this.#fd === undefined) queueMicrotask(() => this.#endUnlessPaused());
  }

  pause(): void {
    this.#paused = true;
    // without interest a hung-up pipe would still wake the loop: EPOLLHUP cannot be masked
    this.#unwatch();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#flow();
    if (this.#fd === undefined && this.#onChunk !== undefined) this.#endUnlessPaused();
  }

  drain(): boolean {
    if (this.#onChunk === undefined) return false;
    this.#emitPrefix();
    while (this.#fd !== undefined && !this.#closed) {
      const length = readDescriptor(this.#fd, scratch);
      if (length < 0) return false;
      if (length === 0) this.#release();
      else this.#onChunk(Buffer.from(scratch.subarray(0, length)));
    }
    this.#end();
    return true;
  }

  close(): void {
    this.#closed = true;
    this.#prefix = [];
    this.#release();
  }

  /** Delivers what is in the pipe now as the last bytes, then the end. For the moment when the writer's side is lost for good. */
  finish(): void {
    if (!this.drain()) {
      this.#release();
      this.#end();
    }
  }

  #flow(): void {
    if (this.#onChunk === undefined || this.#paused) return;
    this.#emitPrefix();
    // a chunk's receiver may pause or close
    if (this.#paused || this.#fd === undefined || this.#watch !== undefined) return;
    this.#watch = watchDescriptor(this.#fd, { readable: true }, ({ hangup }) => this.#read(hangup));
  }

  #emitPrefix(): void {
    const chunks = this.#prefix;
    this.#prefix = [];
    for (const chunk of chunks) if (!this.#closed) this.#onChunk?.(chunk);
  }

  /** After a hang-up the rest is read at once: there will be no further bytes to wait for. */
  #read(hangup: boolean): void {
    for (let reads = 0; reads < READS_PER_WAKE; reads++) {
      if (this.#fd === undefined || this.#paused) return;
      const length = readDescriptor(this.#fd, scratch);
      if (length < 0) return;
      if (length === 0) {
        this.#release();
        this.#end();
        return;
      }
      this.#onChunk?.(Buffer.from(scratch.subarray(0, length)));
      if (length < READ_BYTES && !hangup) return;
    }
  }

  #endUnlessPaused(): void {
    if (!this.#paused) this.#end();
  }

  #end(): void {
    if (this.#closed) return;
    const onEnd = this.#onEnd;
    if (onEnd === undefined) return;
    this.#closed = true;
    onEnd();
  }

  #unwatch(): void {
    this.#watch?.close();
    this.#watch = undefined;
  }

  #release(): void {
    this.#unwatch();
    const fd = this.#fd;
    this.#fd = undefined;
    if (fd !== undefined) closeDescriptor(fd);
  }
}
