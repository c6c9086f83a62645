/** The kernel refuses a system call of a process that runs, by strace(1). */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect } from 'vitest';

/** Which call fails, and how. */
export interface CallFault {
  readonly call: string;
  readonly error: string;
  /** Which of them, as in the words of strace(1). Default: the first. */
  readonly when?: string;
}

/** Runs `action` while the first thread of a process gets `error` of such a call. */
export async function whileFailing<T>(
  pid: number,
  { call, error, when = '1' }: CallFault,
  action: () => Promise<T>,
): Promise<T> {
  const words = [
    '-e',
    `trace=${call}`,
    '-e',
    `inject=${call}:error=${error}:when=${when}`,
    '-o',
    '/dev/null',
  ];
  const tracer = spawn('strace', [...words, '-p', String(pid)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = once(tracer, 'exit');
  try {
    let said = '';
    for await (const data of tracer.stderr.iterator({ destroyOnReturn: false })) {
      said += data;
      if (said.includes('attached')) break;
    }
    expect(said).toContain('attached');
    tracer.stderr.resume();
    return await action();
  } finally {
    tracer.kill('SIGINT'); // it lets go of the process
    await ended;
  }
}
