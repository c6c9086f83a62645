/** Where a driver tries what it is to do. */
import fs from 'node:fs';
import path from 'node:path';
import { removeTree } from './remove-tree.ts';

/**
 * Makes an empty directory in `depot`, which is the caller's alone, and removes first what starts that were
 * killed have left of this name. The caller removes it. Errors: those of `node:fs`.
 */
export async function makeTrial(depot: string, prefix: string): Promise<string> {
  for (const name of fs.readdirSync(depot)) {
    if (name.startsWith(prefix)) await removeTree(path.join(depot, name));
  }
  return fs.mkdtempSync(path.join(depot, prefix));
}
