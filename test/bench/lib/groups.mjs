import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** Removes the parent groups a daemon of that name has left empty, in every hierarchy. */
export async function removeGroups(name) {
  for (const line of fs.readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    if (!/ - cgroup2? /.test(line)) continue;
    const parent = path.join(line.split(' ')[4], name);
    for (let attempt = 0; fs.existsSync(parent); attempt++) {
      try {
        fs.rmdirSync(parent);
      } catch (error) {
        if (attempt > 100) throw error; // a group inside is still on its way out
        await delay(20);
      }
    }
  }
}
