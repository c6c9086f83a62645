/**
 * Processes that somebody has put into one group of a container and not into the others. They were never part
 * of it: they are moved away, so that the group can go, and live on.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { Logger } from '@warden/interface';
import { processesOf } from './kernel-file.ts';

/**
 * Moves whoever lives in `group` to the top of its hierarchy. Never throws: what stays is met when the group
 * cannot be removed.
 */
export function moveStrangers(mount: string, group: string, logger: Logger): void {
  for (const pid of processesOf(group)) {
    const command = livingCommand(pid);
    if (command === undefined) continue; // on its way out, by itself
    try {
      fs.writeFileSync(path.join(mount, 'cgroup.procs'), String(pid));
      logger.warn('stranger-moved', { pid, command, group });
    } catch (error) {
      logger.warn('stranger-not-moved', { pid, command, group, error });
    }
  }
}

/** Its name; nothing for one that is dead or gone. */
function livingCommand(pid: number): string | undefined {
  try {
    const [, command, state] = /^\d+ \((.*)\) (\S)/s.exec(fs.readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? [];
    return state === 'Z' || state === 'X' ? undefined : command;
  } catch {
    return undefined;
  }
}
