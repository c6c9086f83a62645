/** `warden doctor`: the daemon's program knows its drivers, so this one starts it; no daemon has to run. */
import { spawn } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { type Terminal, write } from './terminal.ts';

/** Runs `wardend doctor` with the words behind `doctor`; gives its exit status, 2 without such a program. */
export async function runDoctor(words: readonly string[], terminal: Terminal): Promise<number> {
  const program = findDaemon(process.argv[1], terminal.env.PATH);
  if (program === undefined) {
    await write(
      terminal.stderr,
      'warden doctor: wardend is neither beside this program nor in PATH; install @warden/daemon\n',
    );
    return 2;
  }
  const child = spawn(program, ['doctor', ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
  for (const [from, to] of [
    [child.stdout, terminal.stdout],
    [child.stderr, terminal.stderr],
  ] as const)
    from.on('data', (chunk: Buffer) => to.write(chunk));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) => resolve(status ?? 1));
  });
}

/** Beside this program, as it was called and as it is installed, then where it is installed, before whatever else is in PATH. */
export function findDaemon(own: string | undefined, searchPath: string | undefined): string | undefined {
  const names = own === undefined ? [] : [own, realPath(own)];
  return [
    ...names.map((name) => path.dirname(name)),
    ...names.flatMap(installedPrograms),
    ...(searchPath ?? '').split(':'),
  ]
    .filter((directory) => path.isAbsolute(directory))
    .map((directory) => path.join(directory, 'wardend'))
    .find((file) => existsSync(file));
}

/** A package manager may have put a script there that starts this program by its place in its package: so `own` does not tell. */
function installedPrograms(own: string): readonly string[] {
  const directory = path.dirname(own);
  const above = directory === own ? [] : installedPrograms(directory);
  return [path.join(directory, 'node_modules/.bin'), ...above];
}

function realPath(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    return file;
  }
}
