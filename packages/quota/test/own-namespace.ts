import { readFileSync, readlinkSync } from 'node:fs';

/** Tells whether an ancestor lives in another mount namespace: then ours was made for this run. */
function differsFromAncestor(): boolean {
  const own = readlinkSync('/proc/self/ns/mnt');
  try {
    for (let pid = process.ppid; pid > 0; pid = parentOf(pid)) {
      if (readlinkSync(`/proc/${pid}/ns/mnt`) !== own) return true;
    }
  } catch {
    return false; // an ancestor that may not be inspected: nothing is proven
  }
  return false;
}

function parentOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0);
}

/**
 * True when this process is root in a mount namespace made for it: tests that mount run
 * only there.
 */
export const inOwnNamespace: boolean = process.getuid?.() === 0 && differsFromAncestor();

if (!inOwnNamespace) {
  console.warn(
    'mount tests need root and a mount namespace of their own: unshare --mount --propagation private -- npx vitest run',
  );
}
