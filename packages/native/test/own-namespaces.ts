import { readFileSync, readlinkSync } from 'node:fs';

/** Tells whether an ancestor lives in another namespace of this kind: then ours was made for this run. */
function differsFromAncestor(kind: 'mnt' | 'net'): boolean {
  const own = readlinkSync(`/proc/self/ns/${kind}`);
  try {
    for (let pid = process.ppid; pid > 0; pid = parentOf(pid)) {
      if (readlinkSync(`/proc/${pid}/ns/${kind}`) !== own) return true;
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
 * True when this process is root in a mount and a network namespace made for it: tests that mount or
 * configure links run only there.
 */
export const inOwnNamespaces: boolean =
  process.getuid?.() === 0 && differsFromAncestor('mnt') && differsFromAncestor('net');

if (!inOwnNamespaces) {
  console.warn(
    'mount and netlink tests need root and namespaces of their own: unshare --net --mount --propagation private -- npx vitest run',
  );
}
