/**
 * Live output without the daemon in between: where it is told where the pipes are and this program may look
 * there, which takes root on the same host, it opens them itself. Nothing is lost when the daemon is killed,
 * and no byte is copied on the way.
 */
import { abortWith, isWardenError, type JobEnd, type OutputChunk, WardenError } from '@warden/interface';
import { type JobPipesResponse, type LinkResponse, MessageType } from '@warden/protocol';
import { jobEnd } from './answer-values.ts';
import { PipeReader } from './pipe-reader.ts';
import type { Call, Transport } from './transport.ts';

/** How long what descendants still hold back is awaited behind the end, as the daemon does. */
const LINGER_MS = 50;
/** Behind the end at most: more than a pipe holds. A child of the job that goes on printing is not heard for ever. */
const REST_BYTES = 2 * 1_048_576;

/** As the daemon says. */
const OPERATION = 'read the pipes';

/** Sessions that may not. */
const refused = new WeakSet<Transport>();

/**
 * All output until the end, and the end; with `isReused` each piece is valid until the next step;
 * `undefined`, before anything was read: not this way. Errors: as those of a stream.
 */
export async function* readPipes(
  session: Transport,
  job: { readonly handle: string; readonly job_id: number },
  { signal, isReused }: { readonly signal: AbortSignal | undefined; readonly isReused: boolean },
): AsyncGenerator<OutputChunk, JobEnd | undefined, undefined> {
  if (refused.has(session)) return undefined;
  const leaving = new AbortController();
  const forget = abortWith(leaving, signal);
  const readers = new Readers(isReused);
  const lane = { handle: job.handle, use: 'wait', signal: leaving.signal } as const;
  // the loan belongs to the connection, and so does the wait for the end
  const linked = session.exchange(lane, async (call) => {
    await readers.open(call, job);
    return call<LinkResponse>(MessageType.Link, job);
  });
  linked.then(
    () => readers.finish(),
    () => readers.fail(),
  );
  try {
    yield* readers.chunks(lane.signal);
    return jobEnd(await linked);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    if (isWardenError(error, 'UNSUPPORTED')) refused.add(session);
    return undefined; // the stream says why, if it does not work either
  } finally {
    forget();
    leaving.abort(new WardenError('ABORTED', 'the output is not read any more'));
    readers.close();
  }
}

/** Says that the loan was not given, or that nobody knows what that is; nothing was read then. */
function isRefusal(error: unknown): boolean {
  return isWardenError(error) && error.fields.operation === OPERATION;
}

/** Both streams of a job. */
class Readers {
  readonly #open = new Map<OutputChunk['stream'], PipeReader>();
  readonly #isReused: boolean;
  /** Nothing is awaited but what is read. */
  #isOver = false;
  #wake: () => void = () => {};

  constructor(isReused: boolean) {
    this.#isReused = isReused;
  }

  /** Errors: `UNSUPPORTED` when this program may not look there. */
  async open(call: Call, job: object): Promise<void> {
    const { pid, stdout, stderr } = await call<JobPipesResponse>(MessageType.JobPipes, job);
    for (const [stream, place] of [
      ['stdout', stdout],
      ['stderr', stderr],
    ] as const) {
      if (place === undefined) continue;
      const reader = PipeReader.open(`/proc/${pid}/fd/${place.descriptor}`, place, {
        onChange: () => this.#wake(),
        isReused: this.#isReused,
      });
      if (reader === undefined) {
        this.close();
        throw new WardenError('UNSUPPORTED', 'the pipes of the job cannot be opened from here', {
          fields: { operation: OPERATION },
        });
      }
      this.#open.set(stream, reader);
    }
    this.#wake();
  }

  /** The job has ended: what is in the pipes is the rest. */
  finish(): void {
    for (const reader of this.#open.values()) reader.endAfter(LINGER_MS, REST_BYTES);
    this.#isOver = true;
    this.#wake();
  }

  /** Nobody tells the job's end any more: what is in the pipes is for whoever asks the next daemon. */
  fail(): void {
    for (const reader of this.#open.values()) reader.stop();
    this.#isOver = true;
    this.#wake();
  }

  close(): void {
    for (const reader of this.#open.values()) reader.close();
    this.#open.clear();
  }

  /** Until both are at their ends and the job's is known, or asking for it has failed, or `signal` is aborted. */
  async *chunks(signal: AbortSignal): AsyncGenerator<OutputChunk, void, undefined> {
    for (;;) {
      let found = false;
      for (const [stream, reader] of this.#open) {
        if (signal.aborted) return;
        const data = reader.next();
        if (data === undefined) continue;
        found = true;
        yield { stream, data };
      }
      if (found) continue;
      for (const [stream, reader] of this.#open) if (reader.isAtEnd) this.#open.delete(stream);
      if (signal.aborted || (this.#isOver && this.#open.size === 0)) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        for (const reader of this.#open.values()) reader.flow();
      });
    }
  }
}
