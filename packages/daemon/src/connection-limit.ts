/** How many clients the daemon may have: their sockets must leave descriptors for the containers' pipes and sockets. */
import fs from 'node:fs';

/** The configured number, or half of the open files if that is less. */
export function connectionLimit(configured: number, openFiles: number): number {
  return Math.max(1, Math.min(configured, Math.floor(openFiles / 2)));
}

/** The soft limit of open files; Node has raised it to the hard one at its start. */
export function readOpenFileLimit(): number {
  const text = fs.readFileSync('/proc/self/limits', 'utf8');
  const soft = /^Max open files\s+(\d+|unlimited)/m.exec(text)?.[1];
  return soft === undefined || soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft);
}
