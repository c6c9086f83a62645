/**
 * Memory groups of destroyed containers that are given to the next ones. The end of a memory group makes the
 * kernel go through the lists of every mounted file system (`memcg_reparent_list_lrus`), for milliseconds at
 * a time with a thousand containers; and where a page is still charged, as one of a directory that the file
 * system has not written yet, the group lives on in the kernel.
 *
 * Only who knows all that has been done to a group can make it as a new one: that is this daemon for groups
 * that it has made itself and whose control files no job can reach. What a killed daemon leaves here carries
 * the id of the container that had it last, and goes as everything else does that is left of one.
 */
import fs from 'node:fs';
import { KeptGroups } from './kept-groups.ts';
import { makeAsNew, type Spent, spentOfSpare } from './memory.ts';

/** More than are destroyed in a moment. Each takes some 100 KB of the kernel's memory. */
const MOST = 32;

/** See the file's head. */
export class SpareGroups extends KeptGroups {
  get #hasRoom(): boolean {
    return this.isOpen && this.groups.length < MOST;
  }

  /**
   * Keeps a group that has been emptied, as `name`. False: it has to be removed, since it cannot be made as
   * new or there are enough.
   */
  async keep(group: string, name: string): Promise<boolean> {
    if (!this.#hasRoom) return false;
    try {
      // others may have been kept meanwhile, or no more be wanted
      if (!(await makeAsNew(group)) || !this.#hasRoom) return false;
      fs.renameSync(group, name);
      this.groups.push(name);
      return true;
    } catch {
      return false; // whatever it was is met again by the removal
    }
  }

  /**
   * Gives the one that has waited longest to a container, and answers what it has counted so far.
   * `undefined`: one has to be made. Those that turn out to be no longer as new are `rejected`.
   */
  take(group: string, rejected: (spare: string) => void): Spent | undefined {
    for (let spare = this.groups.shift(); spare !== undefined; spare = this.groups.shift()) {
      const spent = tryTaking(spare, group);
      if (spent !== undefined) return spent;
      rejected(spare);
    }
    return undefined;
  }
}

/** Somebody may have been put in there meanwhile, or an operator have changed something. */
function tryTaking(spare: string, target: string): Spent | undefined {
  try {
    const spent = spentOfSpare(spare);
    if (spent !== undefined) fs.renameSync(spare, target);
    return spent;
  } catch {
    return undefined;
  }
}
