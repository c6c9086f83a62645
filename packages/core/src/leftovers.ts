/**
 * The files of destroyed containers, which nobody has to wait for. A directory is moved aside first, into one
 * that no daemon looks for containers in, so that its name is free and it is never taken for a container
 * again; then it is removed behind the answer. What a killed daemon leaves there, the next one removes.
 *
 * Of some of them nothing but what all containers have is left, and the next container begins with that:
 * directories are what takes a file system longest to make and to remove.
 */
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '@warden/interface';
import type { CoreFailpoints } from './failpoint-names.ts';
import { nextTurn } from './next-turn.ts';

/** In the depot. The dot hides it from recovery. */
export const REMOVED_DIRECTORY = '.removed';
/**
 * In the depot: what the next containers begin with. It does not outlive its daemon, since the next one's
 * skeleton may be another.
 */
export const SPARE_DIRECTORY = '.spare';
/** As many as are created at a time, usually. */
const MOST_SPARE = 8;
/**
 * So many may wait to be removed. Beyond that removal comes before the answer, as whoever destroys faster
 * than the disk removes has to wait.
 */
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

/**
 * Empties a directory but for what all containers have, and moves it to `target`. False: it is not like
 * others, and it is still where it was.
 */
export type StripTree = (directory: string, target: string) => Promise<boolean>;

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
  readonly #spareDirectory: string;
  readonly #spares: string[] = [];
  #strip: StripTree | undefined;
  /** Spares that there are or will be. */
  #spareCount = 0;
  #isClosing = false;
  #serial = 0;

  constructor({ depot, removeTree, logger, failpoints }: LeftoversOptions) {
    this.directory = path.join(depot, REMOVED_DIRECTORY);
    this.#spareDirectory = path.join(depot, SPARE_DIRECTORY);
    this.#removeTree = removeTree ?? ((one) => fs.promises.rm(one, { recursive: true, force: true }));
    this.#logger = logger;
    this.#failpoints = failpoints;
  }

  /** Whether the disk is behind already. */
  get isFull(): boolean {
    return this.#running.size >= MOST_WAITING;
  }

  /**
   * Moves a directory of the depot aside and answers where to; nothing when it is gone. Errors: those of
   * `rename`, and then it is where it was.
   */
  moveAside(directory: string): string | undefined {
    const name = `${path.basename(directory)}-${process.pid}-${this.#serial++}`;
    const aside = path.join(this.directory, name);
    if (isMoved(directory, aside)) return aside;
    fs.mkdirSync(this.directory, { recursive: true, mode: 0o700 });
    return isMoved(directory, aside) ? aside : undefined;
  }

  /**
   * Removes what was moved aside, if anything was, behind what is being answered, and after it what `rest`
   * removes; each again when it fails. What fails for good is logged and met by the next daemon.
   */
  begin(aside: string | undefined, rest?: Rest | undefined): void {
    const work = this.#work(aside, rest);
    this.#running.add(work);
    void work.then(() => this.#running.delete(work));
  }

  /** From now on some are not removed altogether. Errors: those of `mkdir`. */
  spare(strip: StripTree): void {
    fs.mkdirSync(this.#spareDirectory, { recursive: true, mode: 0o700 });
    this.#strip = strip;
  }

  /** Makes `directory` of what is left of another container, if there is such. Errors: those of `rename`. */
  take(directory: string): boolean {
    const spare = this.#spares.pop();
    if (spare === undefined) return false;
    this.#spareCount -= 1;
    return isMoved(spare, directory);
  }

  /** What lies there. Errors: those of `readdir`. */
  list(): readonly string[] {
    return [...entriesOf(this.directory), ...entriesOf(this.#spareDirectory)];
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
    this.#isClosing = true;
    for (const spare of this.#spares.splice(0)) this.begin(spare);
    await Promise.race([
      Promise.all(this.#running),
      delay(patienceMs, undefined, { signal: late.signal }).catch(() => {}),
    ]);
    late.abort();
    this.#end.abort();
  }

  /** As {@link remove}, but that something may be left for the next container. */
  async #removeMost(aside: string): Promise<void> {
    if (this.#strip === undefined || this.#isClosing || this.#spareCount >= MOST_SPARE)
      return await this.remove(aside);
    this.#spareCount += 1; // before it is one, so that there are never more
    const spare = path.join(this.#spareDirectory, path.basename(aside));
    let isSpare = false;
    try {
      isSpare = await this.#strip(aside, spare);
    } finally {
      if (!isSpare) this.#spareCount -= 1;
    }
    if (!isSpare) return await this.remove(aside);
    if (this.#isClosing) return await this.remove(spare);
    await this.#failpoints.pass('destroy.filesystem');
    this.#spares.push(spare);
  }

  async #work(aside: string | undefined, rest: Rest | undefined): Promise<void> {
    await nextTurn(); // behind the answer
    if (aside !== undefined)
      await this.#try({ what: { directory: aside }, remove: () => this.#removeMost(aside) });
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

function entriesOf(directory: string): readonly string[] {
  try {
    return fs.readdirSync(directory).map((name) => path.join(directory, name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
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
