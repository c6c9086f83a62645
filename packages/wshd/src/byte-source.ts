/** The daemon's end of one output stream of a job. */
import { fstatSync, readSync, writeSync } from 'node:fs';
import {
  type ByteSource,
  type DescriptorPlace,
  isWardenError,
  type KeptOutput,
  type OutputFile,
  type PieceFrame,
} from '@warden/interface';
import {
  closeDescriptor,
  growPipe,
  moveToFile,
  type PollWatch,
  readDescriptor,
  setNonBlocking,
  watchDescriptor,
} from '@warden/native';
import { relayPieces } from './piece-relay.ts';

/**
 * Linux's default pipe capacity, and the most that one read takes: limits of output are checked after each
 * (spec behaviour.md 6).
 */
const READ_BYTES = 65536;
/** What the pipe of a stream gets that was found full again and again: fewer wake-ups of the job and of the daemon. */
const GROWN_BYTES = 4 * READ_BYTES;
const FULL_READS_BEFORE_GROWING = 8;
/** What the pipe of a live stream gets that somebody reads by himself. */
const LIVE_BYTES = 16 * READ_BYTES;
/**
 * One drain at most: more than a pipe holds. A child of the job that prints as fast as it is read must not
 * hold the daemon up for ever.
 */
const DRAIN_BYTES = 32 * READ_BYTES;
/** Reads per wake-up, so that one busy stream does not starve the others. */
const READS_PER_WAKE = 4;

/**
 * Every read lands here first and is copied out at its true size; reads are synchronous, so one buffer serves
 * all streams.
 */
const scratch = Buffer.allocUnsafe(READ_BYTES);

/** What init had kept of a stream before it was handed over. */
export interface Prefix {
  /** See {@link KeptOutput}. */
  readonly position: bigint;
  readonly lost: bigint;
  readonly chunks: readonly Buffer[];
}

const NOTHING_KEPT: Prefix = { position: 0n, lost: 0n, chunks: [] };

/** Reads a pipe by the event loop; the prefix comes before the pipe's first byte. */
export class PipeSource implements ByteSource {
  readonly kept: KeptOutput;
  #prefix: readonly Buffer[];
  #fd: number | undefined;
  #watch: Pick<PollWatch, 'close'> | undefined;
  #onChunk: ((chunk: Buffer) => void) | undefined;
  #onEnd: (() => void) | undefined;
  #file: OutputFile | undefined;
  #paused = false;
  #closed = false;
  #fullReads = 0;
  /** Pieces are on their way: the descriptor is freed behind them. */
  #isRelaying = false;
  #isGrown = false;
  /** Bytes of a terminal cannot be moved by the kernel alone. */
  readonly #isTerminal: boolean;

  /** Owns `fd` from now on; `undefined` is a stream without a pipe, which ends after the prefix. */
  constructor(fd: number | undefined, prefix: Prefix = NOTHING_KEPT, isTerminal = false) {
    const { position, lost, chunks } = prefix;
    this.#isTerminal = isTerminal;
    this.#fd = fd;
    this.kept = { position, lost, length: chunks.reduce((sum, chunk) => sum + chunk.length, 0) };
    this.#prefix = chunks;
    if (fd !== undefined) setNonBlocking(fd);
  }

  start(onChunk: (chunk: Buffer) => void, onEnd: () => void, skipKept = 0): void {
    if (this.#onChunk !== undefined) throw new TypeError('a byte source can be started only once');
    this.#onChunk = onChunk;
    this.#onEnd = onEnd;
    if (skipKept > 0) {
      const rest = Buffer.concat(this.#prefix).subarray(skipKept);
      this.#prefix = rest.length > 0 ? [rest] : [];
    }
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
    this.#unwatch();
    this.#flow();
    if (this.#fd === undefined && this.#onChunk !== undefined) this.#endUnlessPaused();
  }

  onceReadable(listener: (isEnd: boolean) => void): void {
    if (this.#closed || !this.#paused) return;
    const tell = (isEnd: boolean): void => {
      this.#unwatch();
      listener(isEnd);
    };
    this.#unwatch();
    this.#watch =
      this.#fd === undefined || this.#prefix.length > 0
        ? soon(() => tell(this.#prefix.length === 0))
        : watchDescriptor(this.#fd, { readable: true }, ({ hasData }) => tell(!hasData));
  }

  keepIn(file: OutputFile): void {
    this.#file = file;
  }

  take(): Buffer | undefined {
    const [kept, ...others] = this.#prefix;
    if (kept !== undefined) {
      this.#prefix = others;
      if (kept.length > 0) return kept;
    }
    if (this.#fd === undefined) return Buffer.alloc(0);
    const chunk = this.#take();
    if (chunk?.length === 0) this.#release();
    return chunk;
  }

  async relay(
    socket: number,
    frame: PieceFrame,
    { signal, isWanted }: { readonly signal: AbortSignal | undefined; isWanted(): boolean },
  ): Promise<number> {
    const pipe = this.#fd;
    if (pipe === undefined || this.#prefix.length > 0 || this.#isTerminal) return 0;
    this.#unwatch();
    this.#isRelaying = true;
    try {
      const moved = await relayPieces({
        pipe,
        socket,
        frame,
        signal,
        isWanted: () => this.#fd === pipe && isWanted(),
      });
      if (moved > 0 && !this.#isGrown && this.#fd === pipe) {
        this.#isGrown = true;
        growPipe(pipe, LIVE_BYTES);
      }
      return moved;
    } finally {
      this.#isRelaying = false;
      if (this.#fd !== pipe) closeDescriptor(pipe);
    }
  }

  place(): DescriptorPlace | undefined {
    const descriptor = this.#fd;
    if (descriptor === undefined) return undefined;
    // whoever is told will read much
    growPipe(descriptor, LIVE_BYTES);
    const { dev: device, ino: inode } = fstatSync(descriptor, { bigint: true });
    return { descriptor, device, inode };
  }

  drain(): boolean {
    if (this.#onChunk === undefined) return false;
    this.#emitPrefix();
    for (let left = DRAIN_BYTES; this.#fd !== undefined && !this.#closed; ) {
      const chunk = left > 0 ? this.#take() : undefined;
      if (chunk === undefined) return false;
      left -= chunk.length;
      if (chunk.length === 0) this.#release();
      else this.#onChunk(chunk);
    }
    this.#end();
    return true;
  }

  close(): void {
    this.#closed = true;
    this.#prefix = [];
    this.#release();
  }

  /**
   * Delivers what is in the pipe now as the last bytes, then the end. For the moment when the writer's side
   * is lost for good.
   */
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
    for (const chunk of chunks) {
      if (this.#closed || chunk.length === 0) continue;
      this.#write(chunk);
      this.#onChunk?.(chunk);
    }
  }

  /** After a hang-up the rest is read at once: there will be no further bytes to wait for. */
  #read(hangup: boolean): void {
    for (let reads = 0; reads < READS_PER_WAKE; reads++) {
      if (this.#fd === undefined || this.#paused) return;
      const chunk = this.#take();
      if (chunk === undefined) return;
      if (chunk.length === 0) {
        this.#release();
        this.#end();
        return;
      }
      this.#onChunk?.(chunk);
      if (chunk.length < READ_BYTES) {
        if (!hangup) return;
      } else this.#noteFullRead();
    }
  }

  #noteFullRead(): void {
    if (++this.#fullReads !== FULL_READS_BEFORE_GROWING || this.#fd === undefined || this.#isTerminal) return;
    growPipe(this.#fd, GROWN_BYTES);
  }

  /** The next bytes of the pipe, none at its end; `undefined`: it is empty. */
  #take(): Buffer | undefined {
    if (this.#isTerminal) return this.#takeFromTerminal();
    const file = this.#file;
    if (file !== undefined) {
      try {
        return moveAndRead(this.#fd!, file);
      } catch (error) {
        // the bytes are in the pipe still, unless it was the look at what had been taken out that failed
        this.#giveUpFile(error);
      }
    }
    const length = readDescriptor(this.#fd!, scratch);
    return length < 0 ? undefined : Buffer.from(scratch.subarray(0, length));
  }

  /** The end of a terminal, when its last process has closed it, is an error of the kernel's. */
  #takeFromTerminal(): Buffer | undefined {
    let length = 0;
    try {
      length = readDescriptor(this.#fd!, scratch);
    } catch (error) {
      if (!isWardenError(error) || error.fields.errno !== 'EIO') throw error;
    }
    if (length < 0) return undefined;
    const chunk = Buffer.from(scratch.subarray(0, length));
    if (length > 0) this.#write(chunk);
    return chunk;
  }

  #write(chunk: Buffer): void {
    const file = this.#file;
    if (file === undefined) return;
    try {
      for (let done = 0; done < chunk.length; ) {
        const length = writeSync(file.descriptor, chunk, done, chunk.length - done, file.offset);
        done += length;
        file.offset += length;
      }
    } catch (error) {
      this.#giveUpFile(error);
    }
  }

  #giveUpFile(error: unknown): void {
    const file = this.#file;
    this.#file = undefined;
    file?.onFailure(error);
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
    if (fd !== undefined && !this.#isRelaying) closeDescriptor(fd);
  }
}

/** Calls `listener` in a microtask, unless it is closed before. */
function soon(listener: () => void): Pick<PollWatch, 'close'> {
  let isClosed = false;
  queueMicrotask(() => {
    if (!isClosed) listener();
  });
  return {
    close: () => {
      isClosed = true;
    },
  };
}

/** One kernel call takes the bytes out of the pipe and puts them into the file, a second one reads them from there. */
function moveAndRead(pipe: number, file: OutputFile): Buffer | undefined {
  const length = moveToFile(pipe, { file: file.descriptor, offset: file.offset, limit: READ_BYTES });
  if (length < 0) return undefined;
  const chunk = Buffer.allocUnsafe(length);
  for (let done = 0; done < length; ) {
    const read = readSync(file.descriptor, chunk, done, length - done, file.offset + done);
    if (read === 0) throw new Error(`${length - done} bytes of output are not where they were put`);
    done += read;
  }
  file.offset += length;
  return chunk;
}
