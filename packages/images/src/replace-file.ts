/** A file that is replaced as a whole: its name stands for the old content or the new one, on the disk as well. */
import fs from 'node:fs';
import path from 'node:path';
import { isWardenError } from '@warden/interface';
import { syncDirectory } from '@warden/native';
import { fileFailure } from './failure.ts';

/** Writes beside, to the disk, and renames. Errors: `NATIVE_FAILED`. */
export function replaceFile(file: string, text: string, before: () => void = () => {}): void {
  const beside = `${file}.new`;
  try {
    const descriptor = fs.openSync(beside, 'w', 0o600);
    try {
      fs.writeFileSync(descriptor, text);
      fs.fdatasyncSync(descriptor);
    } finally {
      fs.closeSync(descriptor);
    }
    before();
    fs.renameSync(beside, file);
    syncDirectory(path.dirname(file));
  } catch (cause) {
    fs.rmSync(beside, { force: true });
    throw isWardenError(cause) ? cause : fileFailure('write', file, cause);
  }
}
