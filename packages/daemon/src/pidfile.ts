/**
 * The pidfile of spec behaviour.md 12: decimal pid and newline; a live owner is refused, a stale file
 * replaced, removed at a normal end.
 */
import fs from 'node:fs';
import { WardenError } from '@warden/interface';
import { requireWritable } from './writable.ts';

/**
 * Writes `file` and answers the function that removes it. Errors: `ALREADY_EXISTS` naming the live process,
 * `NATIVE_FAILED`.
 */
export function writePidfile(file: string): () => void {
  const owner = readPid(file);
  if (owner !== undefined && owner !== process.pid && isAlive(owner) && !isYounger(owner, file)) {
    throw new WardenError(
      'ALREADY_EXISTS',
      `the pidfile ${file} names the running process ${owner}; stop it or configure another pidfile`,
      {
        fields: { operation: 'write pidfile', object: file, pid: owner },
      },
    );
  }
  const beside = `${file}.${process.pid}`;
  try {
    fs.writeFileSync(beside, `${process.pid}\n`, { mode: 0o644 });
    fs.renameSync(beside, file);
  } catch (cause) {
    fs.rmSync(beside, { force: true });
    throw unwritable(file, cause);
  }
  return () => {
    if (readPid(file) === process.pid) fs.rmSync(file, { force: true });
  };
}

/** Makes sure that a pidfile can be written, whoever it names now. Errors: `NATIVE_FAILED`. */
export function requirePidfilePlace(file: string): void {
  requireWritable(file, unwritable);
}

function unwritable(file: string, cause: unknown): WardenError {
  const { code, message } = cause as NodeJS.ErrnoException;
  return new WardenError(
    'NATIVE_FAILED',
    `cannot write the pidfile ${file}: ${message}; configure another server.pidfile`,
    { cause, fields: { operation: 'write pidfile', object: file, errno: code } },
  );
}

/** The process that a pidfile names; nothing when there is none, or something else in it. */
export function readPid(file: string): number | undefined {
  try {
    const text = fs.readFileSync(file, 'utf8').trim();
    return /^[1-9]\d*$/.test(text) ? Number(text) : undefined;
  } catch {
    return undefined;
  }
}

/** What the kernel counts such times in, for programs. */
const TICK_MS = 10;
/** Boot time is told in whole seconds, and moves with the clock. */
const TOLERANCE_MS = 2_000;

/**
 * Whether a process began when the file had been written: then it cannot be the one that the file is about, and
 * has only got its number, as after a reboot. False where that cannot be told.
 */
export function isYounger(pid: number, file: string): boolean {
  try {
    const { mtimeMs } = fs.statSync(file);
    const [, bootSeconds] = /^btime (\d+)$/m.exec(fs.readFileSync('/proc/stat', 'latin1')) ?? [];
    const ticks = fieldsOf(pid)[19]; // the 22nd of all
    return Number(bootSeconds) * 1_000 + Number(ticks) * TICK_MS > mtimeMs + TOLERANCE_MS;
  } catch {
    return false;
  }
}

/**
 * Whether there is such a process. One that has ended is none any more, even while its parent has not looked
 * after it, which where nobody does, as in many containers, is for ever.
 */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  try {
    return fieldsOf(pid)[0] !== 'Z';
  } catch {
    return true; // no /proc, or not for us
  }
}

/** The fields of the process's stat behind its name, which may hold anything. */
function fieldsOf(pid: number): string[] {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}
