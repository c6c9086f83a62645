// Every package as a release packs it: `node scripts/pack-packages.mjs DIRECTORY`. One at a time in a
// checkout: while it is packed, `@warden/wshd` has a copy of skeleton/, which another one would remove.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const [destination, ...rest] = process.argv.slice(2);
if (destination === undefined || rest.length > 0) {
  process.stderr.write('usage: node scripts/pack-packages.mjs DIRECTORY\n');
  process.exit(2);
}
const pnpm = [process.execPath, path.join(root, 'scripts/pnpm.mjs')];
const words = ['--recursive', '--filter', './packages/*', 'pack', '--pack-destination'];
const { status, error } = spawnSync(
  'flock',
  [path.join(root, 'packages/wshd'), ...pnpm, ...words, path.resolve(destination)],
  { cwd: root, stdio: 'inherit' },
);
if (error) process.stderr.write(`cannot run flock (util-linux): ${error.message}\n`);
process.exit(status ?? 1);
