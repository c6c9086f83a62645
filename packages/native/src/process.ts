import { readFileSync } from 'node:fs';
import { checkDescriptor, checkPid, checkSignal } from './argument-checks.ts';
import { native } from './load-library.ts';
import { checked, errnoName, nativeFailure } from './native-failure.ts';
import { watchDescriptor } from './watch.ts';

/** The longest delay a timer of Node takes; longer ones would fire at once. */
const MAX_TIMER_MS = 0x7fff_ffff;
const MAX_OPEN_FILES = 0x7fff_ffff;
/** So often a child that has not ended is looked at. */
const REAP_MS = 500;

/** A close-on-exec descriptor for the process, immune to the reuse of its pid. A pid nobody has throws with `ESRCH`. */
export function openPidfd(pid: number): number {
  return checked(native().warden_pidfd_open(checkPid(pid)), 'pidfd-open', `pid ${pid}`);
}

/** Sends `signal` (0 only asks). Answers false when the process is gone and reaped. */
export function signalPidfd(pidfd: number, signal: number): boolean {
  const result = native().warden_pidfd_signal(checkDescriptor(pidfd, 'pidfd'), checkSignal(signal));
  if (result >= 0) return true;
  if (errnoName(-result) === 'ESRCH') return false;
  throw nativeFailure('pidfd-signal', `fd ${pidfd}`, result);
}

/**
 * Takes the end of a child made by `spawnProcess`; undefined while it runs. A process that is not our child,
 * or whose end was taken already, throws with `ECHILD`.
 */
export function reapChild(pid: number): { exitCode: number } | { signal: number } | undefined {
  const result = new Int32Array(2);
  const status = checked(native().warden_reap(checkPid(pid), result), 'waitpid', `pid ${pid}`);
  if (status === 0) return undefined;
  return result[1] === 0 ? { exitCode: result[0]! } : { signal: result[1]! };
}

/**
 * Takes the end of a child now or when it comes, which may be late: not even SIGKILL ends what waits for a file
 * system that does not answer. A process that is somebody else's child, or was reaped, is no failure.
 */
export function reapLater(pid: number): void {
  const isOver = (): boolean => native().warden_reap(pid, new Int32Array(2)) !== 0;
  checkPid(pid);
  if (isOver()) return;
  const timer = setInterval(() => {
    if (isOver()) clearInterval(timer);
  }, REAP_MS);
  timer.unref();
}

/** Waits until the process has ended, reaped or not. Answers false after `timeoutMs`. Leaves `pidfd` open. */
export async function waitForExit(pidfd: number, timeoutMs: number): Promise<boolean> {
  if (typeof timeoutMs !== 'number' || !(timeoutMs >= 0 && timeoutMs <= MAX_TIMER_MS)) {
    throw new TypeError(`timeoutMs must be a number from 0 to ${MAX_TIMER_MS}, not ${String(timeoutMs)}`);
  }
  return await new Promise<boolean>((resolve) => {
    const watch = watchDescriptor(pidfd, { readable: true }, ({ isGuess }) => {
      if (isGuess !== true || hasExited(pidfd)) finish(true);
    });
    let lastLook: NodeJS.Immediate | undefined;
    const timer = setTimeout(() => {
      // it may have ended since long, and this program have been busy: the loop looks once more
      lastLook = setImmediate(() => finish(false));
    }, timeoutMs);
    function finish(ended: boolean): void {
      watch.close();
      clearTimeout(timer);
      clearImmediate(lastLook);
      resolve(ended);
    }
  });
}

/** For a pidfd that cannot be watched: what /proc says. Whatever cannot be read is asked again. */
function hasExited(pidfd: number): boolean {
  try {
    const pid = /^Pid:\t(-?\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${pidfd}`, 'latin1'))?.[1];
    if (pid === '-1') return true; // reaped
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return /^ [ZX]/.test(stat.slice(stat.lastIndexOf(')') + 1));
  } catch {
    return false;
  }
}

/**
 * Raises this process's limits of open files, soft and hard, to `wanted` or as far as it may, and lowers
 * neither. Answers the soft limit in force; only more than the process is allowed is no error.
 */
export function raiseOpenFileLimit(wanted: number): number {
  if (!Number.isInteger(wanted) || wanted < 0 || wanted > MAX_OPEN_FILES) {
    throw new TypeError(`wanted must be an integer from 0 to ${MAX_OPEN_FILES}, not ${String(wanted)}`);
  }
  return checked(native().warden_raise_open_files(wanted), 'setrlimit', 'RLIMIT_NOFILE');
}
