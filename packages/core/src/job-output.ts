/**
 * The output of one job, kept once for all who want it: links take it whole, streams walk along it, each at
 * its own pace. Small writes share blocks, so that a job that prints byte by byte does not cost an object per
 * byte.
 */
import type { OutputChunk } from '@warden/interface';
import type { StreamName } from './stream-name.ts';

const BLOCK_BYTES = 4_096;

interface Block {
  /** Bytes of both streams before its first one: tells which of two blocks began earlier. */
  readonly position: number;
  readonly bytes: Buffer;
  used: number;
}

/** How far a reader has come in one stream. */
interface Cursor {
  readonly stream: StreamName;
  block: number;
  offset: number;
}

/** See the file's head. */
export class JobOutput {
  readonly #blocks: Record<StreamName, Block[]> = { stdout: [], stderr: [] };
  readonly #wholes: Partial<Record<StreamName, Buffer>> = {};
  readonly #waiting = new Set<() => void>();
  #size = 0;
  #isComplete = false;

  /** Bytes of both streams together. */
  get size(): number {
    return this.#size;
  }

  append(stream: StreamName, data: Buffer): void {
    if (this.#isComplete || data.length === 0) return;
    const blocks = this.#blocks[stream];
    const last = blocks.at(-1);
    // full blocks only, whatever the sizes of the writes: memory is the size of the output and at most one
    // block per stream
    const room = last === undefined ? 0 : Math.min(last.bytes.length - last.used, data.length);
    if (last !== undefined && room > 0) {
      data.copy(last.bytes, last.used, 0, room);
      last.used += room;
    }
    const rest = data.subarray(room);
    if (rest.length > 0) blocks.push(newBlock(this.#size + room, rest));
    this.#size += data.length;
    this.#wake();
  }

  /** No byte comes any more. */
  complete(): void {
    this.#isComplete = true;
    this.#wake();
  }

  /** Everything one stream has printed so far; once it is complete, the same buffer for all who ask. */
  collect(stream: StreamName): Buffer {
    const known = this.#wholes[stream];
    if (known !== undefined) return known;
    const blocks = this.#blocks[stream];
    const whole = Buffer.concat(blocks.map(({ bytes, used }) => bytes.subarray(0, used)));
    if (this.#isComplete) this.#keep(stream, whole);
    return whole;
  }

  /** In place of the blocks, which become parts of it: readers on their way find them as before. */
  #keep(stream: StreamName, whole: Buffer): void {
    this.#wholes[stream] = whole;
    let at = 0;
    this.#blocks[stream] = this.#blocks[stream].map(({ position, used }) => {
      const bytes = whole.subarray(at, at + used);
      at += used;
      return { position, bytes, used };
    });
  }

  /**
   * Walks along all output from the beginning until it is complete or `signal` is aborted; each stream in its
   * order, both together in about the order of their blocks. Several may walk at the same time.
   */
  async *read(signal?: AbortSignal): AsyncGenerator<OutputChunk, void, undefined> {
    const cursors: readonly Cursor[] = [
      { stream: 'stdout', block: 0, offset: 0 },
      { stream: 'stderr', block: 0, offset: 0 },
    ];
    for (;;) {
      const next = this.#earliest(cursors);
      if (next !== undefined) yield this.#take(next);
      else if (this.#isComplete || signal?.aborted === true) return;
      else await this.#more(signal);
    }
  }

  /** The cursor whose unread bytes began first; `undefined` when everything has been read. */
  #earliest(cursors: readonly Cursor[]): Cursor | undefined {
    let found: { cursor: Cursor; position: number } | undefined;
    for (const cursor of cursors) {
      const blocks = this.#blocks[cursor.stream];
      if (cursor.offset === blocks[cursor.block]?.used && cursor.block + 1 < blocks.length) {
        cursor.block += 1;
        cursor.offset = 0;
      }
      const block = blocks[cursor.block];
      if (block === undefined || block.used === cursor.offset) continue;
      const position = block.position + cursor.offset;
      if (found === undefined || position < found.position) found = { cursor, position };
    }
    return found?.cursor;
  }

  #take(cursor: Cursor): OutputChunk {
    const { bytes, used } = this.#blocks[cursor.stream][cursor.block]!;
    const data = bytes.subarray(cursor.offset, used);
    cursor.offset = used;
    return { stream: cursor.stream, data };
  }

  /** Resolves when there may be something new. */
  #more(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        signal?.removeEventListener('abort', done);
        this.#waiting.delete(done);
        resolve();
      };
      this.#waiting.add(done);
      signal?.addEventListener('abort', done, { once: true });
    });
  }

  #wake(): void {
    for (const done of this.#waiting) done();
  }
}

/** Large pieces are kept as they came, small ones get room for what follows. */
function newBlock(position: number, data: Buffer): Block {
  if (data.length >= BLOCK_BYTES) return { position, bytes: data, used: data.length };
  const bytes = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  data.copy(bytes);
  return { position, bytes, used: data.length };
}
