/**
 * The guard that no test can pass by: whatever starts a daemon or a container does it in a network namespace
 * whose only way out is a second namespace made by the test. `npm test` runs the whole suite inside a fresh
 * namespace; this checks that it did.
 */
import fs from 'node:fs';

/** Why this process may not start daemons or containers; `undefined` when it may. */
export function isolationProblem(): string | undefined {
  if (process.getuid?.() !== 0) return 'root';
  // The truth about reach is the interface list: a namespace that has only loopback and our own links has no way out.
  const foreign = interfaces().filter((name) => name !== 'lo' && !/^(wt-|w-)/.test(name));
  if (foreign.length > 0)
    return `a network namespace of its own, by npm test (this one has ${foreign.join(', ')})`;
  for (const kind of ['net', 'mnt']) {
    if (!differsFromAnAncestor(kind)) return `a private ${kind} namespace, by npm test`;
  }
  return undefined;
}

/** Throws unless {@link isolationProblem} finds nothing. Called by everything in this package that starts something. */
export function assertIsolated(): void {
  const problem = isolationProblem();
  if (problem !== undefined)
    throw new Error(`refusing to start a daemon or container: this needs ${problem}`);
}

/** Interfaces of this process's network namespace. (sysfs would show those of the namespace that mounted it.) */
function interfaces(): string[] {
  return fs
    .readFileSync('/proc/self/net/dev', 'utf8')
    .split('\n')
    .slice(2)
    .map((line) => line.split(':')[0]!.trim())
    .filter((name) => name !== '');
}

/**
 * Whether some ancestor is in another namespace, that is: somebody above unshared on the way to here. In a
 * container that may be process 1. The machine's first process cannot be asked where it holds more
 * capabilities than we do, so the chain ends at the last readable one.
 */
function differsFromAnAncestor(kind: string): boolean {
  const own = fs.readlinkSync(`/proc/self/ns/${kind}`);
  for (let pid = process.ppid; pid > 0; pid = parentOf(pid)) {
    try {
      if (fs.readlinkSync(`/proc/${pid}/ns/${kind}`) !== own) return true;
    } catch {
      return false;
    }
  }
  return false;
}

function parentOf(pid: number): number {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
}
