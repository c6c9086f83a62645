/** Containers that were made while control groups were switched off have none, whatever this host has now. */
import { type DriverState, WardenError } from '@warden/interface';

export function hasGroup({ group }: DriverState): boolean {
  return typeof group === 'string';
}

/** What the state calls the group. Errors: `UNSUPPORTED` where there is none. */
export function groupOf(state: DriverState): string {
  if (hasGroup(state)) return String(state.group);
  throw new WardenError(
    'UNSUPPORTED',
    'the container was made without control groups (drivers.cgroup: none), and has no limits and statistics',
    { fields: { operation: 'find cgroup' } },
  );
}
