/**
 * Memory groups of destroyed containers to which the pages of files are charged that are still there: of the
 * image, above all, whose programs a container was the first to run. On v1 a page is charged to the group
 * that was the first to read it (kernel: cgroup-v1/memory.rst 2.3), and the group can only be removed for
 * good by giving it back: the next container would read the same program from the disk again, be charged for
 * it, and take it along once more. So such a group stays, with nobody inside. What the kernel needs elsewhere
 * it takes from there as from any other file's pages, and what is left goes with the group when others have
 * come behind it. Which of the pages somebody else will read cannot be known: blocks of directories that are
 * gone, and not written yet, are charged like these, and go that way, too.
 */
import fs from 'node:fs';
import { KeptGroups } from './kept-groups.ts';
import { holdsFiles, shrinkMemory } from './memory.ts';

/**
 * Each takes some 100 KB of the kernel's memory. Where containers read what only they read, what all of them
 * share is read from the disk again once in so many lives.
 */
const MOST = 16;
/**
 * So much stays in each. The end of a daemon, and the start of one behind a daemon that was killed, wait for
 * all of them: the kernel took 0.2 s for 230 MB of files of 8 KiB, 7 ms for 1 GiB of one file.
 */
const MOST_BYTES = 256n << 20n;

/** See the file's head. */
export class CacheGroups extends KeptGroups {
  /** Keeps a group in which nobody is left, as `name`. False: nothing is charged to it that is worth that. */
  async keep(group: string, name: string): Promise<boolean> {
    try {
      if (!this.isOpen || !(await holdsFiles(group))) return false;
      await shrinkMemory(group, MOST_BYTES);
      if (!this.isOpen) return false;
      fs.renameSync(group, name);
      this.groups.push(name);
      return true;
    } catch {
      return false; // whatever it was is met again by the removal
    }
  }

  /** Gives up those that have been here longest, when there are too many. */
  takeSurplus(): readonly string[] {
    return this.groups.splice(0, Math.max(0, this.groups.length - MOST));
  }
}
