/** A job in a container, seen through the socket. */
import { constants } from 'node:os';
import {
  type ByteStream,
  isWardenError,
  type Job,
  type JobEnd,
  type OutputChunk,
  type TerminalSize,
  untilAborted,
  WardenError,
} from '@warden/interface';
import { type LinkResponse, MessageType, type StreamResponse } from '@warden/protocol';
import { isStreamEnd, jobEnd, jobResult, outputChunk } from './answer-values.ts';
import * as args from './arguments.ts';
import { demand, needed } from './check.ts';
import { abandoned } from './connection.ts';
import { readPipes } from './direct-output.ts';
import { requireFeature } from './features.ts';
import { ClientJobResult } from './job-result.ts';
import type { Transport } from './transport.ts';
import type { Watchdog } from './watchdog.ts';

/** Bytes of input in one request: what a pipe holds by default. */
const INPUT_BYTES = 65_536;

/** What {@link Job.kill} takes, with signals by their names as well. */
export interface KillOptions {
  readonly signal?: number | NodeJS.Signals | undefined;
  readonly tree?: boolean | undefined;
  readonly reason?: 'timeout' | undefined;
}

/** A started job, or a reference to one by its id. */
export class ClientJob implements Job {
  readonly id: number;
  readonly handle: string;
  readonly #session: Transport;
  readonly #watchdog: Watchdog | undefined;
  /** Its pipes may be read here, without the daemon. */
  readonly #isLive: boolean;
  /** Its input is known to have been open: what refuses a write since is the end of the job. */
  #hasHadInput: boolean;
  /** End of the stream that {@link output} is read through; `undefined` inside when it was left early. */
  #outputEnd: Promise<JobEnd | undefined> = Promise.resolve(undefined);
  /** The daemon gives a result once: who asks again, or lost the first answer in a race, gets what is kept here. */
  #result: Promise<ClientJobResult> | undefined;

  constructor(
    session: Transport,
    handle: string,
    id: number,
    {
      watchdog,
      isLive = false,
      hasInput = false,
    }: { readonly watchdog?: Watchdog; readonly isLive?: boolean; readonly hasInput?: boolean } = {},
  ) {
    this.#session = session;
    this.#watchdog = watchdog;
    this.#isLive = isLive;
    this.#hasHadInput = hasInput;
    this.handle = handle;
    this.id = id;
  }

  /**
   * All output from the job's start, as it comes. The job is removed at the end; leaving the loop early keeps
   * it. Each loop opens a stream of its own. Errors: `UNKNOWN_JOB`, `ABORTED` and `TIMEOUT` of the limits
   * given to `spawn`, besides those of every operation.
   */
  get output(): AsyncIterable<OutputChunk> {
    return { [Symbol.asyncIterator]: () => this.#readOutput() };
  }

  /**
   * The end of the job. Each byte of output goes to exactly one place: when {@link output} is being read to
   * its end, `stdout` and `stderr` of this result are empty. It can be asked for any number of times, and is kept as
   * long as this object. Errors: as {@link output}.
   */
  async result(): Promise<ClientJobResult> {
    const end = await this.#outputEnd;
    if (this.#result !== undefined) return this.#result;
    const result = end === undefined ? this.#takeResult() : Promise.resolve(withoutOutput(end));
    this.#result = result;
    result.catch(() => {
      // the daemon has it still, or says so
      if (this.#result === result) this.#result = undefined;
    });
    return result;
  }

  /**
   * See {@link Job.link}. Waiting without result leaves the job to the daemon, which keeps the result for the
   * next link.
   */
  async link(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<ClientJobResult> {
    demand('link', 'options', args.signalOption, options);
    const result = await this.#link(options.signal);
    this.#watchdog?.settle();
    return result;
  }

  /**
   * See {@link Job.stream}. With `reuseMemory` the bytes of a piece are valid until the next one is asked
   * for; then the memory is used again. That is several times as fast for a job that prints gigabytes, since
   * fresh memory costs more than what is put there. Whoever keeps a piece copies it.
   */
  async *stream(
    options: { readonly signal?: AbortSignal | undefined; readonly reuseMemory?: boolean | undefined } = {},
  ): AsyncGenerator<OutputChunk, JobEnd, undefined> {
    demand('stream', 'options', args.streamOptions, options);
    const end = yield* this.#chunks(options.signal, options.reuseMemory === true);
    this.#watchdog?.settle();
    return end;
  }

  /**
   * See {@link Job.kill}. With an old daemon, which refuses the request or never answers it: `UNSUPPORTED`.
   */
  async kill(options: KillOptions = {}): Promise<void> {
    demand('kill', 'options', args.killOptions, options);
    await killJob(this.#session, this.handle, this.id, options);
  }

  /** See {@link Job.write}; a text becomes UTF-8. Never waits behind other requests of this client. */
  async write(
    data: Uint8Array | string,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<void> {
    demand('write', 'data', needed(args.content), data);
    demand('write', 'options', args.signalOption, options);
    const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : data;
    for (let at = 0; at < bytes.length; at += INPUT_BYTES) {
      const value = { handle: this.handle, job_id: this.id, data: bytes.subarray(at, at + INPUT_BYTES) };
      await this.#input(value, options.signal);
      this.#hasHadInput = true;
    }
  }

  /**
   * Writes all of `source` and ends the input; a job that reads no more, or has ended, ends it early, without
   * an error. Errors: as {@link write}, those of `source`.
   */
  async writeAll(
    source: string | Uint8Array | ByteStream,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<void> {
    demand('write', 'source', args.fileContent, source);
    const { signal } = options;
    const pieces: Iterable<string | Uint8Array> | ByteStream = isWhole(source) ? [source] : source;
    for await (const data of untilAborted(pieces, signal))
      if (!(await this.#isTaken(this.write(data, options)))) return;
    if (signal?.aborted) throw abandoned(signal);
    await this.#isTaken(this.endInput());
  }

  /** See {@link Job.endInput}. */
  async endInput(): Promise<void> {
    await this.#input({ handle: this.handle, job_id: this.id, end: true }, undefined);
  }

  /** See {@link Job.resize}. */
  async resize(size: TerminalSize): Promise<void> {
    demand('resize', 'size', needed(args.terminalSize), size);
    await requireFeature(this.#session, 'job-input', 'resize');
    const value = { handle: this.handle, job_id: this.id, size: { rows: size.rows, columns: size.columns } };
    await this.#session.call(MessageType.JobResize, value, { handle: this.handle, isUrgent: true });
  }

  /** Whether there is still a job that reads. */
  async #isTaken(sent: Promise<void>): Promise<boolean> {
    try {
      await sent;
      return true;
    } catch (error) {
      if (!isWardenError(error)) throw error;
      const isOver = this.#hasHadInput && (error.code === 'BAD_STATE' || error.code === 'UNKNOWN_JOB');
      if (isOver || error.fields.errno === 'EPIPE') return false;
      throw error;
    }
  }

  #takeResult(): Promise<ClientJobResult> {
    if (this.#watchdog === undefined) return this.link();
    return this.#watchdog.guard(this.#link(this.#watchdog.released));
  }

  async #input(value: object, signal: AbortSignal | undefined): Promise<void> {
    await requireFeature(this.#session, 'job-input', 'write input');
    await this.#session.call(MessageType.JobInput, value, { handle: this.handle, signal, use: 'wait' });
  }

  async #link(signal: AbortSignal | undefined): Promise<ClientJobResult> {
    const value = { handle: this.handle, job_id: this.id };
    const lane = { handle: this.handle, signal, use: 'wait' } as const;
    try {
      return jobResult(await this.#session.call<LinkResponse>(MessageType.Link, value, lane));
    } catch (error) {
      throw this.#named(error);
    }
  }

  async *#readOutput(): AsyncGenerator<OutputChunk, undefined, undefined> {
    let settle: (end: JobEnd | undefined | Promise<never>) => void = () => undefined;
    const outputEnd = new Promise<JobEnd | undefined>((resolve) => {
      settle = resolve;
    });
    // Whoever iterates sees the failure; result() may never be asked for.
    outputEnd.catch(() => undefined);
    this.#outputEnd = outputEnd;
    try {
      const end = yield* this.#chunks(this.#watchdog?.released, false);
      await this.#watchdog?.throwIfFired();
      this.#watchdog?.settle();
      this.#result ??= Promise.resolve(withoutOutput(end));
      settle(end);
    } catch (error) {
      const outcome = await this.#watchdog?.outcome();
      if (outcome === undefined) throw error;
      settle(Promise.reject(outcome));
      throw outcome;
    } finally {
      // Left early or cut off: the daemon keeps the job, so that result() can still link to it.
      settle(undefined);
    }
    return undefined;
  }

  /** Who has lost the daemon finds the job by its number: it goes on, without the limits of this client. */
  #named(error: unknown): unknown {
    if (!isWardenError(error, 'UNAVAILABLE')) return error;
    return new WardenError('UNAVAILABLE', `${error.message}; job ${this.id} of ${this.handle} may go on`, {
      cause: error,
      fields: { ...error.fields, object: this.handle, jobId: this.id },
    });
  }

  async *#chunks(
    signal: AbortSignal | undefined,
    isReused: boolean,
  ): AsyncGenerator<OutputChunk, JobEnd, undefined> {
    const job = { handle: this.handle, job_id: this.id };
    if (this.#isLive) {
      const end = yield* readPipes(this.#session, job, { signal, isReused });
      if (end !== undefined) return end;
    }
    const lane = { handle: this.handle, signal, isReused, use: 'wait' } as const;
    const answers = this.#session.stream<StreamResponse>(MessageType.Stream, job, isStreamEnd, lane);
    try {
      for (;;) {
        const step = await answers.next();
        if (step.done) return jobEnd(step.value);
        yield outputChunk(step.value);
      }
    } catch (error) {
      throw this.#named(error);
    } finally {
      // A loop left early must give its connection back; after the end this does nothing.
      await answers.return({});
    }
  }
}

/** Of a job whose output was read by {@link ClientJob.output}. */
function withoutOutput(end: JobEnd): ClientJobResult {
  return new ClientJobResult({ ...end, stdout: new Uint8Array(), stderr: new Uint8Array() });
}

/** A text and bytes are iterables, too: of characters and of numbers. */
function isWhole(source: string | Uint8Array | ByteStream): source is string | Uint8Array {
  return typeof source === 'string' || source instanceof Uint8Array;
}

const SIGKILL = 9;
/**
 * Patience with the answer to a signal, in milliseconds: a daemon that knows it answers at once, or as soon
 * as a host that is full of processes (the reason for the signal, maybe) lets it.
 */
const SIGNAL_PATIENCE_MS = 15_000;
/** After this, a daemon is asked whether it knows anything: one that does not never answers a signal. */
const DOUBT_MS = 1000;

/**
 * Sends a signal to a job; default SIGKILL to its tree. Errors: `UNSUPPORTED` when the daemon refuses or
 * ignores the request.
 */
export async function killJob(
  session: Transport,
  handle: string,
  jobId: number,
  options: KillOptions = {},
): Promise<void> {
  const { signal = SIGKILL, tree = true, reason } = options;
  const { signal: patience, end } = impatience(session);
  const number = typeof signal === 'string' ? constants.signals[signal] : signal;
  const value = { handle, job_id: jobId, signal: number, tree, ...(reason === undefined ? {} : { reason }) };
  try {
    await session.call(MessageType.JobSignal, value, { handle, isUrgent: true, signal: patience });
  } catch (cause) {
    if (!isWardenError(cause, 'ABORTED') || !patience.aborted) throw cause;
    const text = 'the daemon did not answer the signal; an old daemon does not know it';
    throw new WardenError('UNSUPPORTED', text, {
      cause,
      fields: { operation: 'kill', object: handle, jobId },
    });
  } finally {
    end();
  }
}

/** Aborted when an answer will not come any more. */
function impatience(session: Transport): { readonly signal: AbortSignal; end(): void } {
  const controller = new AbortController();
  const giveUp = (): void => controller.abort(new Error('no answer'));
  const doubt = setTimeout(() => {
    session.features().then(
      ({ size }) => size === 0 && giveUp(),
      () => undefined, // the connection tells it
    );
  }, DOUBT_MS);
  const limit = setTimeout(giveUp, SIGNAL_PATIENCE_MS);
  return {
    signal: controller.signal,
    end: () => {
      clearTimeout(doubt);
      clearTimeout(limit);
    },
  };
}
