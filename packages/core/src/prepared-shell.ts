/**
 * A shell that waits in a container for its script: started behind the second of two scripts that came soon
 * one after the other, so that the third one waits for neither fork, exec nor the shell's own start, which
 * are most of what a short script takes.
 *
 * Only what was run just now is started: no program of a root file system runs before somebody has asked for
 * it, or with rights or limits that nobody has asked for. What init makes of it is told at `Init.prepare`.
 */
import type { ContainerInfo, JobSpec } from '@warden/interface';
import type { ManagedContainer } from './container.ts';
import type { Engine } from './engine.ts';
import { type ManagedJob, runningJobs } from './job.ts';
import { SHELL } from './job-command.ts';

/** Longer ones travel by a descriptor, and are never what was prepared. */
const MOST_INPUT_BYTES = 32_768;
/** What bash reads before anything else that it is asked for, and so before it waits. */
const READ_AT_START = /^(BASH.*|ENV|SHELLOPTS|POSIXLY_CORRECT|POSIX_PEDANTIC|PS4|SECONDS|_)$/;
const NOTHING = new Uint8Array();
/**
 * So much memory is to be left to a container with a limit: what waits there must not be what brings it to
 * its end. A shell takes some hundred KiB of its own, and the kernel as much for it.
 */
const ROOM_BYTES = 16n * 1024n * 1024n;

/** See {@link Habit}. */
const COSTLIER = 4;
const MOST_NEEDED = 64;
const RIGHT_GUESSES = 32;
/** Nobody has this number. */
const NO_JOB = 0;
/** Where the results of more of them wait, they are not looked through each time. */
const MOST_JOBS = 16;

/**
 * Its end takes some milliseconds at most. Where processes that a script has left behind are the reason why
 * there is none, this long is waited in vain.
 */
const END_WITHIN_MS = 50;

/** The last script of a container whose result was taken. */
export interface EndedScript {
  readonly spec: JobSpec;
  /** Milliseconds of a monotonic clock. */
  readonly takenAt: number;
}

/** The spec without its script, when another one may be run the same way. */
export function repeatable(spec: JobSpec): JobSpec | undefined {
  const { argv, stdin, openInput, terminal, discardOutput, environment } = spec;
  const isScript = argv.length === 1 && argv[0] === SHELL && stdin.length <= MOST_INPUT_BYTES;
  if (!isScript || openInput === true || terminal !== undefined || discardOutput) return undefined;
  return Object.keys(environment).some((name) => READ_AT_START.test(name))
    ? undefined
    : { ...spec, stdin: NOTHING };
}

/**
 * Notes that a script like `spec`, or one that can be followed by no other, is about to be started, and
 * answers the milliseconds within which another one is expected behind it; `undefined`: none is, or a memory
 * limit forbids that init starts a shell for it by itself, see {@link prepareShell}.
 */
export function nextExpected(
  { options }: Engine,
  container: ManagedContainer,
  spec: JobSpec | undefined,
): number | undefined {
  const { preparedShellMs = 0 } = options;
  const { init, record } = container;
  if (preparedShellMs <= 0 || init?.prepare === undefined) return undefined;
  container.habit ??= new Habit();
  const isLikely = container.habit.note(behind(container.lastScript, spec, preparedShellMs));
  return isLikely && spec !== undefined && record.memoryLimit === undefined && mayRun(container)
    ? preparedShellMs
    : undefined;
}

/**
 * The result of `job` is being taken, with `info`. Never fails. Where there is a memory limit, it is known
 * now whether there is room for a shell, which is asked for here.
 */
export function prepareShell(
  { options }: Engine,
  container: ManagedContainer,
  job: ManagedJob,
  info: ContainerInfo,
): void {
  const { preparedShellMs = 0 } = options;
  const { repeatable: spec } = job;
  const { init, record, habit } = container;
  if (preparedShellMs <= 0 || job.isScriptNoted) return; // several take one result
  job.isScriptNoted = true;
  container.lastScript = spec && { spec, takenAt: performance.now() };
  if (record.memoryLimit === undefined || init?.prepare === undefined || spec === undefined) return;
  if (habit?.isLikely !== true || !mayRun(container) || !hasRoom(record.memoryLimit, info)) return;
  init.prepare({ ...spec, hasRoom: true }, preparedShellMs);
  container.shellUntil = performance.now() + preparedShellMs;
}

/**
 * How often scripts of a container say the same as the one before. A shell prepared for one that then says
 * something else costs that one a wait: so each such mistake makes the next guess need four times as many in
 * a row, and a number of right ones takes that back.
 */
export class Habit {
  #streak = 0;
  #needed = 1;
  #right = 0;

  /** Another one like the last is likely. */
  get isLikely(): boolean {
    return this.#streak >= this.#needed;
  }

  /** A script begins; answers whether another one like it is likely. */
  note(how: 'same' | 'other' | 'late'): boolean {
    const wasLikely = this.isLikely;
    if (how === 'same') {
      this.#streak += 1;
      if (wasLikely) this.#right += 1;
    } else {
      this.#streak = 0;
    }
    if (how === 'other' && wasLikely) {
      this.#right = 0;
      this.#needed = Math.min(MOST_NEEDED, this.#needed * COSTLIER);
    } else if (this.#right === RIGHT_GUESSES) {
      this.#right = 0;
      this.#needed = Math.max(1, this.#needed / COSTLIER);
    }
    return this.isLikely;
  }
}

/**
 * What a shell that had been prepared behind `last` would be for a script that starts now: for the same, for
 * something else, or not there any more.
 */
function behind(
  last: EndedScript | undefined,
  spec: JobSpec | undefined,
  withinMs: number,
): 'same' | 'other' | 'late' {
  if (last === undefined) return 'late';
  if (performance.now() - last.takenAt > withinMs) return 'late';
  return spec !== undefined && isSame(spec, last.spec) ? 'same' : 'other';
}

/**
 * Ends a shell that may wait there, before something is done that must not meet it. Never fails; costs
 * nothing where none can be.
 */
export async function endPreparedShell(container: ManagedContainer): Promise<void> {
  const { init, shellUntil } = container;
  container.lastScript = undefined; // none is prepared meanwhile, either
  container.shellUntil = undefined;
  if (
    init === undefined ||
    container.isInitLost ||
    shellUntil === undefined ||
    performance.now() > shellUntil
  )
    return;
  try {
    await init.signalJob(NO_JOB, 0, false); // whatever else is asked for ends it
    if (runningJobs(container).length === 0) await init.waitEmpty(END_WITHIN_MS);
  } catch {
    // init has gone, and the shell with it
  }
}

/** It goes on, and no other job is known to run in it; what else there is, init knows. */
function mayRun(container: ManagedContainer): boolean {
  const { state, jobs, stopping, destroying, isInitLost, record } = container;
  return (
    state === 'active' &&
    jobs.size <= MOST_JOBS &&
    runningJobs(container).length === 0 &&
    stopping === undefined &&
    destroying === undefined &&
    !isInitLost &&
    !record.isPaused
  );
}

function isSame(one: JobSpec, other: JobSpec): boolean {
  return (
    one.user === other.user &&
    one.trackTree === other.trackTree &&
    one.isLive === other.isLive &&
    one.directory === other.directory &&
    one.rlimits === other.rlimits && // the usual ones are one list
    JSON.stringify(one.environment) === JSON.stringify(other.environment)
  );
}

/** The rest of what is used can be given back by the kernel. */
function hasRoom(limit: bigint, { memoryStat }: ContainerInfo): boolean {
  if (memoryStat === undefined) return false;
  const { total_inactive_anon = 0n, total_active_anon = 0n, total_unevictable = 0n } = memoryStat;
  return total_inactive_anon + total_active_anon + total_unevictable + ROOM_BYTES <= limit;
}
