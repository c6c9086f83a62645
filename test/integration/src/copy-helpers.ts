/** The processes of copies, of one daemon only: other tests may run on the same machine. */
import fs from 'node:fs';
import type { TestPlace } from '@warden/test-harness';
import { until } from './until.ts';

/**
 * Pids of a daemon's helpers whose command line has this word. Outside they name files of its place, inside
 * they are in its groups.
 */
export function copyHelpers(place: TestPlace, word = 'warden-copy'): number[] {
  return fs.readdirSync('/proc').flatMap((pid) => {
    if (!/^[0-9]+$/.test(pid)) return [];
    try {
      const line = fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      if (!line.startsWith('warden-copy') || !line.includes(word)) return [];
      const isOurs =
        line.includes(place.directory) || fs.readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes(place.name);
      return isOurs ? [Number(pid)] : [];
    } catch {
      return []; // it ended meanwhile
    }
  });
}

/** Stops the helper of a copy of `object` in the middle of its work, and answers its pid. */
export async function stopCopyHelper(
  place: TestPlace,
  role: 'inside' | 'outside',
  object: string,
): Promise<number> {
  let pid: number | undefined;
  await until(() => {
    const ofRole = copyHelpers(place, role);
    pid = copyHelpers(place, object).find((one) => ofRole.includes(one));
    if (pid === undefined) return false;
    try {
      process.kill(pid, 'SIGSTOP');
      return true;
    } catch {
      return false; // it was on its way to be another process, or out
    }
  });
  return pid!;
}
