/**
 * Who lives, found out by what the kernel has of containers, without asking an init: by their control groups,
 * or, where there are none (drivers.cgroup: none), by their links.
 */
import { type ContainerId, WardenError } from '@warden/interface';
import type { DepotEntry } from './depot-entries.ts';
import { type Engine, groupsById } from './engine.ts';
import type { ContainerRecord } from './record.ts';

/** Containers of this daemon's name that live, but for those in `known`. */
export async function livingStrays(
  engine: Engine,
  known: ReadonlySet<ContainerId>,
): Promise<readonly ContainerId[]> {
  const { cgroup, network } = engine.drivers;
  const isStray = (id: ContainerId): boolean => !known.has(id);
  if (!hasGroups(engine)) return ((await network.linked?.()) ?? []).filter(isStray);
  const living: ContainerId[] = [];
  for (const id of (await cgroup.list()).filter(isStray))
    if ((await cgroup.pids(groupsById(engine, id))).length > 0) living.push(id);
  return living;
}

/** Those of the records whose containers live. */
export async function livingOf(
  engine: Engine,
  records: readonly ContainerRecord[],
): Promise<readonly ContainerRecord[]> {
  const { cgroup, network } = engine.drivers;
  const living: ContainerRecord[] = [];
  const hasOwnGroups = hasGroups(engine);
  let linked: ReadonlySet<ContainerId> | undefined;
  for (const record of records) {
    const groups = record.drivers.cgroup;
    if (hasOwnGroups && Object.keys(groups).length > 0) {
      if ((await cgroup.pids(groups)).length > 0) living.push(record);
      continue;
    }
    linked ??= new Set(await network.linked?.());
    if (linked.has(record.id)) living.push(record);
  }
  return living;
}

/**
 * Before anything is done to anybody: containers of this daemon's name that live and have no directory in the
 * depot are of another one, or the depot's file system is not mounted. They are not to be ended for that.
 * Errors: `ALREADY_EXISTS`.
 */
export async function requireDepotOfLiving(engine: Engine, entries: readonly DepotEntry[]): Promise<void> {
  const living = await livingStrays(engine, new Set(entries.map(({ id }) => id)));
  if (living.length === 0) return;
  const { depot } = engine.options;
  const shown = living.slice(0, 3).join(', ');
  throw new WardenError(
    'ALREADY_EXISTS',
    `containers live that have no directory in the depot ${depot} (${shown}${living.length > 3 ? `, ${living.length} in all` : ''}): they are of another depot. Nothing was done to them; configure server.container_depot_path as it was, mount its file system, or give this daemon another drivers.name. wardend cleanup --all with these settings ends them, and those of this depot`,
    { fields: { operation: 'recover', object: depot, containers: living } },
  );
}

/** A driver that makes none plans none. */
function hasGroups(engine: Engine): boolean {
  return Object.keys(groupsById(engine, '00000000000')).length > 0;
}
