// Programs from packages that are fetched, taken apart and not installed.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

/**
 * Has a shell run `script` with `words` in an empty directory, and moves what it makes there as `made` to
 * `directory`, which so is there only when all of it is. Answers why that failed; `undefined`: it did not.
 */
export function fetchPrograms({ directory, script, words, made, env = process.env }) {
  const place = `${directory}.part`;
  fs.rmSync(place, { recursive: true, force: true });
  fs.mkdirSync(place, { recursive: true });
  const { status, stderr } = spawnSync('sh', ['-c', script, 'sh', ...words], {
    cwd: place,
    env,
    encoding: 'utf8',
  });
  if (status === 0) fs.renameSync(path.join(place, made), directory);
  fs.rmSync(place, { recursive: true, force: true });
  return status === 0 ? undefined : stderr.trim();
}
