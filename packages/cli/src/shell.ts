/** `shell`: an interactive session in a container of this host. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { WardenClient } from '@warden/client';
import { WardenError } from '@warden/interface';
import { MessageType } from '@warden/protocol';
import type { ExecuteContext } from './execute.ts';
import type { Message } from './parse-flags.ts';

/** Signals that end the session: the operator's shell is told, and ends the terminal's raw mode. */
const FORWARDED = ['SIGTERM', 'SIGHUP'] as const;
/** Signals that the terminal sends to everybody in the foreground: they are the session's business alone. */
const LEFT_TO_SESSION = ['SIGINT', 'SIGQUIT'] as const;

/**
 * Opens a shell in the container over a terminal of its own (pipes, where stdin is no terminal) and waits for
 * its end; gives its exit status. The daemon only says where the container is; the session goes on without it.
 *
 * Errors: `UNSUPPORTED` (not root, not on the daemon's host, a backend without init), those of the client.
 */
export async function openShell(
  client: WardenClient,
  message: Message,
  context: ExecuteContext,
  signal?: AbortSignal,
): Promise<number> {
  if (process.getuid?.() !== 0)
    throw new WardenError('UNSUPPORTED', 'shell needs root: it enters the container past the daemon');
  const info = await client.request(MessageType.Info, { handle: message.handle }, signal);
  const words = sessionWords(
    (info as { container_path?: string }).container_path,
    message.privileged === true,
  );
  const takeBack = context.lendTerminal?.();
  try {
    return await runSession(words);
  } finally {
    takeBack?.();
  }
}

function sessionWords(directory: string | undefined, isPrivileged: boolean): readonly [string, ...string[]] {
  const program = path.join(directory ?? '', 'bin/wsh');
  const socket = path.join(directory ?? '', 'run/wshd.sock');
  for (const needed of [program, socket]) {
    if (directory === undefined || !existsSync(needed)) {
      throw new WardenError(
        'UNSUPPORTED',
        `no shell into this container from here: ${needed} does not exist; run it on the daemon's host`,
        { fields: { operation: 'shell', object: needed } },
      );
    }
  }
  return [program, '--socket', socket, '--user', isPrivileged ? 'root' : 'vcap'];
}

async function runSession([program, ...words]: readonly [string, ...string[]]): Promise<number> {
  const ignore = (): void => undefined;
  const forward = (signal: NodeJS.Signals): void => void child.kill(signal);
  // before the session begins: what it says may bring a signal at once
  for (const signal of LEFT_TO_SESSION) process.on(signal, ignore);
  for (const signal of FORWARDED) process.on(signal, forward);
  const child = spawn(program, words, { stdio: 'inherit' });
  try {
    return await new Promise<number>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (status, signal) => {
        if (signal !== null) repairTerminal();
        resolve(status ?? 128 + os.constants.signals[signal!]);
      });
    });
  } finally {
    for (const signal of LEFT_TO_SESSION) process.removeListener(signal, ignore);
    for (const signal of FORWARDED) process.removeListener(signal, forward);
  }
}

/** The session restores the terminal itself, unless it was killed by a signal that cannot be caught. */
function repairTerminal(): void {
  if (process.stdin.isTTY) spawnSync('stty', ['sane'], { stdio: ['inherit', 'ignore', 'ignore'] });
}
