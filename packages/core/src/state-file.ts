/**
 * Files of the depot, read at a start: whatever has become of them, a start must neither wait for them nor
 * run out of memory.
 */
import fs from 'node:fs';
import { WardenError } from '@warden/interface';

/** Far above what a container with all its rules, ports and properties comes to. */
const MAX_BYTES = 32 * 1024 * 1024;

/**
 * The text of a file. Errors: those of `open` and `read`; `INVALID_SPEC` for what is no file, or larger than
 * 32 MiB, before anything of it is read.
 */
export function readStateFile(file: string): string {
  // a FIFO would be waited for
  const descriptor = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  try {
    const facts = fs.fstatSync(descriptor);
    if (!facts.isFile()) throw refused(file, 'is no file');
    if (facts.size > MAX_BYTES)
      throw refused(file, `has ${facts.size} bytes, which is more than the ${MAX_BYTES} that a daemon reads`);
    return fs.readFileSync(descriptor, 'utf8');
  } finally {
    fs.closeSync(descriptor);
  }
}

function refused(file: string, what: string): WardenError {
  return new WardenError('INVALID_SPEC', `${file} ${what}: it is damaged, or not this daemon's`, {
    fields: { operation: 'read', object: file },
  });
}
