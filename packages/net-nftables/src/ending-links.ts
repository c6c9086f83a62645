/**
 * Links of containers that have been released: one normally goes with its namespace, and where that outlives
 * the container it is deleted after a while.
 */
import type { ContainerId, Logger } from '@warden/interface';
import { linkRemoval, linkSearch } from './container-link.ts';
import type { PatientConnection } from './netlink-connection.ts';
import type { Link } from './rtnetlink.ts';
import { mayBeLink } from './sysctl.ts';

/** How long the kernel is given to end a dead namespace before its link is deleted explicitly. */
const GRACE_MS = 5_000;
/** Those that are due within this time are looked for together. */
const LOOK_MS = 500;

interface Ending {
  readonly link: Link;
  /** Time of `performance.now()` from which on it is looked for. */
  readonly due: number;
  isLookedFor: boolean;
}

/** See the file's head. */
export class EndingLinks {
  readonly #patient: () => PatientConnection;
  readonly #log: Logger;
  /** The oldest first. */
  readonly #ending = new Map<ContainerId, Ending>();
  /**
   * For all of them together: as many timers as containers that have ended would keep a daemon busy that has
   * nothing else to do.
   */
  #timer: NodeJS.Timeout | undefined;

  /** `patient` is for what waits for the lock around all links. */
  constructor(patient: () => PatientConnection, log: Logger) {
    this.#patient = patient;
    this.#log = log;
  }

  /** Whether this link of the container is awaited; its number tells it from a new one of the same id. */
  has(id: ContainerId, { index }: Link): boolean {
    return this.#ending.get(id)?.link.index === index;
  }

  add(id: ContainerId, link: Link): void {
    this.#ending.delete(id); // behind the others
    this.#ending.set(id, { link, due: performance.now() + GRACE_MS, isLookedFor: false });
    this.#timer ??= this.#lookIn(GRACE_MS);
  }

  /** Leaves those that have not gone to the next sweep. */
  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#ending.clear();
  }

  #lookIn(wait: number): NodeJS.Timeout {
    return setTimeout(() => this.#look(), wait).unref();
  }

  #look(): void {
    this.#timer = undefined;
    const now = performance.now();
    for (const [id, ending] of this.#ending) {
      if (ending.isLookedFor) continue;
      if (ending.due > now) {
        this.#timer = this.#lookIn(Math.max(ending.due - now, LOOK_MS));
        return;
      }
      ending.isLookedFor = true;
      void this.#end(id, ending.link);
    }
  }

  /** On a thread: even the search waits for the lock around all links, which the ends of other namespaces hold. */
  async #end(id: ContainerId, link: Link): Promise<void> {
    try {
      const found = mayBeLink(link.name) ? await this.#patient().carryOut(linkSearch(link.name)) : undefined;
      if (found?.index === link.index && this.has(id, link))
        await this.#patient().carryOut(linkRemoval(found));
    } catch (error) {
      if (this.has(id, link)) this.#log.warn('link-remains', { id, error });
    }
    if (this.has(id, link)) this.#ending.delete(id);
  }
}
