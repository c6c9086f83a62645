/** The processes of copies, of one daemon only: other tests may run on the same machine. */
import fs from 'node:fs';
import type { TestPlace } from '@warden/test-harness';

/** Pids of a daemon's helpers whose command line has this word. Outside they name files of its place, inside they are in its groups. */
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
