/**
 * How many questions for names containers may ask, by a token bucket for each. The kernel's rules count
 * packets, and a packet may carry many questions: a stream as many as fit, and what a program hands on at
 * once as datagrams (UDP_SEGMENT) is one packet until a socket takes it.
 */
import type { ContainerId } from '@warden/interface';
import { ASKER_BURST, ASKER_RATE } from './container-rules.ts';

/** Milliseconds in which a bucket gains one. */
export const QUESTION_MS: number = 1_000 / ASKER_RATE;

/** See the file's head. */
export class QuestionAllowance {
  /** When the bucket will be full again, by `now`; who is not here has a full one. */
  readonly #fullAt = new Map<ContainerId, number>();

  /** Whether it may ask one question now, which is counted. `now`: milliseconds of a clock that never goes back. */
  take(id: ContainerId, now: number = performance.now()): boolean {
    const fullAt = Math.max(now, this.#fullAt.get(id) ?? 0) + QUESTION_MS;
    if (fullAt - now > ASKER_BURST * QUESTION_MS) return false;
    this.#fullAt.set(id, fullAt);
    return true;
  }

  /** The container asks no more. */
  forget(id: ContainerId): void {
    this.#fullAt.delete(id);
  }
}
