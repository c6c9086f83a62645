/**
 * The time limit of a frame that was begun: its length line comes within the limit, whatever trickles in, and
 * its body never rests for so long. Between frames there is no limit: pooled clients rest for hours (spec
 * protocol.md 1).
 */
import { ProtocolError } from '@warden/protocol';

const DEFAULT_MILLISECONDS = 60_000;

/** See the file's head. */
export class FrameTimer {
  readonly #milliseconds: number;
  readonly #onExpiry: (error: ProtocolError) => void;
  #timer: NodeJS.Timeout | undefined;
  /** Whether the timer is that of a length line, which no further byte of it puts off. */
  #isForHeader = false;

  constructor(milliseconds: number | undefined, onExpiry: (error: ProtocolError) => void) {
    this.#milliseconds = milliseconds ?? DEFAULT_MILLISECONDS;
    this.#onExpiry = onExpiry;
  }

  /** Some bytes of an unfinished frame have come. */
  update(now: { readonly isInHeader: boolean; readonly hasNewFrame: boolean }): void {
    if (now.isInHeader && this.#isForHeader && !now.hasNewFrame) return;
    this.stop();
    this.#isForHeader = now.isInHeader;
    const timer = setTimeout(() => {
      // bytes may have come while this process itself stood still: they are read before this runs
      setImmediate(() => {
        if (this.#timer === timer) this.#expire();
      });
    }, this.#milliseconds).unref();
    this.#timer = timer;
  }

  /** No frame is open, or nobody reads. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#isForHeader = false;
  }

  #expire(): void {
    this.stop();
    const text = `a frame was begun and not continued within ${this.#milliseconds / 1_000} s`;
    this.#onExpiry(new ProtocolError('frame', text));
  }
}
