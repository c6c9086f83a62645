/**
 * Memory groups through their lives: given to a container as new, retired with it, and then kept for the next
 * one, for what is charged to them, or removed.
 */
import fs from 'node:fs';
import type { Failpoints, Logger } from '@warden/interface';
import { errnoOf } from '../kernel-file.ts';
import { throwFirst } from '../settled.ts';
import { CacheGroups } from './cache-groups.ts';
import { CACHE_PREFIX, isCalled, RETIRED_PREFIX, renamed, SPARE_PREFIX } from './group-names.ts';
import { emptyMemory, type Spent } from './memory.ts';
import { SpareGroups } from './spare-groups.ts';

/** What {@link MemoryGroups} needs of its driver. */
export interface MemoryGroupsParts {
  readonly logger: Logger;
  readonly failpoints: Failpoints;
  /** Removes a group in which nobody of the container is left. Nothing there is success. */
  remove(group: string): Promise<void>;
}

/** See the file's head. Groups are named by their directories. */
export class MemoryGroups {
  readonly #parts: MemoryGroupsParts;
  /** For the next containers. */
  readonly #spares = new SpareGroups();
  /** Those that keep what was read from the disk. */
  readonly #caches = new CacheGroups();
  /** Those that were made here, and that nobody else can have changed. */
  readonly #pristine = new Set<string>();
  /** Groups that were kept and are being removed. */
  readonly #discarding = new Set<Promise<void>>();
  /** Those whose removal has failed: tried again at the end. */
  readonly #undiscarded = new Set<string>();
  /** What closes statistics that are open: their descriptors would follow the group to its next container. */
  readonly #open = new Map<string, Set<() => void>>();
  /** Of containers of which only that is left. */
  readonly #retired = new Set<string>();

  constructor(parts: MemoryGroupsParts) {
    this.#parts = parts;
  }

  /** From now on groups may be kept. */
  open(): void {
    this.#spares.open();
    this.#caches.open();
  }

  /**
   * Gives the container a group that another one had, and answers what that has counted so far; `undefined`:
   * the group is to be made. With `mayReturn` nobody else can change it.
   */
  take(group: string, mayReturn: boolean): Spent | undefined {
    if (mayReturn) this.#pristine.add(group);
    return this.#spares.take(group, (spare) => this.#discard(spare));
  }

  /** The group is removed by somebody else, and not as one that was made here. */
  forget(group: string): void {
    this.#pristine.delete(group);
  }

  /**
   * Answers what is to be called when the statistics of the group are no longer open; `close` is called when
   * the container goes before that.
   */
  noteOpen(group: string, close: () => void): () => void {
    this.#open.set(group, (this.#open.get(group) ?? new Set()).add(close));
    return () => {
      const open = this.#open.get(group);
      open?.delete(close);
      if (open?.size === 0) this.#open.delete(group);
    };
  }

  /**
   * Calls it otherwise, or where that cannot be, empties it now. Who is still in another group of the
   * container may be in this one: then `isLeft` is false.
   */
  async retire(group: string, isLeft: boolean): Promise<void> {
    for (const close of [...(this.#open.get(group) ?? [])]) close();
    const isPristine = this.#pristine.delete(group) && isLeft;
    if (isLeft) this.#retired.add(group);
    try {
      const retired = renamed(group, RETIRED_PREFIX);
      fs.renameSync(group, retired);
      if (isPristine) this.#pristine.add(retired);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') await this.empty(group);
    }
  }

  /** Whether everything else of the container went when this group was retired. Tells it once. */
  takeRetired(group: string): boolean {
    return this.#retired.delete(group);
  }

  /**
   * Of a container of this group, what a retirement, here or by a daemon that was killed, has left under
   * other names.
   */
  emptyLeft(group: string): readonly Promise<void>[] {
    const killedDaemons = [SPARE_PREFIX, CACHE_PREFIX]
      .map((prefix) => renamed(group, prefix))
      .filter((name) => !this.isKept(name));
    return [renamed(group, RETIRED_PREFIX), ...killedDaemons].map((name) => this.empty(name));
  }

  /**
   * Removes it, or keeps it for the next container, or for what is charged to it. Nothing there is success.
   * Whoever was in it has left, unless something failed: a dying process would still charge pages.
   */
  async empty(group: string): Promise<void> {
    const isPristine = this.#pristine.delete(group);
    if (!fs.existsSync(group)) return;
    // who releases at once, as a create that failed does, wants nothing left
    const mayBeKept = isPristine && [RETIRED_PREFIX, CACHE_PREFIX].some((prefix) => isCalled(group, prefix));
    if (mayBeKept && (await this.#keep(group))) return;
    if (isCalled(group, RETIRED_PREFIX) && (await this.#keepCache(group, isPristine))) return;
    await emptyMemory(group);
    if (mayBeKept && (await this.#keep(group))) return;
    await this.#parts.remove(group);
  }

  /** Whether the group waits here for its next container, or keeps what was read from the disk. */
  isKept(group: string): boolean {
    return this.#spares.has(group) || this.#caches.has(group);
  }

  /** Removes what is kept. Errors: the first. */
  async close(): Promise<void> {
    const kept = [...this.#spares.close(), ...this.#caches.close()];
    while (this.#discarding.size > 0) await Promise.all(this.#discarding);
    const all = [...kept, ...this.#undiscarded];
    this.#undiscarded.clear();
    throwFirst(await Promise.allSettled(all.map((group) => this.empty(group))));
  }

  async #keepCache(group: string, isPristine: boolean): Promise<boolean> {
    const name = renamed(group, CACHE_PREFIX);
    if (!(await this.#caches.keep(group, name))) return false;
    if (isPristine) this.#pristine.add(name);
    const surplus = this.#caches.takeSurplus().map((one) => this.#discard(one));
    this.#parts.failpoints.passSync('cgroup.keep');
    await Promise.all(surplus);
    return true;
  }

  async #keep(group: string): Promise<boolean> {
    const isKept = await this.#spares.keep(group, renamed(group, SPARE_PREFIX));
    if (isKept) this.#parts.failpoints.passSync('cgroup.keep');
    return isKept;
  }

  /** Never fails. */
  #discard(group: string): Promise<void> {
    const discarding = this.empty(group)
      .catch((error: unknown) => {
        this.#undiscarded.add(group);
        this.#parts.logger.warn('kept-group-not-removed', { group, error });
      })
      .finally(() => this.#discarding.delete(discarding));
    this.#discarding.add(discarding);
    return discarding;
  }
}
