/** A pipe of another process, read by the event loop. */
import fs from 'node:fs';
import net from 'node:net';

/** What one read takes at most; each is given away as it came. */
const READ_BYTES = 131_072;
/**
 * Into memory that is used again: all that the pipe holds, for fresh memory costs more than the bytes in it,
 * and this is not fresh.
 */
const REUSED_BYTES = 1_048_576;
/** Smaller pieces are copied out, so that nobody keeps so much memory for so little. */
const SMALL_BYTES = 32_768;
/** What somebody who goes on printing prints at a time, and how long he is given for more. */
const BULK_BYTES = 16_384;
const BULK_MS = 1;
/**
 * From here on the reader is as fast as the job without any pause, in which a job that prints gigabytes would
 * find its pipe full.
 */
const PLENTY_BYTES = 65_536;
/** What may be read ahead of the consumer. */
const HIGH_WATER = 262_144;

/** By what it is known. */
export interface PipeIdentity {
  readonly device: bigint;
  readonly inode: bigint;
}

/** What is to be done with a pipe's bytes. */
export interface PipeReaderOptions {
  /** Called when there is something new. */
  readonly onChange: () => void;
  /** What {@link PipeReader.next} answers is valid until the next call of it. */
  readonly isReused: boolean;
}

/** See the file's head. */
export class PipeReader {
  readonly #socket: net.Socket;
  readonly #options: PipeReaderOptions;
  readonly #arrived: Uint8Array[] = [];
  #buffered = 0;
  readonly #readBytes: number;
  #landing: Buffer;
  /** It reads as soon as it is there. */
  #isFlowing = true;
  #isEnded = false;
  #left = Number.POSITIVE_INFINITY;
  /** Behind the end of those who matter: whether the pipe has been seen empty, and so all of theirs has been read. */
  #wasEmpty = false;
  /** The last read took as much as it could: there may be more. */
  #wasFull = false;
  #timer: NodeJS.Timeout | undefined;
  #isResting = false;
  #restTimer: NodeJS.Timeout | undefined;

  /** Opens the pipe at `path` when it is the one; `undefined`: it is not, or may not be opened. */
  static open(path: string, identity: PipeIdentity, options: PipeReaderOptions): PipeReader | undefined {
    let descriptor: number | undefined;
    try {
      // looked at before: to open something else could have effects, or wait
      if (!isPipe(fs.statSync(path, { bigint: true }), identity)) return undefined;
      descriptor = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
      if (isPipe(fs.fstatSync(descriptor, { bigint: true }), identity)) {
        const reader = new PipeReader(descriptor, options);
        descriptor = undefined;
        return reader;
      }
    } catch {
      // no right to, another host's or namespace's process, or the pipe is gone
    } finally {
      if (descriptor !== undefined) fs.closeSync(descriptor);
    }
    return undefined;
  }

  private constructor(descriptor: number, options: PipeReaderOptions) {
    this.#options = options;
    this.#readBytes = options.isReused ? REUSED_BYTES : READ_BYTES;
    this.#landing = Buffer.allocUnsafeSlow(this.#readBytes);
    const socketOptions: net.SocketConstructorOpts & { readonly onread: net.OnReadOpts } = {
      fd: descriptor,
      readable: true,
      writable: false,
      onread: {
        buffer: () => this.#landing,
        callback: (length, bytes) => this.#take(length, bytes),
      },
    };
    this.#socket = new net.Socket(socketOptions);
    this.#socket.on('error', () => this.#end());
    this.#socket.on('end', () => this.#end());
    this.#socket.on('close', () => this.#end());
  }

  /** Nothing comes any more, and everything was taken. */
  get isAtEnd(): boolean {
    return this.#isEnded && this.#arrived.length === 0;
  }

  /** What has come, the receiver's own unless it is reused; `undefined`: nothing at present. */
  next(): Uint8Array | undefined {
    const chunk = this.#arrived.shift();
    if (chunk !== undefined) this.#buffered -= chunk.length;
    return chunk;
  }

  /** Goes on reading, until much waits to be taken. */
  flow(): void {
    if (this.#isEnded || this.#isFlowing || this.#isResting) return;
    this.#isFlowing = true;
    this.#socket.resume();
  }

  /**
   * Nobody writes any more, but those who do not matter: the end comes so much later, and when what is in the
   * pipe now has been read, or so much. Those who do not matter may go on writing.
   */
  endAfter(milliseconds: number, bytes: number): void {
    this.#left = bytes;
    this.#timer = setTimeout(() => this.#endWhenRead(milliseconds), milliseconds);
  }

  /** Reads no more; what has been read is still to be taken. Idempotent. */
  stop(): void {
    this.#end();
  }

  close(): void {
    this.#end();
    this.#arrived.length = 0;
  }

  #take(length: number, bytes: Uint8Array): boolean {
    const piece = bytes.subarray(0, length);
    const { isReused, onChange } = this.#options;
    if (isReused) this.#arrived.push(piece);
    else if (length < SMALL_BYTES) this.#arrived.push(new Uint8Array(piece));
    else {
      this.#arrived.push(piece);
      this.#landing = Buffer.allocUnsafeSlow(this.#readBytes);
    }
    this.#buffered += length;
    this.#left -= length;
    this.#wasFull = length === this.#readBytes;
    if (this.#left < Number.POSITIVE_INFINITY && !this.#wasFull) this.#wasEmpty = true;
    const isBulk = length >= BULK_BYTES && length < PLENTY_BYTES;
    const hasRoom = this.#buffered < HIGH_WATER;
    if (isBulk && hasRoom) this.#rest();
    // what is reused is taken before the next read
    this.#isFlowing = !isReused && !isBulk && hasRoom;
    if (this.#left <= 0) this.#end();
    else onChange();
    return this.#isFlowing;
  }

  /** Who prints so much at a time prints on: a moment later there is more, for the price of one read. */
  #rest(): void {
    const { isReused, onChange } = this.#options;
    this.#isResting = true;
    this.#restTimer = setTimeout(() => {
      this.#isResting = false;
      // what is in the memory may not have been taken yet: whoever waits for more asks for it
      if (isReused) onChange();
      else this.flow();
    }, BULK_MS);
  }

  #endWhenRead(milliseconds: number): void {
    // a turn in which the pipe is looked at, should this program have been busy until now
    setImmediate(() => {
      if (this.#isEnded) return;
      // what the consumer has not asked for yet is in the pipe still
      if (this.#wasEmpty || (this.#isFlowing && !this.#wasFull)) return this.#end();
      this.#wasFull = false;
      this.#timer = setTimeout(() => this.#endWhenRead(milliseconds), milliseconds);
    });
  }

  #end(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#restTimer);
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#socket.destroy();
    this.#options.onChange();
  }
}

function isPipe(facts: fs.BigIntStats, { device, inode }: PipeIdentity): boolean {
  return facts.isFIFO() && facts.dev === device && facts.ino === inode;
}
