/** Init as a process of the host, held by a pidfd so that no signal can reach another process that got its number. */
import { WardenError } from '@warden/interface';
import { closeDescriptor, openPidfd, reapLater, signalPidfd, waitForExit } from '@warden/native';
import { unavailable } from './connection.ts';

/** What ends an init and everything in its container, in order. */
export type EndSignals = readonly number[];

/** The kernel ends a pid namespace with its first process. */
export const NAMESPACE_END: EndSignals = [9];
/** A keeper (native/wshd/insecure.h) has to live to do the killing; SIGCONT, should somebody have stopped it. */
export const KEEPER_END: EndSignals = [15, 18];

export class InitProcess {
  readonly pid: number;
  readonly #end: EndSignals;
  #pidfd: number | undefined;
  #gone = false;
  /** So many wait for its end. */
  #waits = 0;
  #killing: Promise<void> | undefined;

  /** The caller proves afterwards that `pid` was still init's when this returned. Errors: `NATIVE_FAILED` (ESRCH). */
  constructor(pid: number, end: EndSignals) {
    this.pid = pid;
    this.#end = end;
    this.#pidfd = openPidfd(pid);
  }

  /**
   * Ends init and all in the container, and waits: the kernel lets init's pidfd become readable only when its
   * pid namespace is empty, and a keeper ends only when nothing is left below it.
   * Idempotent; calls at the same time share one wait. Errors: `TIMEOUT`, after which it may be repeated;
   * `UNAVAILABLE` after `release`.
   */
  kill(timeoutMs: number): Promise<void> {
    this.#killing ??= this.#kill(timeoutMs).finally(() => {
      this.#killing = undefined;
    });
    return this.#killing;
  }

  /** Whether it has died, or does within the time. */
  async hasEnded(timeoutMs: number): Promise<boolean> {
    return this.#gone || (this.#pidfd !== undefined && (await this.#wait(this.#pidfd, timeoutMs)));
  }

  /** Lets go of the process without touching it, as soon as nobody waits for its end. Idempotent. */
  release(): void {
    const pidfd = this.#pidfd;
    this.#pidfd = undefined;
    if (pidfd !== undefined && this.#waits === 0) closeDescriptor(pidfd);
  }

  async #wait(pidfd: number, timeoutMs: number): Promise<boolean> {
    this.#waits += 1;
    try {
      return await waitForExit(pidfd, timeoutMs);
    } finally {
      this.#waits -= 1;
      if (this.#waits === 0 && this.#pidfd === undefined) closeDescriptor(pidfd);
    }
  }

  async #kill(timeoutMs: number): Promise<void> {
    if (this.#gone) return;
    if (this.#pidfd === undefined) throw unavailable('kill');
    for (const signal of this.#end) signalPidfd(this.#pidfd, signal);
    if (!(await this.#wait(this.#pidfd, timeoutMs))) {
      throw new WardenError('TIMEOUT', `init ${this.pid} did not die within ${timeoutMs} ms`, {
        fields: { operation: 'kill', object: String(this.pid), timeoutMs },
      });
    }
    this.#gone = true;
    this.release();
    // its launcher is long gone: where the daemon is the machine's first process or a subreaper, the orphan is
    // the daemon's child
    reapLater(this.pid);
  }
}
