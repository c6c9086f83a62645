/** What a depot's path must be. */
import { WardenError } from '@warden/interface';

/** `<depot>/<id>/run/wshd.sock` and longer ones must fit into a socket address (spec linux-container.md 2). */
const MAX_DEPOT_BYTES = 60;

/** The path is absolute, with symlinks resolved. Errors: `INVALID_SPEC`. */
export function requireShortDepot(depot: string): void {
  if (Buffer.byteLength(depot) <= MAX_DEPOT_BYTES) return;
  throw new WardenError(
    'INVALID_SPEC',
    `container_depot_path is longer than ${MAX_DEPOT_BYTES} bytes: ${depot}; configure another server.container_depot_path`,
    { fields: { operation: 'open depot', object: depot } },
  );
}
