/** A helper of ours on the host: its one result, its end, and that it is reaped whatever happens. */
import {
  closeDescriptor,
  openPidfd,
  reapLater,
  receiveOnlyMessage,
  signalPidfd,
  waitForExit,
} from '@warden/native';

const SIGTERM = 15;
const SIGKILL = 9;
/** It ends at once when its socket does; longer takes only one that hangs in the kernel. */
const EXIT_GRACE_MS = 2_000;
const RESULT_BYTES = 16_384;

export class HelperProcess {
  /** The one message of the helper; `undefined`: it ended without one. Never rejects. */
  readonly result: Promise<Uint8Array | undefined>;
  readonly #pid: number;
  readonly #pidfd: number;
  #ending: Promise<void> | undefined;
  #isReaped = false;

  /** `pid`: a child that nobody else reaps. Owns `channel`, a SOCK_SEQPACKET socket to it, unless it throws. */
  constructor(pid: number, channel?: number) {
    this.#pid = pid;
    try {
      this.#pidfd = openPidfd(pid);
    } catch (error) {
      // descriptors have run out; our child, not yet reaped, so the number is its own
      process.kill(pid, 'SIGKILL');
      reapLater(pid);
      throw error;
    }
    this.result =
      channel === undefined ? Promise.resolve(undefined) : receiveOnlyMessage(channel, RESULT_BYTES);
  }

  /** Asks it to end; it removes what is half done. */
  terminate(): void {
    if (!this.#isReaped) signalPidfd(this.#pidfd, SIGTERM);
  }

  /** Waits for its end and makes sure of it. Idempotent. */
  end(): Promise<void> {
    this.#ending ??= this.#end();
    return this.#ending;
  }

  async #end(): Promise<void> {
    try {
      for (const signal of [SIGTERM, SIGKILL]) {
        if (await waitForExit(this.#pidfd, EXIT_GRACE_MS)) break;
        signalPidfd(this.#pidfd, signal);
      }
      await waitForExit(this.#pidfd, EXIT_GRACE_MS);
    } catch (error) {
      signalPidfd(this.#pidfd, SIGKILL); // nobody could wait for it
      throw error;
    } finally {
      this.#isReaped = true;
      closeDescriptor(this.#pidfd);
      reapLater(this.#pid);
    }
  }
}
