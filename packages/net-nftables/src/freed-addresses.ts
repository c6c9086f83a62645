/** Addresses of released containers whose connections the kernel still knows. */
import type { Logger } from '@warden/interface';
import { forgetConnections, forgetListed } from './connection-tracking.ts';
import type { NetlinkConnection } from './netlink-connection.ts';

/**
 * Looking through the kernel's table takes a millisecond or more, so several releases share one look, behind
 * their answers.
 */
const COLLECT_MS = 250;

/** See the file's head. */
export class FreedAddresses {
  readonly #netlink: () => NetlinkConnection;
  readonly #log: Logger;
  readonly #pending = new Set<number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(netlink: () => NetlinkConnection, log: Logger) {
    this.#netlink = netlink;
    this.#log = log;
  }

  /** Its connections are forgotten soon, and in any case before {@link claim} answers. */
  add(address: number): void {
    this.#pending.add(address);
    this.#timer ??= setTimeout(() => this.flush(), COLLECT_MS).unref();
  }

  /** Before somebody else gets the address. */
  claim(address: number): void {
    if (this.#pending.has(address)) this.flush();
  }

  /** Forgets what is pending now. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#pending.size === 0) return;
    const addresses = new Set(this.#pending);
    this.#pending.clear();
    this.#attempt(() => forgetConnections(this.#netlink(), addresses));
  }

  /** Forgets the connections an earlier daemon left with addresses that nobody has now. */
  flushStrangers(isStranger: (address: number) => boolean): void {
    this.#attempt(() => forgetListed(this.#netlink(), isStranger));
  }

  #attempt(action: () => void): void {
    try {
      action();
    } catch (error) {
      // A kernel without ctnetlink: the release delay of the addresses is what is left as protection.
      this.#log.warn('connections-not-forgotten', { error });
    }
  }
}
