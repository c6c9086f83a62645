/** Whether a file could be written, without writing it. */
import fs from 'node:fs';
import path from 'node:path';
import type { WardenError } from '@warden/interface';

/**
 * Errors: what `explain` makes of those of opening it for writing, made if it is not there. The file is as it
 * was, or still not there.
 */
export function requireWritable(file: string, explain: (file: string, cause: unknown) => WardenError): void {
  try {
    look(file);
  } catch (cause) {
    throw explain(file, cause);
  }
}

function look(file: string): void {
  const facts = fs.statSync(file, { throwIfNoEntry: false });
  if (facts?.isDirectory()) throw failure('EISDIR', 'illegal operation on a directory', file);
  if (facts !== undefined) {
    fs.accessSync(file, fs.constants.W_OK);
    return;
  }
  const directory = path.dirname(file);
  if (fs.statSync(directory, { throwIfNoEntry: false })?.isDirectory() === false)
    throw failure('ENOTDIR', 'not a directory', file);
  fs.accessSync(directory, fs.constants.W_OK | fs.constants.X_OK);
}

/** In the form of those that Node makes. */
function failure(code: string, means: string, file: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: ${means}, open '${file}'`), { code, path: file });
}
