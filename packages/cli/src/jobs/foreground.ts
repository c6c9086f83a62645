/** A job in the foreground: its output here, what is typed there, until it ends or is left. */
import { setTimeout as delay } from 'node:timers/promises';
import type { ClientJob } from '@warden/client';
import { isWardenError, type JobEnd, type TerminalSize } from '@warden/interface';
import { OutputWriter } from '../human/output-writer.ts';
import type { Terminal } from '../terminal.ts';
import { DetachScanner } from './detach-keys.ts';
import { StartWatch } from './exit-code.ts';

/** So long leaving a terminal waits at most for the job to take what was typed before. */
const LEAVE_WITHIN_MS = 500;

/** How a job is followed. */
export interface ForegroundOptions {
  /** `pipe`: this program's input is the job's. `terminal`: the same key by key, the terminal is the job's. */
  readonly input: 'none' | 'pipe' | 'terminal';
  /** Keys that leave a terminal. */
  readonly detachKeys?: Uint8Array;
  /** Output goes to a terminal as it is. */
  readonly isRaw?: boolean;
  /** What was to be started, to tell a program that printed nothing from one that could not be started. */
  readonly program?: string | undefined;
  readonly timeoutMs?: number | undefined;
}

/** How it ended; `undefined`: it was left. */
export interface ForegroundEnd {
  readonly end: JobEnd | undefined;
  readonly start: StartWatch | undefined;
}

/** Size of the terminal that output goes to. */
export function terminalSize({ stdout }: Terminal): TerminalSize {
  const { rows = 24, columns = 80 } = stdout as { readonly rows?: number; readonly columns?: number };
  // a terminal without a window tells 0
  return { rows: rows || 24, columns: columns || 80 };
}

/** Follows a job to its end. Whatever happens, the terminal is as it was. */
export async function runForeground(
  job: ClientJob,
  terminal: Terminal,
  options: ForegroundOptions,
): Promise<ForegroundEnd> {
  const left = new AbortController();
  const timer =
    options.timeoutMs === undefined
      ? undefined
      : setTimeout(() => void job.kill({ reason: 'timeout' }).catch(() => undefined), options.timeoutMs);
  const start = options.program === undefined ? undefined : new StartWatch(options.program);
  const input = openInput(job, terminal, options, () => left.abort());
  try {
    return { end: await showOutput(job, terminal, { ...options, signal: left.signal, start }), start };
  } catch (error) {
    if (left.signal.aborted && isWardenError(error, 'ABORTED')) return { end: undefined, start };
    throw error;
  } finally {
    clearTimeout(timer);
    input.close();
  }
}

interface ShowOptions extends ForegroundOptions {
  readonly signal: AbortSignal;
  readonly start: StartWatch | undefined;
}

/** Writes all output; a terminal gets it with its orders made visible, unless it belongs to the job. */
async function showOutput(job: ClientJob, terminal: Terminal, options: ShowOptions): Promise<JobEnd> {
  const isOwn = options.input === 'terminal' || options.isRaw === true;
  const writer = new OutputWriter(terminal, isOwn);
  const chunks = job.stream({ signal: options.signal });
  for (;;) {
    const step = await chunks.next();
    if (step.done) {
      await writer.end();
      return step.value;
    }
    const { stream, data } = step.value;
    options.start?.take(data);
    await writer.write(stream, data);
  }
}

interface OpenInput {
  close(): void;
}

function openInput(
  job: ClientJob,
  terminal: Terminal,
  options: ForegroundOptions,
  leave: () => void,
): OpenInput {
  if (options.input === 'none') return { close: () => undefined };
  return options.input === 'pipe' ? pipeInput(job, terminal) : typeInput(job, terminal, options, leave);
}

/** A job that ended, or reads no more, needs no input; a lost connection is told by the output. */
function pipeInput(job: ClientJob, { stdin }: Terminal): OpenInput {
  const gone = new AbortController();
  job.writeAll(stdin as AsyncIterable<Uint8Array>, { signal: gone.signal }).catch(() => undefined);
  return {
    close: () => {
      gone.abort();
      stdin.destroy();
    },
  };
}

type RawInput = Terminal['stdin'] & { setRawMode?(isRaw: boolean): unknown };

/** Keys one by one, and the size whenever it changes. */
function typeInput(
  job: ClientJob,
  terminal: Terminal,
  { detachKeys = new Uint8Array() }: ForegroundOptions,
  leave: () => void,
): OpenInput {
  const stdin = terminal.stdin as RawInput;
  const scanner = new DetachScanner(detachKeys);
  // one write at a time keeps their order; what fails because the job has ended is of no interest
  let writes: Promise<void> = Promise.resolve();
  const send = (action: () => Promise<void>): void => {
    writes = writes.then(action).catch(() => undefined);
  };
  const onData = (typed: Uint8Array): void => {
    const { passed, isComplete } = scanner.take(typed);
    if (passed.length > 0) send(() => job.write(passed));
    if (!isComplete) return;
    stdin.removeListener('data', onData);
    stdin.pause();
    // what was typed before the keys is the job's, but one that reads nothing holds nobody
    void Promise.race([writes, delay(LEAVE_WITHIN_MS, undefined, { ref: false })]).then(leave);
  };
  const onEnd = (): void => send(() => job.endInput());
  const onResize = (): void => send(() => job.resize(terminalSize(terminal)));
  stdin.setRawMode?.(true);
  stdin.on('data', onData);
  stdin.on('end', onEnd);
  terminal.stdout.on('resize', onResize);
  stdin.resume();
  return {
    close: () => {
      stdin.removeListener('data', onData);
      stdin.removeListener('end', onEnd);
      terminal.stdout.removeListener('resize', onResize);
      stdin.setRawMode?.(false);
      stdin.pause();
    },
  };
}
