/**
 * Memory groups of destroyed containers that are given to the next ones. The end of a memory group makes the kernel go through the lists of every mounted
 * file system (`memcg_reparent_list_lrus`), for milliseconds at a time with a thousand containers; and where a page is still charged, as one of a
 * directory that the file system has not written yet, the group lives on in the kernel.
 *
 * Only who knows all that has been done to a group can make it as a new one: that is this daemon for groups that it has made itself and whose control files
 * no job can reach. What a killed daemon leaves here carries the id of the container that had it last, and goes as everything else does that is left of one.
 */
import fs from 'node:fs';
import { OpenControls, readControl } from '../kernel-file.ts';
import { makeAsNew, readSpent, type Spent } from './memory.ts';

/** More than are destroyed in a moment. Each takes some 100 KB of the kernel's memory. */
const MOST = 32;
/** What a new group has from the one above, where an operator may have changed it since. */
const INHERITED = ['memory.swappiness', 'memory.oom_control', 'cgroup.clone_children', 'notify_on_release'];

interface Spare {
  readonly group: string;
  readonly inherited: string;
}

/** See the file's head. */
export class SpareGroups {
  readonly #above: string;
  readonly #spares: Spare[] = [];
  #inheritance: OpenControls | undefined;

  /** `above` is the group that holds them. */
  constructor(above: string) {
    this.#above = above;
  }

  /** From now on there may be some; the group above is there. Where the kernel does not say all of what they have from it, there are none. */
  open(): void {
    try {
      this.#inheritance ??= new OpenControls(this.#above, INHERITED);
    } catch {
      // each container has a group of its own, as ever
    }
  }

  /** Whether the group waits here for its next container. */
  has(group: string): boolean {
    return this.#spares.some((spare) => spare.group === group);
  }

  /** Keeps a group that has been emptied, as `name`. False: it has to be removed, since it cannot be made as new or there are enough. */
  keep(group: string, name: string): boolean {
    if (this.#inheritance === undefined || this.#spares.length >= MOST) return false;
    try {
      if (!makeAsNew(group)) return false;
      const inherited = INHERITED.map((file) => readControl(group, file)).join('\n');
      if (inherited !== this.#readAbove()) return false;
      fs.renameSync(group, name);
      this.#spares.push({ group: name, inherited });
      return true;
    } catch {
      return false; // whatever it was is met again by the removal
    }
  }

  /**
   * Gives the one that has waited longest to a container, and answers what it has counted so far. `undefined`: one has to be made. Those that turn out to be
   * no longer as new are `rejected`.
   */
  take(group: string, rejected: (spare: string) => void): Spent | undefined {
    for (let spare = this.#spares.shift(); spare !== undefined; spare = this.#spares.shift()) {
      const spent = this.#tryTaking(spare, group);
      if (spent !== undefined) return spent;
      rejected(spare.group);
    }
    return undefined;
  }

  #tryTaking({ group, inherited }: Spare, target: string): Spent | undefined {
    try {
      // somebody may have been put in there meanwhile
      if (inherited !== this.#readAbove() || readControl(group, 'cgroup.procs') !== '') return undefined;
      const spent = readSpent(group);
      if (spent !== undefined) fs.renameSync(group, target);
      return spent;
    } catch {
      return undefined;
    }
  }

  /** From now on there are none any more; answers those that were there. */
  close(): readonly string[] {
    this.#inheritance?.close();
    this.#inheritance = undefined;
    return this.#spares.splice(0).map(({ group }) => group);
  }

  #readAbove(): string | undefined {
    return this.#inheritance && INHERITED.map((file) => this.#inheritance!.read(file)).join('\n');
  }
}
