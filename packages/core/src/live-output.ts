/**
 * Output that nobody keeps (`output: 'live'`): it waits in the job's pipes until a stream takes it, each byte
 * once, or until somebody who was lent the pipes reads them. Of a job that has ended, and that nobody reads
 * at the moment, what is in the pipes is taken into memory, which is as much as two pipes hold, so that it
 * costs no descriptor.
 */
import { setTimeout as delay } from 'node:timers/promises';
import {
  type ByteSource,
  type OutputChunk,
  type OutputPipes,
  type OutputRelay,
  WardenError,
} from '@warden/interface';
import { type PerStream, STREAMS, type StreamName } from './stream-name.ts';

/**
 * Of each stream, taken after the job's end at most: more than a pipe holds. A child of the job that goes on
 * printing is not heard for ever.
 */
const REST_BYTES = 2 * 1_048_576;

/** Who prints so much at a time prints on: a moment later there is more, for the price of one turn. */
const BULK_BYTES = 16_384;
const BULK_MS = 1;
/**
 * Not for whoever printed so much since the last look: in that moment his pipe, which holds no more than a
 * few times as much, would be full.
 */
const PLENTY_BYTES = 262_144;

/** So often, and with such pauses, whoever wants the output looks whether another reader has gone. */
const LOOKS = 100;
const LOOK_MS = 10;

/** See the file's head. */
export class LiveOutput {
  readonly #sources: PerStream<ByteSource>;
  readonly #rest: PerStream<Buffer[]> = { stdout: [], stderr: [] };
  /** Bytes that are still taken out of each pipe. */
  readonly #left: Record<StreamName, number> = {
    stdout: Number.POSITIVE_INFINITY,
    stderr: Number.POSITIVE_INFINITY,
  };
  /** Streams of which nothing more comes. */
  readonly #ended = new Set<StreamName>();
  #isRead = false;
  #isLent = false;
  #isComplete = false;
  #isClosed = false;
  /** Wakes a reader that waits. */
  #wake: (() => void) | undefined;
  #onEnd: () => void = () => {};
  /** Settles when both streams have been read to their ends. */
  readonly ended: Promise<void>;

  constructor(sources: PerStream<ByteSource>) {
    this.#sources = sources;
    for (const stream of STREAMS) sources[stream].pause();
    this.ended = new Promise((resolve) => {
      this.#onEnd = resolve;
    });
  }

  /** Whether somebody else reads the pipes. */
  get isLent(): boolean {
    return this.#isLent;
  }

  /** Whether everything was freed. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /**
   * What comes until the end of both streams, or the job's; whole pieces go into the `relay`. Errors:
   * `BAD_STATE` when another stream reads, or the pipes are lent; those of the relay.
   */
  async *read(signal?: AbortSignal, relay?: OutputRelay): AsyncGenerator<OutputChunk, void, undefined> {
    while (this.#isTaken) await this.#untilFree('stream');
    this.#isRead = true;
    let bytes = 0;
    try {
      for (;;) {
        let found = false;
        for (const stream of STREAMS) {
          bytes += relay === undefined ? 0 : await this.#relay(stream, relay, signal);
          const data = this.#next(stream);
          bytes += data?.length ?? 0;
          if (signal?.aborted === true) {
            if (data !== undefined) this.#rest[stream].unshift(data); // for the next one
            return;
          }
          if (data === undefined) continue;
          found = true;
          yield { stream, data };
        }
        if (found) continue;
        if (this.#isComplete || this.#isClosed || this.#ended.size === STREAMS.length) return;
        await this.#more(signal);
        if (bytes >= BULK_BYTES && bytes < PLENTY_BYTES && !this.#isComplete) await delay(BULK_MS);
        bytes = 0;
      }
    } finally {
      this.#isRead = false;
      this.settle();
    }
  }

  /** Lends the pipes until the answer's `giveBack` is called. Errors: as {@link read}, `UNSUPPORTED`. */
  async lend(): Promise<{ readonly pipes: Omit<OutputPipes, 'pid'>; readonly giveBack: () => void }> {
    while (this.#isTaken) await this.#untilFree('read the pipes');
    const { stdout, stderr } = this.#sources;
    if (stdout.place === undefined || stderr.place === undefined)
      throw new WardenError('UNSUPPORTED', 'the init driver does not tell where the pipes are', {
        fields: { operation: 'read the pipes' },
      });
    if (STREAMS.some((stream) => this.#rest[stream].length > 0))
      throw busy('read the pipes', 'a part of the output has been read already');
    this.#isLent = true;
    let isOut = true;
    const giveBack = (): void => {
      if (!isOut) return;
      isOut = false;
      this.#isLent = false;
      this.settle();
    };
    return { pipes: { stdout: stdout.place(), stderr: stderr.place() }, giveBack };
  }

  /** The job has ended: what is in the pipes is the rest. */
  complete(): void {
    this.#isComplete = true;
    this.#takeOnlyTheRest();
    this.settle();
    this.#wake?.();
  }

  /** The job's process has ended: takes what is in the pipes now, where nobody reads them. */
  gather(): void {
    if (this.#isRead || this.#isLent || this.#isClosed) return;
    this.#takeOnlyTheRest();
    for (const stream of STREAMS) {
      for (let data = this.#take(stream); data !== undefined; data = this.#take(stream))
        this.#rest[stream].push(data);
    }
  }

  #takeOnlyTheRest(): void {
    for (const stream of STREAMS) this.#left[stream] = Math.min(this.#left[stream], REST_BYTES);
  }

  /** Behind the job's end, and when nobody reads, the pipes are not needed any more. */
  settle(): void {
    if (!this.#isComplete || this.#isRead || this.#isLent || this.#isClosed) return;
    this.gather();
    for (const stream of STREAMS) {
      this.#sources[stream].close();
      this.#end(stream);
    }
  }

  /** Frees everything; who reads gets the end. Idempotent. */
  close(): void {
    this.#isClosed = true;
    for (const stream of STREAMS) {
      this.#rest[stream].length = 0;
      this.#sources[stream].close();
      this.#end(stream);
    }
    this.#wake?.();
  }

  get #isTaken(): boolean {
    return this.#isRead || this.#isLent;
  }

  /**
   * A reader whose client is gone ends a moment after whoever comes next has come. Looks are counted, and not
   * the time: a daemon that stood still has yet to hear of it. Several may wait, and only one of them finds
   * it free.
   */
  async #untilFree(operation: string): Promise<void> {
    for (let looks = 0; this.#isTaken; looks++) {
      if (looks === LOOKS)
        throw busy(
          operation,
          this.#isRead ? 'another stream reads it' : 'its pipes are lent to another client',
        );
      await delay(LOOK_MS);
    }
  }

  /** Answers the bytes that went that way. */
  async #relay(stream: StreamName, relay: OutputRelay, signal: AbortSignal | undefined): Promise<number> {
    const source = this.#sources[stream];
    if (source.relay === undefined || this.#ended.has(stream) || this.#rest[stream].length > 0) return 0;
    await relay.ready();
    if (signal?.aborted === true) return 0;
    const frame = relay.frame(stream);
    return (
      frame.size * (await source.relay(relay.socket, frame, { signal, isWanted: () => !this.#isComplete }))
    );
  }

  #next(stream: StreamName): Buffer | undefined {
    return this.#rest[stream].shift() ?? this.#take(stream);
  }

  /** From the pipe; `undefined`: nothing at present, or no more. */
  #take(stream: StreamName): Buffer | undefined {
    if (this.#ended.has(stream)) return undefined;
    const data = this.#left[stream] > 0 ? this.#sources[stream].take!() : Buffer.alloc(0);
    this.#left[stream] -= data?.length ?? 0;
    if (data?.length !== 0) return data;
    this.#end(stream);
    return undefined;
  }

  #end(stream: StreamName): void {
    this.#ended.add(stream);
    if (this.#ended.size === STREAMS.length) this.#onEnd();
  }

  /** Resolves when there may be something new. */
  #more(signal: AbortSignal | undefined): Promise<void> {
    const open = STREAMS.filter((stream) => !this.#ended.has(stream));
    return new Promise((resolve) => {
      const done = (): void => {
        this.#wake = undefined;
        signal?.removeEventListener('abort', done);
        for (const stream of open) this.#sources[stream].pause(); // calls the others off
        resolve();
      };
      this.#wake = done;
      if (signal?.aborted === true) done();
      signal?.addEventListener('abort', done, { once: true });
      for (const stream of open) this.#sources[stream].onceReadable(done);
    });
  }
}

function busy(operation: string, why: string): WardenError {
  return new WardenError('BAD_STATE', `${operation}: ${why}; live output goes to one at a time`, {
    fields: { operation },
  });
}
