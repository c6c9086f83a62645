/**
 * Output of one job on disk, in `jobs/<id>` of its container's directory: what a daemon had read when it was
 * killed, the next one reads here.
 *
 * `stdout` and `stderr` hold the streams from their beginnings. What init read itself while no daemon was
 * there is appended at the next start; where it went is in `handover`, written before, so that a daemon that
 * dies in the middle of it neither repeats nor loses a byte: of the bytes [from, to) that init counts, those
 * up to `from + length of the file - at` are in the file. Everything else comes from the pipe, by a call that
 * takes a byte out of there and puts it into the file at once.
 *
 * Behind that, `handover` has the limit of output that the job was started with, which a later daemon may be
 * configured to have lower for others.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { KeptOutput, OutputFile } from '@warden/interface';
import { closeDescriptor } from './close-descriptor.ts';
import type { PerStream, StreamName } from './stream-name.ts';

const { O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY } = fs.constants;
/** Whatever stands there instead is neither followed nor waited for. */
const MAKE = O_CREAT | O_NOFOLLOW | O_NONBLOCK;

/** Per stream: four big-endian numbers of 64 bits. */
const RECORD_BYTES = 32;
const RECORD_AT: PerStream<number> = { stdout: 0, stderr: RECORD_BYTES };
/** A big-endian number of 64 bits. */
const LIMIT_BYTES = 8;
const LIMIT_AT = 2 * RECORD_BYTES;

interface HandOver {
  /** Init's positions of what was appended. */
  readonly from: bigint;
  readonly to: bigint;
  /** Where it was appended. */
  readonly at: bigint;
  /** Bytes of the stream that nobody has, up to here. */
  readonly lost: bigint;
}

/** What an earlier daemon has left of a stream. */
export interface Resumption {
  readonly content: Buffer;
  /** How much of what init kept is in `content` already. */
  readonly skipKept: number;
  /** Bytes missing before what comes next, all gaps together. */
  readonly lost: number;
}

/** See the file's head. */
export class JobSpool {
  readonly #directory: string;
  readonly #onFailure: (error: unknown) => void;
  readonly #files = new Map<StreamName, OutputFile>();
  #limit: number;
  #isLimitNoted = false;
  #hasFailed = false;
  #isUsed = false;

  /**
   * Makes nothing yet. `outputLimit`: noted for later daemons. `onFailure` is called once when the disk takes no
   * more.
   */
  constructor(
    directory: string,
    {
      outputLimit,
      onFailure,
    }: { readonly outputLimit: number; readonly onFailure: (error: unknown) => void },
  ) {
    this.#directory = directory;
    this.#limit = outputLimit;
    this.#onFailure = onFailure;
  }

  /**
   * Of a job of an earlier daemon, the limit that it was started with; the given one where it had nothing on
   * disk, or that daemon did not note any.
   */
  resumeLimit(): number {
    try {
      const noted = this.#readNote(LIMIT_AT, LIMIT_BYTES);
      if (noted !== undefined) {
        this.#limit = Number(noted.readBigInt64BE());
        this.#isLimitNoted = true;
      }
    } catch (error) {
      this.#fail(error);
    }
    return this.#limit;
  }

  /** Whether something was made on disk. */
  get isUsed(): boolean {
    return this.#isUsed;
  }

  /** The stream's file, made when it is missing; `undefined` after a failure. */
  file(stream: StreamName): OutputFile | undefined {
    const known = this.#files.get(stream);
    if (known || this.#hasFailed) return known;
    try {
      this.#isUsed = true;
      fs.mkdirSync(this.#directory, { recursive: true, mode: 0o755 });
      const descriptor = fs.openSync(path.join(this.#directory, stream), O_RDWR | MAKE, 0o600);
      const offset = fs.fstatSync(descriptor).size;
      const file = { descriptor, offset, onFailure: (error: unknown) => this.#fail(error) };
      this.#files.set(stream, file);
      this.#noteLimit();
      return file;
    } catch (error) {
      this.#fail(error);
      return undefined;
    }
  }

  /** Whether there is a file of the stream. */
  has(stream: StreamName): boolean {
    return this.#files.has(stream) || fs.existsSync(path.join(this.#directory, stream));
  }

  /**
   * Reads what an earlier daemon has left and notes where what init has `kept` will go, which the source
   * appends next.
   */
  resume(stream: StreamName, kept: KeptOutput): Resumption {
    const nothing: Resumption = { content: Buffer.alloc(0), skipKept: 0, lost: Number(kept.lost) };
    if (kept.length === 0 && !this.has(stream)) return nothing;
    const file = this.file(stream);
    if (!file) return nothing;
    try {
      const content = Buffer.alloc(file.offset);
      let length = 0;
      while (length < content.length) {
        const read = fs.readSync(file.descriptor, content, length, content.length - length, length);
        if (read === 0) break;
        length += read;
      }
      return { content, ...this.#noteHandOver(stream, kept, BigInt(file.offset)) };
    } catch (error) {
      this.#fail(error);
      return nothing;
    }
  }

  /** Appends what is in no file yet. */
  write(stream: StreamName, data: Buffer): void {
    const file = this.file(stream);
    if (!file) return;
    try {
      for (let done = 0; done < data.length; ) {
        const length = fs.writeSync(file.descriptor, data, done, data.length - done, file.offset);
        done += length;
        file.offset += length;
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Lets go of the files; they stay, and are opened again when they are needed. Idempotent. */
  close(): void {
    const files = [...this.#files.values()];
    this.#files.clear();
    for (const { descriptor } of files) closeDescriptor(descriptor, (error) => this.#fail(error));
  }

  #noteHandOver(
    stream: StreamName,
    kept: KeptOutput,
    length: bigint,
  ): { readonly skipKept: number; readonly lost: number } {
    const earlier = this.#readHandOver(stream);
    const appended = earlier.from + length - earlier.at;
    const taken = min(appended, earlier.to);
    const skip = min(max(taken - kept.position, 0n), BigInt(kept.length));
    const lost = earlier.lost + min(kept.lost, max(kept.position - taken, 0n));
    const from = kept.position + skip;
    const to = kept.position + BigInt(kept.length);
    if (to > from || lost > earlier.lost) this.#writeHandOver(stream, { from, to, at: length, lost });
    return { skipKept: Number(skip), lost: Number(lost) };
  }

  #noteLimit(): void {
    if (this.#isLimitNoted) return;
    this.#isLimitNoted = true;
    const limit = Buffer.alloc(LIMIT_BYTES);
    limit.writeBigInt64BE(BigInt(this.#limit));
    try {
      this.#writeNote(LIMIT_AT, limit);
    } catch {
      // a full disk: what the next daemon is configured to have holds for it then
    }
  }

  #readHandOver(stream: StreamName): HandOver {
    const record = this.#readNote(RECORD_AT[stream], RECORD_BYTES) ?? Buffer.alloc(RECORD_BYTES);
    const [from, to, at, lost] = [0, 8, 16, 24].map((offset) => record.readBigUInt64BE(offset));
    return { from: from!, to: to!, at: at!, lost: lost! };
  }

  #writeHandOver(stream: StreamName, { from, to, at, lost }: HandOver): void {
    const record = Buffer.alloc(RECORD_BYTES);
    for (const [index, value] of [from, to, at, lost].entries()) record.writeBigUInt64BE(value, 8 * index);
    this.#writeNote(RECORD_AT[stream], record);
  }

  /** What nobody has noted, or a part of it, is `undefined`. */
  #readNote(at: number, length: number): Buffer | undefined {
    const note = Buffer.alloc(length);
    try {
      const descriptor = fs.openSync(path.join(this.#directory, 'handover'), O_RDONLY | O_NONBLOCK);
      try {
        return fs.readSync(descriptor, note, 0, length, at) === length ? note : undefined;
      } finally {
        fs.closeSync(descriptor);
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** One write within one page: it happens as a whole or not at all. */
  #writeNote(at: number, note: Buffer): void {
    const descriptor = fs.openSync(path.join(this.#directory, 'handover'), O_WRONLY | MAKE, 0o600);
    try {
      fs.writeSync(descriptor, note, 0, note.length, at);
    } finally {
      fs.closeSync(descriptor);
    }
  }

  #fail(error: unknown): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    this.#onFailure(error);
  }
}

const min = (a: bigint, b: bigint): bigint => [a, b].reduce((x, y) => (y < x ? y : x));
const max = (a: bigint, b: bigint): bigint => -min(-a, -b);
