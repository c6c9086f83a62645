/** What to look at when a test failed: printed once, so that the failure's output alone locates the fault. */
import fs from 'node:fs';
import path from 'node:path';
import type { TestPlace } from './daemon.ts';
import { takeInventory } from './leak-audit.ts';

/** Inventory, log tail and each container's own logs as text. Never throws. */
export function forensics(place: TestPlace): string {
  const parts: string[] = [`forensics of ${place.name}`];
  try {
    for (const [category, entries] of takeInventory(place)) {
      if (category.startsWith('mounts of this') || category === 'namespaces') continue;
      parts.push(`${category} (${entries.length}):`, ...entries.slice(0, 40).map((entry) => `  ${entry}`));
    }
    parts.push('log tail:', ...lastLines(place.log, 60));
    for (const id of fs.readdirSync(place.depot)) {
      for (const name of ['run/wshd.err.log', 'run/wshd.out.log', 'etc/fstab', 'snapshot.json']) {
        const file = path.join(place.depot, id, name);
        if (fs.existsSync(file)) parts.push(`${id}/${name}:`, ...lastLines(file, 20));
      }
    }
  } catch (error) {
    parts.push(`(incomplete: ${(error as Error).message})`);
  }
  return parts.join('\n');
}

function lastLines(file: string, count: number): string[] {
  if (!fs.existsSync(file)) return [];
  return fs
    .readFileSync(file, 'utf8')
    .split('\n')
    .slice(-count)
    .map((line) => `  ${line.slice(0, 500)}`);
}
