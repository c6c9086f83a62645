/** One daemon per depot: an flock(2) on `<depot>/.lock`, which the kernel drops when the daemon ends in whatever way. */
import fs from 'node:fs';
import path from 'node:path';
import { WardenError } from '@warden/interface';
import { closeDescriptor, lockFile } from '@warden/native';

/** A held lock. */
export interface DepotLock {
  /** Idempotent. */
  release(): void;
}

/** Takes the lock. Errors: `ALREADY_EXISTS` naming depot and, when known, the owner's pid. */
export function lockDepot(depot: string): DepotLock {
  const file = path.join(depot, '.lock');
  const descriptor = lockFile(file);
  if (descriptor === undefined) {
    const owner = fs.readFileSync(file, 'utf8').trim();
    throw new WardenError(
      'ALREADY_EXISTS',
      `the depot ${depot} belongs to a running wardend${owner === '' ? '' : ` (pid ${owner})`}; stop it or configure another container_depot_path`,
      {
        fields: { operation: 'lock depot', object: depot, ...(owner === '' ? {} : { pid: Number(owner) }) },
      },
    );
  }
  fs.writeFileSync(file, `${process.pid}\n`);
  let held = true;
  return {
    release: () => {
      if (!held) return;
      held = false;
      // emptied, not removed: a removed file could be locked by one daemon while a second one creates and locks its successor
      fs.writeFileSync(file, '');
      closeDescriptor(descriptor);
    },
  };
}
