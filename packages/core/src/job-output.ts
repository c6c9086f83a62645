/**
 * The output of one job, kept once for all who want it: links take it whole, streams walk along it, each at its own pace.
 * Small writes share blocks, so that a job that prints byte by byte does not cost an object per byte.
 */
import type { OutputChunk } from '@warden/interface';

const BLOCK_BYTES = 4_096;

interface Block {
  readonly stream: 'stdout' | 'stderr';
  readonly bytes: Buffer;
  used: number;
}

/** See the file's head. */
export class JobOutput {
  readonly #blocks: Block[] = [];
  #waiting: (() => void)[] = [];
  #size = 0;
  #isComplete = false;

  /** Bytes of both streams together. */
  get size(): number {
    return this.#size;
  }

  append(stream: 'stdout' | 'stderr', data: Buffer): void {
    if (this.#isComplete || data.length === 0) return;
    this.#size += data.length;
    const last = this.#blocks.at(-1);
    if (last?.stream === stream && last.bytes.length - last.used >= data.length) {
      data.copy(last.bytes, last.used);
      last.used += data.length;
    } else if (data.length < BLOCK_BYTES) {
      const bytes = Buffer.allocUnsafeSlow(BLOCK_BYTES);
      data.copy(bytes);
      this.#blocks.push({ stream, bytes, used: data.length });
    } else {
      this.#blocks.push({ stream, bytes: data, used: data.length });
    }
    this.#wake();
  }

  /** No byte comes any more. */
  complete(): void {
    this.#isComplete = true;
    this.#wake();
  }

  /** Everything one stream has printed so far. */
  collect(stream: 'stdout' | 'stderr'): Buffer {
    return Buffer.concat(
      this.#blocks
        .filter((block) => block.stream === stream)
        .map(({ bytes, used }) => bytes.subarray(0, used)),
    );
  }

  /** Walks along all output from the beginning until it is complete or `signal` is aborted. Several may walk at the same time. */
  async *read(signal?: AbortSignal): AsyncGenerator<OutputChunk, void, undefined> {
    let at = 0;
    let offset = 0;
    for (;;) {
      const block = this.#blocks[at];
      if (block !== undefined && block.used > offset) {
        const data = block.bytes.subarray(offset, block.used);
        offset = block.used;
        yield { stream: block.stream, data };
      } else if (block !== undefined && at + 1 < this.#blocks.length) {
        at += 1;
        offset = 0;
      } else if (this.#isComplete || signal?.aborted === true) {
        return;
      } else {
        await this.#more(signal);
      }
    }
  }

  /** Resolves when there may be something new. */
  #more(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        signal?.removeEventListener('abort', done);
        resolve();
      };
      this.#waiting.push(done);
      signal?.addEventListener('abort', done, { once: true });
    });
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
