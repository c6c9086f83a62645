/**
 * One daemon per directory of images, which may lie outside its depot: whoever starts forgets the notes of
 * all containers but its own, and layers that its index does not have. An flock(2) on `<images.path>/.lock`.
 */
import fs from 'node:fs';
import path from 'node:path';
import { WardenError } from '@warden/interface';
import { lockFile } from '@warden/native';
import { heldByThis, type OwnerLock, ownerOf } from './owner-lock.ts';

/** Of one daemon: taken at its start, or, where there are no images yet, when the first comes. */
export interface ImagesLock {
  /** Does nothing when it is taken. Errors: as {@link lockImages}. */
  take(): void;
  /** Idempotent. */
  release(): void;
}

/** Not taken yet. */
export function imagesLock(directory: string): ImagesLock {
  let lock: OwnerLock | undefined;
  return {
    take: () => {
      lock ??= lockImages(directory);
    },
    release: () => lock?.release(),
  };
}

/**
 * Makes the directory if need be, for root alone, and takes the lock. Errors: `ALREADY_EXISTS` naming the key
 * to change and, when known, the owner's pid; `INVALID_SPEC`: the directory cannot be made or written to.
 */
export function lockImages(directory: string): OwnerLock {
  const file = path.join(directory, '.lock');
  const descriptor = tryLock(directory, file);
  if (descriptor !== undefined) return heldByThis(descriptor, file);
  const owner = ownerOf(file);
  throw new WardenError(
    'ALREADY_EXISTS',
    `the images in ${directory} belong to a running wardend${owner.words}; stop it or configure another images.path`,
    { fields: { operation: 'lock images', object: directory, ...owner.fields } },
  );
}

function tryLock(directory: string, file: string): number | undefined {
  try {
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
    return lockFile(file);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new WardenError(
      'INVALID_SPEC',
      `the directory of images cannot be used: ${message}; make ${directory} one that can be written to, or configure another images.path`,
      { cause, fields: { operation: 'lock images', object: directory, errno: code } },
    );
  }
}
