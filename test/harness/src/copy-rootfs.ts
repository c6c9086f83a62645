import { execFileSync } from 'node:child_process';
import fs from 'node:fs';

/**
 * Copies a root file system with modes, owners and links into a directory, which is made with its parents
 * where it is missing. Not by `fs.cpSync`: that of Node 22 gives directories the modes of the umask, so that
 * /tmp is nobody's but root's.
 */
export function copyRootfs(from: string, to: string): void {
  fs.mkdirSync(to, { recursive: true });
  execFileSync('cp', ['--archive', '--no-target-directory', from, to]);
}
