/** Network and mount namespaces held open by a process that ends with this one. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { assertIsolated } from './isolation.ts';
import { patience } from './patience.ts';

/** A pair of namespaces and how to run something in them. */
export interface Namespace {
  readonly pid: number;
  /** Words to put before a command so that it runs inside; the command keeps the pid of the process started. */
  enter(command: readonly string[]): string[];
  /** Runs to the end and answers standard output. Throws with standard error on a non-zero status. */
  run(...command: string[]): string;
  /** Runs the words of each line as a command of `ip`, by one process for all of them. Throws as `run` does. */
  ip(...lines: readonly string[]): void;
  /** Runs to the end; answers the exit status and both outputs. */
  try(command: readonly string[], input?: string): { status: number; stdout: string; stderr: string };
  close(): Promise<void>;
}

/** Makes fresh network and mount namespaces with loopback up. They vanish when closed or when this process ends. */
export async function makeNamespace(): Promise<Namespace> {
  assertIsolated();
  // cat ends at the end of its input: the namespaces cannot outlive this process, however it dies
  const holder = spawn(
    'unshare',
    [
      '--net',
      '--mount',
      '--propagation',
      'private',
      '--',
      'sh',
      '-c',
      'ip link set lo up && echo ready && exec cat >/dev/null',
    ],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  );
  await firstLine(holder);
  const pid = holder.pid!;
  const enter = (command: readonly string[]): string[] => [
    'nsenter',
    `--net=/proc/${pid}/ns/net`,
    `--mount=/proc/${pid}/ns/mnt`,
    '--',
    ...command,
  ];
  const attempt = (
    command: readonly string[],
    input?: string,
  ): { status: number; stdout: string; stderr: string } => {
    const [program, ...args] = enter(command);
    const result = spawnSync(program!, args, {
      encoding: 'utf8',
      timeout: patience(30_000),
      ...(input === undefined ? {} : { input }),
    });
    return {
      status: result.status ?? 255,
      stdout: result.stdout ?? '',
      stderr: `${result.stderr ?? ''}${result.error?.message ?? ''}`,
    };
  };
  const succeed = (command: readonly string[], input?: string): string => {
    const result = attempt(command, input);
    if (result.status !== 0)
      throw new Error(`${command.join(' ')} ended with ${result.status}: ${result.stderr}${input ?? ''}`);
    return result.stdout;
  };
  return {
    pid,
    enter,
    try: attempt,
    run: (...command) => succeed(command),
    ip: (...lines) => {
      succeed(['ip', '-batch', '-'], lines.map((line) => `${line}\n`).join(''));
    },
    close: async () => {
      if (holder.exitCode !== null || holder.signalCode !== null) return;
      const gone = once(holder, 'exit');
      holder.stdin!.end();
      await gone;
    },
  };
}

async function firstLine(child: ChildProcess): Promise<void> {
  const failed = once(child, 'exit').then(() => {
    throw new Error('a namespace could not be made');
  });
  await Promise.race([once(child.stdout!, 'data'), failed]);
  failed.catch(() => {});
}
