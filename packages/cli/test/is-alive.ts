import fs from 'node:fs';

/** Whether a process runs. One that has ended, and that nobody has waited for yet, does not. */
export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(fs.readFileSync(`/proc/${pid}/status`, 'latin1'));
  } catch {
    return false;
  }
}
