/**
 * One connection: requests in order, answers paired by order.
 *
 * The server works off the requests of a connection strictly one after another, so whoever must not wait
 * takes another connection from the pool. Every way a connection can end (peer gone, garbage, local abort)
 * goes through {@link Connection.destroy}: what waits is rejected exactly once, and nothing is left that
 * could reject unseen.
 */
import { constants } from 'node:buffer';
import type { Socket } from 'node:net';
import { onAbort, WardenError } from '@warden/interface';
import { decodeMessage, encodeFrame, encodeMessage, FrameDecoder, MessageType } from '@warden/protocol';
import { AnswerQueue } from './answer-queue.ts';
import type { Line } from './dial.ts';
import { FrameMemory } from './frame-memory.ts';
import { remoteError } from './remote-error.ts';

/** A request that waits for its answer. */
interface Waiting {
  readonly type: number;
  /** Takes an answer, whose bytes lie in `frame`; true when it was the last one. */
  take(payload: object, frame: Uint8Array): boolean;
  /** Behind the last answer: the connection is free for the next request. */
  answered?(): void;
  fail(error: WardenError): void;
}

/** How a stream is read. */
export interface StreamOptions {
  readonly signal?: AbortSignal | undefined;
  readonly isReused?: boolean;
  /**
   * Called when the last answer is there, or none comes any more: the connection can serve somebody else, while
   * the consumer still takes what has arrived.
   */
  readonly onFree?: () => void;
}

/**
 * The largest answer, its trailer included: what one piece of memory can hold. The daemon that was asked is
 * trusted, and has removed the job whose output is in the answer.
 */
const MAX_ANSWER_BYTES = constants.MAX_LENGTH - 2;

/** See the file's head. */
export class Connection {
  /** Called once when the connection has ended, with the reason. */
  onEnd: ((reason: WardenError) => void) | undefined;
  /** The daemon may be closing it: not for another request. */
  isSpent = false;
  readonly #socket: Socket;
  readonly #decoder: FrameDecoder = new FrameDecoder({ maxFrameBytes: MAX_ANSWER_BYTES });
  readonly #waiting: Waiting[] = [];
  #ended: WardenError | undefined;

  constructor(line: Line) {
    const { socket } = line;
    this.#socket = socket;
    line.receive = (bytes) => this.#receive(bytes);
    socket.on('error', (cause) => this.destroy(lost(cause)));
    socket.on('close', () => this.destroy(lost(undefined)));
    socket.resume();
    socket.unref();
  }

  /** Whether requests can be sent. */
  get isAlive(): boolean {
    return this.#ended === undefined;
  }

  /** Whether no answer is outstanding. */
  get isIdle(): boolean {
    return this.#waiting.length === 0;
  }

  /**
   * Sends one request and awaits its one answer. With `signal` aborted the connection is given up, since an
   * answer nobody awaits would be taken for the next one's; the promise rejects with the signal's reason as
   * cause.
   *
   * Errors: the daemon's, `UNAVAILABLE`, `ABORTED`, `INVALID_SPEC` (the message cannot be encoded).
   */
  request<T extends object>(type: number, value: object, signal?: AbortSignal): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (signal?.aborted) {
        reject(abandoned(signal));
        return;
      }
      // Before sending: a request that fails at once must not leave a listener that ends the connection later.
      const settle = onAbort(signal, () => this.destroy(abandoned(signal!)));
      this.#send(type, value, {
        type,
        take(payload) {
          settle();
          resolve(payload as T);
          return true;
        },
        fail(error) {
          settle();
          reject(error);
        },
      });
    });
  }

  /**
   * Sends a request that has many answers; `isFinal` knows the last one, which becomes the return value.
   * While the consumer is slow the socket is paused. Leaving early gives the connection up. With `isReused` the
   * memory of an answer is used again as soon as the next one is asked for.
   */
  async *stream<T extends object>(
    type: number,
    value: object,
    isFinal: (answer: T) => boolean,
    { signal, isReused = false, onFree }: StreamOptions = {},
  ): AsyncGenerator<T, T, undefined> {
    if (signal?.aborted) throw abandoned(signal);
    const memory = isReused ? new FrameMemory() : undefined;
    const queue = new AnswerQueue<T>(this.#socket, memory);
    if (memory !== undefined) this.#decoder.memory = memory;
    const settle = onAbort(signal, () => this.destroy(abandoned(signal!)));
    const free = (): void => {
      if (memory !== undefined) this.#decoder.memory = undefined;
      settle();
      queue.leave();
      onFree?.();
    };
    this.#send(type, value, {
      type,
      take(payload, frame) {
        const isLast = isFinal(payload as T);
        queue.push(payload as T, frame, isLast);
        return isLast;
      },
      answered: free,
      fail(error) {
        queue.fail(error);
        free();
      },
    });
    try {
      for (;;) {
        const { answer, isLast } = await queue.next();
        if (isLast) return answer;
        yield answer;
      }
    } finally {
      if (!queue.isSettled) this.destroy(lost(undefined));
    }
  }

  /**
   * Ends the connection and rejects everything that waits with `reason`. Idempotent; the first reason stays.
   */
  destroy(reason: WardenError): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    this.#socket.destroy();
    for (const waiting of this.#waiting.splice(0)) waiting.fail(reason);
    this.onEnd?.(reason);
  }

  #send(type: number, value: object, waiting: Waiting): void {
    if (this.#ended !== undefined) {
      waiting.fail(this.#ended);
      return;
    }
    let frame: Uint8Array;
    try {
      frame = encodeFrame(encodeMessage(type, value));
    } catch (cause) {
      waiting.fail(new WardenError('INVALID_SPEC', (cause as Error).message, { cause }));
      return;
    }
    this.#waiting.push(waiting);
    this.#socket.ref();
    this.#socket.write(frame);
  }

  #receive(chunk: Uint8Array): void {
    const frames: Uint8Array[] = [];
    try {
      try {
        this.#decoder.pushInto(chunk, frames);
      } finally {
        // What came whole before a broken frame is still an answer.
        for (const frame of frames) if (this.#ended === undefined) this.#answer(frame);
      }
    } catch (cause) {
      this.destroy(
        garbage(`the server does not speak warden's protocol: ${(cause as Error).message}`, cause),
      );
    }
  }

  #answer(frame: Uint8Array): void {
    const { type, payload } = decodeMessage(frame, 'response');
    const waiting = this.#waiting[0];
    if (waiting === undefined) {
      this.destroy(garbage('the server sent an answer that nothing had asked for', undefined));
    } else if (type === MessageType.Error) {
      this.#shift();
      const error = remoteError(payload);
      this.isSpent ||= isLastWord(error);
      waiting.fail(error);
    } else if (type !== waiting.type) {
      this.destroy(
        garbage(`the server answered a request of type ${waiting.type} with type ${type}`, undefined),
      );
    } else if (waiting.take(payload, frame)) {
      this.#shift();
      waiting.answered?.();
    }
  }

  #shift(): void {
    this.#waiting.shift();
    // An idle connection must not keep the program alive.
    if (this.#waiting.length === 0) this.#socket.unref();
  }
}

/** Behind it the daemon may close the connection: it could not read on, or holds too much of what clients have sent. */
function isLastWord({ code, fields }: WardenError): boolean {
  return code === 'MALFORMED_REQUEST' || (code === 'UNAVAILABLE' && fields.limit !== undefined);
}

function lost(cause: unknown): WardenError {
  return new WardenError('UNAVAILABLE', 'the connection to the daemon was lost', {
    ...(cause === undefined ? {} : { cause }),
    fields: { operation: 'receive' },
  });
}

function garbage(message: string, cause: unknown): WardenError {
  return new WardenError('INTERNAL', message, { cause, fields: { operation: 'receive' } });
}

/** Of an operation whose signal is aborted. */
export function abandoned(signal: AbortSignal): WardenError {
  return new WardenError('ABORTED', 'the caller gave up waiting', { cause: signal.reason });
}
