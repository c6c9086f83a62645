// Runs pnpm in the version that package.json names: the one in PATH, else through npm exec.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

export function pnpmCommand() {
  const want = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8')).packageManager;
  const own = spawnSync('pnpm', ['--version'], { cwd: root, encoding: 'utf8' });
  if (own.status === 0 && `pnpm@${own.stdout.trim()}` === want) return { command: 'pnpm', prefix: [] };
  return { command: 'npm', prefix: ['exec', '--yes', '--prefer-offline', `--package=${want}`, '--', 'pnpm'] };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { command, prefix } = pnpmCommand();
  const { status } = spawnSync(command, [...prefix, ...process.argv.slice(2)], { stdio: 'inherit' });
  process.exit(status ?? 1);
}
