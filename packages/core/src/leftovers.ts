/**
 * The files of destroyed containers, which nobody has to wait for. A directory is moved aside first, into one that no daemon looks for containers
 * in, so that its name is free and it is never taken for a container again; then it is removed behind the answer. What a killed daemon leaves there, the
 * next one removes.
 */
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '@warden/interface';
import type { CoreFailpoints } from './failpoint-names.ts';
import { nextTurn } from './next-turn.ts';

/** In the depot. The dot hides it from recovery. */
export const REMOVED_DIRECTORY = '.removed';
/** So many may wait to be removed. Beyond that removal comes before the answer, as whoever destroys faster than the disk removes has to wait. */
const MOST_WAITING = 64;
/** A disk may be full of other work for a moment. */
const ATTEMPTS = 5;
const FIRST_WAIT_MS = 50;

/** Options of {@link Leftovers}. */
export interface LeftoversOptions {
  readonly depot: string;
  /** Default: as `fs.rm`, recursively. */
  readonly removeTree?: ((directory: string) => Promise<void>) | undefined;
  readonly logger: Logger;
  readonly failpoints: CoreFailpoints;
}

/** What is removed after the files. */
export interface Rest {
  /** For the log. */
  readonly what: Readonly<Record<string, string>>;
  /** Repeatable. */
  remove(): Promise<void>;
}

/** See the file's head. */
export class Leftovers {
  /** Where they lie. */
  readonly directory: string;
  readonly #removeTree: (directory: string) => Promise<void>;
  readonly #logger: Logger;
  readonly #failpoints: CoreFailpoints;
  readonly #running = new Set<Promise<void>>();
  readonly #end = new AbortController();
  #serial = 0;

  constructor({ depot, removeTree, logger, failpoints }: LeftoversOptions) {
    this.directory = path.join(depot, REMOVED_DIRECTORY);
    this.#removeTree = removeTree ?? ((one) => fs.promises.rm(one, { recursive: true, force: true }));
    this.#logger = logger;
    this.#failpoints = failpoints;
  }

  /** Whether the disk is behind already. */
  get isFull(): boolean {
    return this.#running.size >= MOST_WAITING;
  }

  /** Moves a directory of the depot aside and answers where to; nothing when it is gone. Errors: those of `rename`, and then it is where it was. */
  moveAside(directory: string): string | undefined {
    const name = `${path.basename(directory)}-${process.pid}-${this.#serial++}`;
    const aside = path.join(this.directory, name);
    if (isMoved(directory, aside)) return aside;
    fs.mkdirSync(this.directory, { recursive: true, mode: 0o700 });
    return isMoved(directory, aside) ? aside : undefined;
  }

  /**
   * Removes what was moved aside, if anything was, behind what is being answered, and after it what `rest` removes; each again when it fails. What fails for
   * good is logged and met by the next daemon.
   */
  begin(aside: string | undefined, rest?: Rest | undefined): void {
    const work = this.#work(aside, rest);
    this.#running.add(work);
    void work.then(() => this.#running.delete(work));
  }

  /** What lies there. Errors: those of `readdir`. */
  list(): readonly string[] {
    try {
      return fs.readdirSync(this.directory).map((name) => path.join(this.directory, name));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  }

  /** Removes what an earlier daemon has moved aside, behind what is going on. */
  sweep(): void {
    try {
      for (const aside of this.list()) this.begin(aside);
    } catch (error) {
      this.#logger.warn('removed-not-swept', { directory: this.directory, error });
    }
  }

  /** Removes one now. Errors: those of the removal. */
  async remove(aside: string): Promise<void> {
    await this.#removeTree(aside);
    await this.#failpoints.pass('destroy.filesystem');
  }

  /** Settles when all is gone, or after `patienceMs`: the next daemon finds the rest. Never rejects. */
  async close(patienceMs: number): Promise<void> {
    const late = new AbortController();
    await Promise.race([
      Promise.all(this.#running),
      delay(patienceMs, undefined, { signal: late.signal }).catch(() => {}),
    ]);
    late.abort();
    this.#end.abort();
  }

  async #work(aside: string | undefined, rest: Rest | undefined): Promise<void> {
    await nextTurn(); // behind the answer
    if (aside !== undefined)
      await this.#try({ what: { directory: aside }, remove: () => this.remove(aside) });
    if (rest !== undefined) await this.#try(rest);
  }

  async #try({ what, remove }: Rest): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await remove();
      } catch (error) {
        if (attempt === ATTEMPTS || this.#end.signal.aborted) {
          this.#logger.error('leftover-not-removed', { ...what, error });
          return;
        }
        await delay(FIRST_WAIT_MS * 2 ** attempt);
      }
    }
  }
}

/** False: one of the two is not there. */
function isMoved(from: string, to: string): boolean {
  try {
    fs.renameSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return false;
  }
}
