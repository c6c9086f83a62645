import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { binariesDirectory } from '../src/skeleton.ts';

/** Why containers may not be started here, in words; `undefined` when they may. */
export function obstacle(): string | undefined {
  if (process.getuid?.() !== 0) return 'root';
  if (!differsFromAncestor('mnt') || !differsFromAncestor('net')) {
    return 'namespaces of its own: unshare --net --mount --propagation private -- npx vitest run';
  }
  const wshd = join(binariesDirectory(undefined), 'wshd');
  return existsSync(wshd) ? undefined : `${wshd}: npm run build:native`;
}

/** An ancestor in another namespace proves that ours was made for this run. */
function differsFromAncestor(kind: 'mnt' | 'net'): boolean {
  const own = readlinkSync(`/proc/self/ns/${kind}`);
  try {
    for (let pid = process.ppid; pid > 0; pid = parentOf(pid)) {
      if (readlinkSync(`/proc/${pid}/ns/${kind}`) !== own) return true;
    }
  } catch {
    // an ancestor that may not be inspected proves nothing
  }
  return false;
}

function parentOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0);
}
