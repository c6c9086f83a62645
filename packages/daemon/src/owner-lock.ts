/**
 * An flock(2) on a file in which its owner's pid stands, for whoever is refused. The kernel drops it when the
 * owner ends in whatever way.
 */
import fs from 'node:fs';
import { closeDescriptor } from '@warden/native';

/** A held lock. */
export interface OwnerLock {
  /** Idempotent. */
  release(): void;
}

/**
 * What an error says of the owner of a lock that is taken: the end of `… belongs to a running wardend`, and
 * its field.
 */
export function ownerOf(file: string): {
  readonly words: string;
  readonly fields: { readonly pid?: number };
} {
  const owner = fs.readFileSync(file, 'utf8').trim();
  return owner === ''
    ? { words: '', fields: {} }
    : { words: ` (pid ${owner})`, fields: { pid: Number(owner) } };
}

/** Notes this process in a file that it has locked by `descriptor`. */
export function heldByThis(descriptor: number, file: string): OwnerLock {
  note(file, `${process.pid}\n`);
  let held = true;
  return {
    release: () => {
      if (!held) return;
      held = false;
      // emptied, not removed: a removed file could be locked by one daemon while a second one creates and
      // locks its successor
      note(file, '');
      closeDescriptor(descriptor);
    },
  };
}

/** Only for whoever is refused: on a full disk containers and images have to be there to be removed. */
function note(file: string, text: string): void {
  try {
    fs.writeFileSync(file, text);
  } catch {
    // the error tells no pid then
  }
}
