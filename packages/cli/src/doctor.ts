/**
 * `warden doctor`, `config` and `cleanup`: the daemon's program knows drivers and settings, so this one
 * starts it; no daemon has to run.
 */
import { spawn } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { ShownStream } from './human/shown.ts';
import { EXIT_SIGNAL } from './jobs/exit-code.ts';
import { type Terminal, write } from './terminal.ts';

/** What is meant for the work that this program only shows. */
const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Runs `wardend WORDS`; gives its exit status, 128+n when signal n ended it, 2 without such a program. */
export async function runDaemonProgram(words: readonly string[], terminal: Terminal): Promise<number> {
  const program = findDaemon(process.argv[1], terminal.env.PATH);
  if (program === undefined) {
    await write(
      terminal.stderr,
      `warden ${words[0]}: wardend is neither beside this program nor in PATH; install @warden/daemon\n`,
    );
    return 2;
  }
  const forward = (signal: NodeJS.Signals): void => void child.kill(signal);
  for (const signal of FORWARDED) process.on(signal, forward);
  const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'] });
  for (const name of ['stdout', 'stderr'] as const) {
    const to = terminal[name];
    // it tells names that clients and containers have chosen
    const shown = to.isTTY ? new ShownStream() : undefined;
    child[name].on('data', (chunk: Buffer) => to.write(shown?.take(chunk) ?? chunk));
    child[name].once('end', () => shown && to.write(shown.end()));
  }
  try {
    return await new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (status, signal) => resolve(status ?? EXIT_SIGNAL + os.constants.signals[signal!]));
    });
  } finally {
    for (const signal of FORWARDED) process.removeListener(signal, forward);
  }
}

/**
 * Beside this program, as it was called and as it is installed, then where it is installed, before whatever
 * else is in PATH.
 */
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

/**
 * A package manager may have put a script there that starts this program by its place in its package: so
 * `own` does not tell.
 */
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
