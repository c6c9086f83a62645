/** One daemon per depot: an flock(2) on `<depot>/.lock`. */
import path from 'node:path';
import { WardenError } from '@warden/interface';
import { lockFile } from '@warden/native';
import { heldByThis, type OwnerLock, ownerOf } from './owner-lock.ts';

/** Takes the lock. Errors: `ALREADY_EXISTS` naming depot and, when known, the owner's pid. */
export function lockDepot(depot: string): OwnerLock {
  const file = path.join(depot, '.lock');
  const descriptor = lockFile(file);
  if (descriptor !== undefined) return heldByThis(descriptor, file);
  const owner = ownerOf(file);
  throw new WardenError(
    'ALREADY_EXISTS',
    `the depot ${depot} belongs to a running wardend${owner.words}; stop it or configure another container_depot_path`,
    { fields: { operation: 'lock depot', object: depot, ...owner.fields } },
  );
}
