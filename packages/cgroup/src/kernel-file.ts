/** Control files: tiny, in memory, answered by the kernel at once, so synchronous calls are the fast ones. */
import fs from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { type ProcessCount, WardenError } from '@warden/interface';

const write = promisify(fs.write) as (descriptor: number, text: string) => Promise<unknown>;

/** So many decimal digits a number holds exactly. */
const EXACT_DIGITS = 15;

/** errno's name of a failed call on a file; empty when it is something else. */
export function errnoOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? '';
}

/**
 * An error that names file, operation and errno. `text` replaces the beginning of the message where the
 * original's is contract.
 */
export function fileError(
  operation: string,
  object: string,
  cause: unknown,
  text = `cannot ${operation}`,
): WardenError {
  return new WardenError('NATIVE_FAILED', `${text}: ${object}: ${(cause as Error).message}`, {
    cause,
    fields: { operation, object, errno: errnoOf(cause) },
  });
}

/** The content without its final line end. Errors: those of `fs`. */
export function readControl(group: string, file: string): string {
  return fs.readFileSync(path.join(group, file), 'utf8').trimEnd();
}

/** Statistics fit into it; one for all, since reading is synchronous. */
const landing = Buffer.allocUnsafeSlow(16_384);

/**
 * Control files that are read again and again, or soon and then at once: to open and close one takes twice as
 * long as to read it.
 */
export class OpenControls {
  readonly #group: string;
  readonly #descriptors = new Map<string, number>();

  /** Errors: those of `fs`. */
  constructor(group: string, files: readonly string[]) {
    this.#group = group;
    try {
      for (const file of files) this.#descriptors.set(file, fs.openSync(path.join(group, file), 'r'));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** As {@link readControl}. */
  read(file: string): string {
    const descriptor = this.#descriptors.get(file);
    const length =
      descriptor === undefined ? landing.length : fs.readSync(descriptor, landing, 0, landing.length, 0);
    // closed, or longer than any is today
    if (length === landing.length) return readControl(this.#group, file);
    return landing.toString('latin1', 0, length).trimEnd();
  }

  /** Idempotent. */
  close(): void {
    for (const descriptor of this.#descriptors.values()) fs.closeSync(descriptor);
    this.#descriptors.clear();
  }
}

/** Writes values, one after the other. Errors: those of `fs`, with the kernel's errno. */
export function writeControl(group: string, file: string, ...values: readonly (string | bigint)[]): void {
  const descriptor = fs.openSync(path.join(group, file), fs.constants.O_WRONLY);
  try {
    for (const value of values) fs.writeSync(descriptor, String(value));
  } finally {
    fs.closeSync(descriptor);
  }
}

/** Lines `key value` as numbers; others are left out. */
export function parseKeyed(text: string): Map<string, bigint> {
  const values = new Map<string, bigint>();
  for (const line of text.split('\n')) {
    const at = line.indexOf(' ');
    const value = line.slice(at + 1);
    if (at > 0 && isDigits(value)) values.set(line.slice(0, at), numberOf(value));
  }
  return values;
}

/** As {@link parseKeyed}, of the keys that are wanted, and as an object. */
export function pickKeyed(text: string, wanted: ReadonlySet<string>): Record<string, bigint> {
  const values: Record<string, bigint> = {};
  for (let at = 0, end: number; at < text.length; at = end + 1) {
    end = text.indexOf('\n', at);
    if (end < 0) end = text.length;
    const space = text.indexOf(' ', at);
    if (space <= at || space >= end) continue;
    const key = text.slice(at, space);
    if (!wanted.has(key)) continue;
    const value = text.slice(space + 1, end);
    if (isDigits(value)) values[key] = numberOf(value);
  }
  return values;
}

function isDigits(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    const digit = text.charCodeAt(at);
    if (digit < 0x30 || digit > 0x39) return false;
  }
  return text.length > 0;
}

/** By way of a number where that is exact: half the time. */
function numberOf(digits: string): bigint {
  return BigInt(digits.length <= EXACT_DIGITS ? Number(digits) : digits);
}

/**
 * {@link writeControl} without stopping the daemon, for values whose writing makes the kernel reclaim memory:
 * hundreds of milliseconds.
 */
export async function writeControlSlowly(group: string, file: string, value: string | bigint): Promise<void> {
  const descriptor = fs.openSync(path.join(group, file), fs.constants.O_WRONLY);
  try {
    await write(descriptor, String(value));
  } finally {
    fs.closeSync(descriptor);
  }
}

/** What the pids controller counts and allows. Errors: `NATIVE_FAILED`. */
export function readProcessCount(group: string): ProcessCount {
  try {
    const limit = readControl(group, 'pids.max');
    return {
      used: Number(readControl(group, 'pids.current')),
      limit: limit === 'max' ? undefined : Number(limit),
    };
  } catch (cause) {
    throw fileError('count processes', group, cause);
  }
}

/** Makes a group and answers true; an existing one is success, too, and false. */
export function makeGroup(group: string): boolean {
  try {
    fs.mkdirSync(group, { mode: 0o755 });
    return true;
  } catch (cause) {
    if (errnoOf(cause) === 'EEXIST') return false;
    throw fileError('make cgroup', group, cause);
  }
}

/** The groups directly inside; none when the group does not exist. */
export function innerGroups(group: string): string[] {
  try {
    // a directory of this file system has a link from itself, one from outside, and one from each directory inside
    if (fs.statSync(group).nlink === 2) return [];
    return fs
      .readdirSync(group, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => path.join(group, entry.name));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw fileError('list cgroups', group, error);
  }
}

/** Processes of a group and of all inside, each once; a group that does not exist has none. */
export function processesOf(group: string): number[] {
  const pids = new Set<number>();
  const visit = (one: string): void => {
    for (const inner of innerGroups(one)) visit(inner);
    try {
      // 0 is somebody outside our pid namespace, and kill(2) of 0 would be our own process group
      for (const line of readControl(one, 'cgroup.procs').split('\n'))
        if (Number(line) > 0) pids.add(Number(line));
    } catch (error) {
      if (!['ENOENT', 'ENODEV'].includes(errnoOf(error))) throw fileError('list processes', one, error);
    }
  };
  visit(group);
  return [...pids].sort((a, b) => a - b);
}

/** SIGKILL; one that has ended is success. */
export function killProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (cause) {
    if (errnoOf(cause) !== 'ESRCH') throw fileError('kill', String(pid), cause);
  }
}
