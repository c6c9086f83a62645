/** Symbolic links of a root file system, resolved as the kernel resolves them for a process whose root it is. */
import fs from 'node:fs';
import path from 'node:path';

/** The kernel's own limit (path_resolution(7)). */
const MAX_LINKS = 40;

/**
 * The host's path of `inside`, a path in the root file system `root`: absolute links begin at `root`, and
 * `..` does not leave it. `undefined` when it does not exist or the links form a loop.
 */
export function resolveInside(root: string, inside: string): string | undefined {
  const pending = inside.split('/');
  let at = root;
  let links = 0;
  for (let name = pending.shift(); name !== undefined; name = pending.shift()) {
    if (name === '' || name === '.') continue;
    if (name === '..') {
      if (at !== root) at = path.dirname(at);
      continue;
    }
    const next = path.join(at, name);
    const facts = fs.lstatSync(next, { throwIfNoEntry: false });
    if (facts === undefined) return undefined;
    if (!facts.isSymbolicLink()) {
      at = next;
      continue;
    }
    if (++links > MAX_LINKS) return undefined;
    const target = fs.readlinkSync(next);
    if (target.startsWith('/')) at = root;
    pending.unshift(...target.split('/'));
  }
  return at;
}
