/**
 * Ends a job when its caller gives up.
 *
 * On abort or timeout the whole process tree is killed in the container first, then the waits end: with the
 * error the caller sees the job is gone, not just forgotten. A daemon that cannot kill a tree (the original
 * answers unknown requests with silence) is given a bounded time; then the error says that the job goes on.
 */
import { abortWith, isWardenError, onAbort, WardenError } from '@warden/interface';
import type { Gate, Leave } from './gate.ts';

/** How long a caller is willing to wait. */
export interface WaitLimits {
  /**
   * Aborted: the job's process tree is killed, waits reject with `ABORTED` (`TIMEOUT` for
   * `AbortSignal.timeout`), cause is the reason.
   */
  readonly signal?: AbortSignal | undefined;
  /**
   * Milliseconds from the call, at most 2147483647 (24 days); then the tree is killed and waits reject with
   * `TIMEOUT`.
   */
  readonly timeoutMs?: number | undefined;
}

/** Patience with the kill, in milliseconds; a spawn that has not been answered yet is awaited within it. */
const KILL_PATIENCE_MS = 20_000;
/**
 * Patience with the job's end after a successful kill, in milliseconds: its output may still be on the way.
 */
const END_PATIENCE_MS = 2000;

/** Whether `limits` limit anything. */
export function hasLimits(limits: WaitLimits): boolean {
  return limits.signal !== undefined || limits.timeoutMs !== undefined;
}

/** Throws `ABORTED` or `TIMEOUT` if the signal is aborted already, before anything is started. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw gaveUp(signal);
}

/**
 * Enters no later than the limits say. Errors: `ABORTED` and `TIMEOUT`, before anything was started; those of
 * the gate.
 */
export async function enterWithin(gate: Gate, limits: WaitLimits): Promise<Leave> {
  const { signal, timeoutMs } = limits;
  throwIfAborted(signal);
  if (gate.isOpen) return gate.enter();
  const waiting = new AbortController();
  const forget = abortWith(waiting, signal);
  const timer = timeoutMs === undefined ? undefined : setTimeout(() => waiting.abort(), timeoutMs);
  timer?.unref(); // whoever is before it holds the program
  try {
    return await gate.enter({ signal: waiting.signal });
  } catch (error) {
    throwIfAborted(signal);
    if (!waiting.signal.aborted) throw error;
    throw new WardenError(
      'TIMEOUT',
      `the script did not start within ${timeoutMs} ms, behind as many others as this client runs at a time (maxConnections)`,
      { cause: error, fields: { operation: 'run', timeoutMs } },
    );
  } finally {
    forget();
    clearTimeout(timer);
  }
}

/** What others who wait for the job are told. */
export type KillReason = 'timeout' | undefined;

/** See the file's head. */
export class Watchdog {
  readonly #release = new AbortController();
  readonly #kill: (reason: KillReason) => Promise<void>;
  readonly #leave: () => void;
  readonly #timer: NodeJS.Timeout | undefined;
  #fired: Promise<WardenError> | undefined;
  #onFire: (() => void) | undefined;
  #isSettled = false;

  /** `kill` ends the process tree; it may take any time and may fail. Of the time limit some may have passed. */
  constructor(limits: WaitLimits, kill: (reason: KillReason) => Promise<void>, passedMs = 0) {
    this.#kill = kill;
    const { signal, timeoutMs } = limits;
    this.#leave = onAbort(signal, () => this.#fire(gaveUp(signal!)));
    if (timeoutMs !== undefined) {
      this.#timer = setTimeout(() => this.#fire(timedOut(timeoutMs)), Math.max(0, timeoutMs - passedMs));
      // What waits holds the program by its connection; a job nobody waits for must not.
      this.#timer.unref();
    }
  }

  /** Aborted when waiting for the job has no sense any more. */
  get released(): AbortSignal {
    return this.#release.signal;
  }

  /** The job has ended or its result was taken: nothing is left to guard. */
  settle(): void {
    this.#isSettled = true;
    clearTimeout(this.#timer);
    this.#leave();
  }

  /**
   * Awaits `work`, which should end when {@link released} is aborted. Rejects with the reason of giving up if
   * there is one.
   */
  async guard<T>(work: Promise<T>): Promise<T> {
    try {
      const value = await work;
      await this.throwIfFired();
      return value;
    } catch (error) {
      await this.throwIfFired();
      throw error;
    } finally {
      this.settle();
    }
  }

  /**
   * As {@link guard}, for work that cannot be cancelled: it is left alone when the watchdog has done what it
   * could.
   */
  async guardStart<T>(work: Promise<T>): Promise<T> {
    const fired = new Promise<void>((resolve) => {
      this.#onFire = resolve;
    });
    await Promise.race([work, fired]);
    await this.throwIfFired();
    return work;
  }

  /** Why the caller gave up, once the job was ended; `undefined` if it did not. */
  async outcome(): Promise<WardenError | undefined> {
    return this.#fired;
  }

  /** Throws {@link outcome} if there is one. */
  async throwIfFired(): Promise<void> {
    const outcome = await this.outcome();
    if (outcome !== undefined) throw outcome;
  }

  #fire(reason: WardenError): void {
    if (this.#isSettled || this.#fired !== undefined) return;
    clearTimeout(this.#timer);
    this.#fired = this.#end(reason);
    this.#onFire?.();
  }

  async #end(reason: WardenError): Promise<WardenError> {
    try {
      await within(KILL_PATIENCE_MS, this.#kill(reason.code === 'TIMEOUT' ? 'timeout' : undefined));
    } catch (error) {
      if (!isWardenError(error, 'UNKNOWN_JOB') && !isWardenError(error, 'UNKNOWN_HANDLE')) {
        this.#release.abort(reason);
        return notEnded(reason, error);
      }
    }
    const timer = setTimeout(() => this.#release.abort(reason), END_PATIENCE_MS);
    timer.unref();
    this.#release.signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
    return reason;
  }
}

async function within(milliseconds: number, work: Promise<void>): Promise<void> {
  // Once the time is up nobody awaits the work any more; its failure must not surface as an unhandled
  // rejection.
  work.catch(() => undefined);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new WardenError('UNAVAILABLE', `the job could not be killed within ${milliseconds} ms`));
    }, milliseconds);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

function gaveUp(signal: AbortSignal): WardenError {
  const isTimeout = (signal.reason as { name?: unknown } | undefined)?.name === 'TimeoutError';
  return isTimeout
    ? new WardenError('TIMEOUT', 'the job did not end within its time limit', { cause: signal.reason })
    : new WardenError('ABORTED', 'the caller gave the job up', { cause: signal.reason });
}

function timedOut(timeoutMs: number): WardenError {
  return new WardenError('TIMEOUT', `the job did not end within ${timeoutMs} ms`, { fields: { timeoutMs } });
}

function notEnded(reason: WardenError, failure: unknown): WardenError {
  const why = failure instanceof Error ? failure.message : String(failure);
  return new WardenError(
    reason.code,
    `${reason.message}; it could not be ended and goes on until it ends itself or its container is stopped: ${why}`,
    { cause: reason.cause, fields: { ...reason.fields, isEnded: false }, suppressed: [failure] },
  );
}
