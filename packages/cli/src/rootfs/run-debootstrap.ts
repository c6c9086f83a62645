/** One run of debootstrap in namespaces of its own. */
import { spawn } from 'node:child_process';
import readline from 'node:readline';
import type { Readable } from 'node:stream';
import { WardenError } from '@warden/interface';
import type { BuildPlan } from './plan.ts';
import { isRecord, type Notice, type ProgressView, ReportReader } from './progress.ts';

/** Bytes of debootstrap's own output that are kept for a failure's report. */
const LOG_TAIL = 4000;

/**
 * Private mount and process namespaces: what debootstrap mounts never shows on the host, and whatever it
 * started ends with it. `setpriv` ties the whole to this program's life, so not even `kill -9` leaves a build running.
 */
const ISOLATION = [
  ...['setpriv', '--pdeathsig', 'KILL', '--'],
  ...[
    'unshare',
    '--mount',
    '--propagation',
    'private',
    '--pid',
    '--fork',
    '--kill-child',
    '--mount-proc',
    '--',
  ],
];

/** Everything a run needs. */
export interface DebootstrapRun extends BuildPlan {
  readonly program: string;
  /** Exists and is empty. */
  readonly directory: string;
}

/** Builds; the minimal set of packages, never from an archive whose signature cannot be checked. */
export async function runDebootstrap(
  run: DebootstrapRun,
  view: ProgressView,
  signal: AbortSignal,
): Promise<void> {
  const [command, ...words] = [...ISOLATION, run.program, ...debootstrapWords(run)];
  const child = spawn(command!, words, {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    env: { ...run.environment },
    cwd: '/',
    // Ctrl-C reaches this program alone; it ends the build in its own order.
    detached: true,
  });
  const notices: Notice[] = [];
  const reader = new ReportReader(
    (step) => view.step(step),
    (notice) => {
      notices.push(notice);
      if (notice.level === 'warning') view.notice(notice);
    },
  );
  readline.createInterface({ input: child.stdio[3] as Readable }).on('line', (line) => reader.take(line));
  // What it refuses before it has looked at its words comes the same way on stdout.
  const early = new ReportReader(
    () => undefined,
    (notice) => notices.push(notice),
  );
  readline.createInterface({ input: child.stdout! }).on('line', (line) => early.take(line));
  let log = '';
  for (const stream of [child.stdout!, child.stderr!])
    stream.on('data', (chunk: Buffer) => {
      log = (log + chunk.toString()).slice(-LOG_TAIL);
    });
  const end = (): void => void child.kill('SIGKILL');
  signal.addEventListener('abort', end, { once: true });
  try {
    // `close` comes after the last process that holds the pipes is gone: nothing writes to the draft any more.
    const status = await new Promise<number | string>((resolve, reject) => {
      child.on('error', (cause) => reject(cannotStart(command!, cause)));
      child.on('close', (code, killedBy) => resolve(code ?? killedBy ?? 'unknown'));
      if (signal.aborted) end();
    });
    if (status !== 0) throw failed(run, status, notices, log);
  } finally {
    signal.removeEventListener('abort', end);
  }
}

function debootstrapWords(run: DebootstrapRun): string[] {
  return [
    '--debian-installer',
    '--variant=minbase',
    '--force-check-gpg',
    ...(run.include.length > 0 ? [`--include=${run.include.join(',')}`] : []),
    ...(run.keyring === undefined ? [] : [`--keyring=${run.keyring}`]),
    run.suite,
    run.directory,
    ...(run.mirror === undefined ? [] : [run.mirror]),
  ];
}

function cannotStart(program: string, cause: NodeJS.ErrnoException): WardenError {
  return new WardenError(
    'UNSUPPORTED',
    `${program} cannot be started (${cause.code}); it belongs to the package util-linux`,
    {
      cause,
      fields: { operation: 'spawn', object: program, errno: cause.code ?? 'unknown' },
    },
  );
}

function failed(
  { suite }: DebootstrapRun,
  status: number | string,
  notices: readonly Notice[],
  log: string,
): WardenError {
  const errors = notices.filter((notice) => notice.level === 'error');
  if (errors.some(({ name }) => name === 'NOSCRIPT'))
    return new WardenError('INVALID_SPEC', `rootfs build: debootstrap knows no release '${suite}'`, {
      fields: {
        operation: 'debootstrap',
        object: suite,
        status,
        advice: 'give --suite with a name of /usr/share/debootstrap/scripts, as bookworm or trixie',
      },
    });
  const reasons = errors.map((notice) => notice.text);
  // its records stand among its lines where it has refused its words, and are told already
  const lines = log.split('\n').filter((line) => !isRecord(line));
  const tail = lines.join('\n').trimEnd().split('\n').slice(-10).join('\n');
  const text = reasons.length > 0 ? reasons.join('; ') : 'no reason given';
  return new WardenError(
    'COMMAND_FAILED',
    `debootstrap ended with ${status}: ${text}${tail === '' ? '' : `\n${tail}`}`,
    {
      fields: { operation: 'debootstrap', status },
    },
  );
}
