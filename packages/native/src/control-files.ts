/**
 * Many small files of the kernel's by one call: to open, read and close one from JavaScript takes several
 * times as long as the kernel does.
 */
import { checkPath, checkString } from './argument-checks.ts';
import { callOnThread, native } from './load-library.ts';
import { checked, errnoName } from './native-failure.ts';

/** A file's name below the directory, to be read; with a value, which is not empty, to be written. */
export type ControlOperation = readonly [file: string, value?: string];

/** What came of an operation: what was read, empty for a write, or errno's name. */
export type ControlAnswer = { readonly text: string } | { readonly errno: string };

/** A statistic of the kernel's has some kilobytes, other files a number. */
const ROOM_BYTES = 32 * 1_024;
const RESULT_BYTES = 4;

/** One for all calls that stop this thread. */
const landing = Buffer.allocUnsafeSlow(ROOM_BYTES);

/**
 * Reads and writes files of `directory`, one after the other, and answers for each what came of it: one that
 * fails does not keep the next ones from being tried. Errors: `NATIVE_FAILED` (`EOVERFLOW`: all is longer
 * than 32 KiB together).
 */
export function controlFiles(
  directory: string,
  operations: readonly ControlOperation[],
): readonly ControlAnswer[] {
  const bytes = packed(operations);
  const used = native().warden_control_files(
    checkPath(directory, 'directory'),
    bytes,
    bytes.length,
    landing,
    landing.length,
  );
  return unpacked(landing, checked(Number(used), 'control-files', directory));
}

/** The same on a thread. */
export async function controlFilesOnThread(
  directory: string,
  operations: readonly ControlOperation[],
): Promise<readonly ControlAnswer[]> {
  const bytes = packed(operations);
  const answers = Buffer.allocUnsafeSlow(ROOM_BYTES);
  const path = checkPath(directory, 'directory');
  const used = await callOnThread('warden_control_files', path, bytes, bytes.length, answers, answers.length);
  return unpacked(answers, checked(Number(used), 'control-files', directory));
}

function packed(operations: readonly ControlOperation[]): Buffer {
  const parts: Buffer[] = [];
  for (const [file, value] of operations) {
    if (value === '') throw new TypeError(`the value for ${file} must not be empty`);
    parts.push(checkPath(file, 'file'), checkString(value ?? '', 'value'));
  }
  return Buffer.concat(parts);
}

function unpacked(answers: Buffer, used: number): readonly ControlAnswer[] {
  const all: ControlAnswer[] = [];
  for (let at = 0; at < used; ) {
    const result = answers.readInt32LE(at);
    at += RESULT_BYTES;
    if (result < 0) all.push({ errno: errnoName(-result) });
    else all.push({ text: answers.toString('latin1', at, at + result) });
    at += Math.max(result, 0);
  }
  return all;
}
