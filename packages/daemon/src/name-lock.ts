/**
 * One daemon per name (`drivers.name`): control groups, links and rules are found by it, and whoever starts removes those that belong to none of its
 * containers. An flock(2) on a file of that name, which the kernel drops when the daemon ends in whatever way.
 */
import fs from 'node:fs';
import path from 'node:path';
import { WardenError } from '@warden/interface';
import { closeDescriptor, lockFile } from '@warden/native';
import type { DepotLock } from './depot-lock.ts';

/** Root's own to write. Others may pass, since a socket for clients may stand there, too. */
const DIRECTORY = '/run/warden';

/** Takes the lock. Errors: `ALREADY_EXISTS` naming the key to change. */
export function lockName(name: string): DepotLock {
  fs.mkdirSync(DIRECTORY, { recursive: true, mode: 0o755 });
  const file = path.join(DIRECTORY, `${name}.lock`);
  for (;;) {
    const descriptor = lockFile(file);
    if (descriptor === undefined) throw taken(name, file);
    if (isStillThere(file, descriptor)) return heldBy(descriptor, file);
    closeDescriptor(descriptor); // its owner has removed it since
  }
}

function isStillThere(file: string, descriptor: number): boolean {
  return fs.statSync(file, { throwIfNoEntry: false })?.ino === fs.fstatSync(descriptor).ino;
}

function heldBy(descriptor: number, file: string): DepotLock {
  let held = true;
  return {
    release: () => {
      if (!held) return;
      held = false;
      fs.rmSync(file, { force: true }); // while it is locked: nobody else can have taken it
      closeDescriptor(descriptor);
    },
  };
}

function taken(name: string, file: string): WardenError {
  return new WardenError(
    'ALREADY_EXISTS',
    `another wardend with the name ${name} is running on this host; stop it or configure another drivers.name`,
    { fields: { operation: 'lock name', object: file, name } },
  );
}
