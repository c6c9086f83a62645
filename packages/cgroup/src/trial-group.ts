/** The group that a probe makes, and removes again. */
import fs from 'node:fs';
import path from 'node:path';
import { removeGroup } from './remove-group.ts';

/**
 * Its path in a hierarchy. What processes that are gone have left of this name is removed first; those of
 * living ones may be in use. Errors: `NATIVE_FAILED`; those of `node:fs`.
 */
export async function trialGroup(mount: string, prefix: string): Promise<string> {
  const start = `${prefix}-probe-`;
  for (const name of fs.readdirSync(mount)) {
    if (!name.startsWith(start) || !/^\d+$/.test(name.slice(start.length))) continue;
    if (!fs.existsSync(`/proc/${name.slice(start.length)}`)) await removeGroup(path.join(mount, name));
  }
  return path.join(mount, `${start}${process.pid}`);
}
