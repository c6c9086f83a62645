/**
 * One SEQPACKET connection to init: requests are matched to answers by their sequence number, events go to
 * one listener.
 */
import { isWardenError, WardenError } from '@warden/interface';
import {
  closeDescriptor,
  ERRNO_NAMES,
  type PollWatch,
  type ReceivedMessage,
  receiveMessage,
  sendMessage,
  watchDescriptor,
} from '@warden/native';
import { MESSAGE, MESSAGE_MAX, MessageReader, MessageWriter } from './protocol.ts';

/**
 * Init answers at once. On a machine that has more to do than it can, or in a group full of processes that
 * want to run, it may take a while.
 */
export const ANSWER_WITHIN_MS = 30_000;

/** Reading is synchronous and every field is copied out of it, so one buffer serves all connections. */
const receiveBuffer = Buffer.allocUnsafe(MESSAGE_MAX);
const writer = new MessageWriter();

/** What a connection tells its owner. */
export interface ConnectionListener {
  /** A message with sequence 0. The descriptors belong to the listener, unless it throws, which ends the connection. */
  onEvent(message: MessageReader, fds: readonly number[]): void;
  /**
   * Once, whoever ended it. No answer or event comes afterwards. Must not throw. `reason` makes the error,
   * which mostly nobody wants: its stack is what costs.
   */
  onClosed(reason: () => WardenError): void;
}

/**
 * Runs in the turn in which the answer is read, so that an event right behind it finds what it made. Owns the
 * descriptors unless it throws.
 */
type AnswerHandler<T> = (message: MessageReader, fds: readonly number[]) => T;

interface Pending {
  readonly operation: string;
  readonly expected: number;
  /** Runs while the answer may still be awaited. */
  readonly timer: NodeJS.Timeout | undefined;
  settle(message: MessageReader, fds: readonly number[]): void;
  fail(error: WardenError): void;
  readonly onLostFds: RequestOptions['onLostFds'];
}

/** What a request is besides its message. */
export interface RequestOptions {
  /** Closed when the message has left, or never will. */
  readonly fds?: readonly number[];
  /** Its answer comes when something has happened, not at once. */
  readonly isPatient?: boolean;
  /** The answer that has lost its descriptors; the request fails with `NATIVE_FAILED` (EMFILE). */
  readonly onLostFds?: (message: MessageReader) => void;
}

interface Outgoing {
  readonly sequence: number;
  readonly bytes: Buffer;
  readonly fds: readonly number[];
}

export class Connection {
  readonly #fd: number;
  readonly #listener: ConnectionListener;
  readonly #watch: PollWatch;
  readonly #pending = new Map<number, Pending>();
  readonly #outgoing: Outgoing[] = [];
  readonly #answerWithinMs: number;
  /** See {@link excuse}. */
  #isExcused = false;
  #sequence = 0;
  #open = true;

  /**
   * Owns `fd`, a connected non-blocking SOCK_SEQPACKET socket, also where it throws. A process that is stopped,
   * frozen or hangs keeps its socket open: whoever leaves a request unanswered for `answerWithinMs` is given
   * up.
   */
  constructor(fd: number, listener: ConnectionListener, answerWithinMs: number = ANSWER_WITHIN_MS) {
    this.#answerWithinMs = answerWithinMs;
    this.#fd = fd;
    this.#listener = listener;
    try {
      this.#watch = watchDescriptor(fd, { readable: true }, (ready) => {
        if (ready.writable) this.#guard(() => this.#flush());
        if (ready.readable || ready.hangup) this.#guard(() => this.#receive());
      });
    } catch (error) {
      closeDescriptor(fd);
      throw error;
    }
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /**
   * Sends a request and settles with what `onAnswer` makes of its answer of type `expected`.
   * Errors: `NATIVE_FAILED` with init's errno, or with that of the kernel, which had no room for the message
   * or for the descriptors of its answer; `UNSUPPORTED` when init does not understand it; `UNAVAILABLE` when the
   * connection is or gets closed, or no answer comes.
   */
  request<T>(
    operation: string,
    write: (writer: MessageWriter, sequence: number) => Buffer,
    expected: number,
    onAnswer: AnswerHandler<T>,
    { fds = [], isPatient = false, onLostFds }: RequestOptions = {},
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const sequence = this.#nextSequence();
      let bytes: Buffer;
      try {
        if (!this.#open) throw unavailable(operation);
        bytes = write(writer, sequence);
      } catch (error) {
        fds.forEach(closeDescriptor);
        throw error;
      }
      this.#pending.set(sequence, {
        operation,
        expected,
        timer: isPatient ? undefined : this.#giveUpLater(operation, sequence),
        fail: reject,
        onLostFds,
        settle: (message, received) => {
          try {
            resolve(onAnswer(message, received));
          } catch (error) {
            reject(error);
            throw error;
          }
        },
      });
      this.#guard(() => this.#send(sequence, bytes, fds));
    });
  }

  /** Sends what is not answered; nothing on a closed connection. Errors: those of `write`. */
  tell(write: (writer: MessageWriter, sequence: number) => Buffer): void {
    const sequence = this.#nextSequence();
    const bytes = write(writer, sequence);
    this.#guard(() => this.#send(sequence, bytes, []));
  }

  /**
   * It stands still on purpose: no answer is awaited until it goes on, and has its whole time from then on.
   */
  excuse(isExcused: boolean): void {
    this.#isExcused = isExcused;
    if (!isExcused) for (const { timer } of this.#pending.values()) timer?.refresh();
  }

  /** Idempotent. Whatever waits fails with `UNAVAILABLE`. */
  close(reason: () => WardenError = () => unavailable('close')): void {
    if (!this.#open) return;
    let made: WardenError | undefined;
    const error = (): WardenError => (made ??= reason());
    this.#open = false;
    this.#watch.close();
    closeDescriptor(this.#fd);
    for (const { fds } of this.#outgoing.splice(0)) fds.forEach(closeDescriptor);
    for (const { operation, timer, fail } of this.#pending.values()) {
      clearTimeout(timer);
      fail(error().fields.isSilent === true ? error() : unavailable(operation, error()));
    }
    this.#pending.clear();
    this.#listener.onClosed(error);
  }

  #giveUpLater(operation: string, sequence: number): NodeJS.Timeout {
    const timer = setTimeout(() => {
      if (this.#isExcused) {
        timer.refresh();
        return;
      }
      // the answer may have lain there for long, while this process stood still
      this.#guard(() => this.#receive());
      if (this.#pending.has(sequence)) this.close(() => silent(operation, this.#answerWithinMs));
    }, this.#answerWithinMs);
    return timer.unref();
  }

  /** 0 is the sequence of events. */
  #nextSequence(): number {
    this.#sequence = this.#sequence === 0xffffffff ? 1 : this.#sequence + 1;
    return this.#sequence;
  }

  #send(sequence: number, bytes: Buffer, fds: readonly number[]): void {
    const message = { sequence, bytes, fds };
    if (this.#outgoing.length === 0 && closingOnFailure(fds, () => this.#sendNow(message))) return;
    // the writer's buffer is used again by the next request
    this.#outgoing.push({ ...message, bytes: Buffer.from(bytes) });
    this.#watch.update({ readable: true, writable: true });
  }

  #flush(): void {
    for (let next = this.#outgoing[0]; next !== undefined; next = this.#outgoing[0]) {
      if (!this.#sendNow(next)) return;
      this.#outgoing.shift();
    }
    this.#watch.update({ readable: true });
  }

  /** False when it would block. One that the kernel has no memory for has not left, and fails alone. */
  #sendNow({ sequence, bytes, fds }: Outgoing): boolean {
    try {
      if (!sendMessage(this.#fd, bytes, fds)) return false;
    } catch (error) {
      if (!isWardenError(error) || !['ENOBUFS', 'ENOMEM'].includes(String(error.fields.errno))) throw error;
      this.#settled(sequence)?.fail(error);
    }
    fds.forEach(closeDescriptor);
    return true;
  }

  #receive(): void {
    while (this.#open) {
      const received = receiveMessage(this.#fd, receiveBuffer);
      if (received === undefined) return;
      if (received.length === 0 && received.fds.length === 0) {
        this.close(() => unavailable('receive'));
        return;
      }
      this.#dispatch(receiveBuffer.subarray(0, received.length), received);
    }
  }

  #dispatch(bytes: Buffer, { fds, hasLostFds }: ReceivedMessage): void {
    const message = closingOnFailure(fds, () => new MessageReader(bytes));
    if (message.sequence === 0) {
      if (hasLostFds) throw tooManyOpen('take over');
      closingOnFailure(fds, () => this.#listener.onEvent(message, fds));
      return;
    }
    const pending = this.#settled(message.sequence);
    if (pending === undefined || message.type !== pending.expected) fds.forEach(closeDescriptor);
    if (pending === undefined) return; // nobody waits any more
    if (message.type !== pending.expected) pending.fail(answeredError(pending.operation, message));
    else if (hasLostFds !== true) closingOnFailure(fds, () => pending.settle(message, fds));
    else {
      pending.fail(tooManyOpen(pending.operation));
      pending.onLostFds?.(message);
    }
  }

  /** Takes a request from those that wait. */
  #settled(sequence: number): Pending | undefined {
    const pending = this.#pending.get(sequence);
    this.#pending.delete(sequence);
    clearTimeout(pending?.timer);
    return pending;
  }

  /** A connection on which one call failed or one message made no sense cannot be trusted with the next. */
  #guard(step: () => void): void {
    if (!this.#open) return;
    try {
      step();
    } catch (cause) {
      this.close(() => unavailable('exchange', cause));
    }
  }
}

function closingOnFailure<T>(fds: readonly number[], step: () => T): T {
  try {
    return step();
  } catch (error) {
    fds.forEach(closeDescriptor);
    throw error;
  }
}

function tooManyOpen(operation: string): WardenError {
  return new WardenError('NATIVE_FAILED', 'this process has as many descriptors open as it may (EMFILE)', {
    fields: {
      ...{ operation, object: 'run/wshd.sock', errno: 'EMFILE' },
      advice:
        'raise the limit that the daemon is started with (LimitNOFILE of its unit, ulimit -n): a container takes two, a job two more, a connection one',
    },
  });
}

function answeredError(operation: string, message: MessageReader): WardenError {
  if (message.type !== MESSAGE.ERROR) {
    return new WardenError('NATIVE_FAILED', `init answered with message type ${message.type}`, {
      fields: { operation, errno: 'EPROTO' },
    });
  }
  const number = message.i32();
  const errno = ERRNO_NAMES[number] ?? String(number);
  const step = message.string();
  const text = message.string();
  if (errno === 'EPROTO') return notUnderstood(operation, step);
  return new WardenError('NATIVE_FAILED', text === '' ? `${step}: ${errno}` : text, {
    fields: { operation, step, errno },
  });
}

/** Nothing malformed is sent, so what init does not understand came into the protocol after it. */
function notUnderstood(operation: string, step: string): WardenError {
  return new WardenError(
    'UNSUPPORTED',
    `the container's init does not understand ${operation}: it is older than this daemon`,
    {
      fields: {
        ...{ operation, step, errno: 'EPROTO' },
        advice: 'a container keeps the init that it was made with: make it anew to use what came later',
      },
    },
  );
}

function silent(operation: string, answerWithinMs: number): WardenError {
  return new WardenError(
    'UNAVAILABLE',
    `init has not answered for ${answerWithinMs / 1_000} s: it is stopped, frozen or hangs; the container is given up`,
    { fields: { operation, object: 'run/wshd.sock', timeoutMs: answerWithinMs, isSilent: true } },
  );
}

/** The code of everything that fails because init is not there (any more). */
export function unavailable(operation: string, cause?: unknown): WardenError {
  const why = cause instanceof Error && !isWardenError(cause, 'UNAVAILABLE') ? `: ${cause.message}` : '';
  return new WardenError('UNAVAILABLE', `the connection to the container is closed${why}`, {
    fields: { operation, object: 'run/wshd.sock' },
    ...(cause === undefined ? {} : { cause }),
  });
}
