/**
 * Why an ended job ended, in `jobs/<id>/verdict` of its container's directory, for as long as nobody has taken
 * its result: init knows the status alone, and a later daemon neither who killed it for what, nor what its
 * container had been through by then.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { ExitVerdict } from '@warden/interface';
import { readStateFile } from './state-file.ts';

const FILE = 'verdict';
/** Beside it, of a job that is ended for its time. */
const TIMEOUT_FILE = 'timed-out';

/** Errors: those of the file. */
export function noteVerdict(directory: string, verdict: ExitVerdict): void {
  fs.mkdirSync(directory, { recursive: true, mode: 0o755 });
  const file = path.join(directory, FILE);
  fs.writeFileSync(`${file}.new`, JSON.stringify(verdict), { mode: 0o600 });
  fs.renameSync(`${file}.new`, file);
}

/** What an earlier daemon has noted, if it has. */
export function notedVerdict(directory: string): ExitVerdict | undefined {
  try {
    const noted = JSON.parse(readStateFile(path.join(directory, FILE))) as ExitVerdict;
    return typeof noted.reason === 'string' ? noted : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Notes, before the signal, that the job's time is over: a later daemon may be the first that is told of its
 * end. Errors: those of the file.
 */
export function noteTimeout(directory: string): void {
  fs.mkdirSync(directory, { recursive: true, mode: 0o755 });
  fs.writeFileSync(path.join(directory, TIMEOUT_FILE), '', { mode: 0o600 });
}

/** It was not signalled after all. Errors: those of the file. */
export function dropTimeout(directory: string): void {
  fs.rmSync(path.join(directory, TIMEOUT_FILE), { force: true });
}

/** Whether an earlier daemon has signalled it for its time. */
export function isTimeoutNoted(directory: string): boolean {
  return fs.existsSync(path.join(directory, TIMEOUT_FILE));
}
