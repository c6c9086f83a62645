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

/** Beside this program, as it was called and as it is installed, before whatever else is in PATH. */
export function findDaemon(own: string | undefined, searchPath: string | undefined): string | undefined {
  const beside = own === undefined ? [] : [path.dirname(own), path.dirname(realPath(own))];
  return [...beside, ...(searchPath ?? '').split(':')]
    .filter((directory) => path.isAbsolute(directory))
    .map((directory) => path.join(directory, 'wardend'))
    .find((file) => existsSync(file));
}

function realPath(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    return file;
  }
}
