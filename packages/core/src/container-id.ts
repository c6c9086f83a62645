/**
 * Container ids (spec linux-container.md 2): 55 bits as 11 digits of base 32, so that interface names fit
 * into 15 bytes.
 */
import type { ContainerId } from '@warden/interface';

const DIGITS = 11;
const BITS = 55n;

/**
 * Hands out ids that rise, starting at the microseconds of the wall clock, so that a restarted daemon does
 * not repeat any.
 */
export class ContainerIds {
  #last: bigint;

  constructor(nowMicroseconds: bigint = BigInt(Date.now()) * 1_000n) {
    this.#last = nowMicroseconds;
  }

  next(): ContainerId {
    this.#last += 1n;
    return BigInt.asUintN(Number(BITS), this.#last).toString(32).padStart(DIGITS, '0');
  }

  /** Keeps clear of an id that exists: the clock may have been set back. */
  avoid(id: ContainerId): void {
    let value = 0n;
    for (const digit of id) value = value * 32n + BigInt(Number.parseInt(digit, 32));
    if (value > this.#last) this.#last = value;
  }
}
