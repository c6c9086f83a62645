/**
 * Containers that somebody has frozen, by the freezer of their control group: no signal reaches what is in
 * there, not even SIGKILL on v1.
 */
import { type Init, WardenError } from '@warden/interface';
import type { ManagedContainer } from './container.ts';
import type { DepotEntry } from './depot-entries.ts';
import { type Engine, groupsById } from './engine.ts';
import type { ContainerRecord } from './record.ts';

/** Lets it go on, so that it can end. Never throws: what cannot be thawed is met when it does not end. */
export async function thaw(engine: Engine, { record, handle }: ManagedContainer): Promise<void> {
  const { cgroup } = engine.drivers;
  if (!cgroup.supports.freezer) return;
  const state = record.drivers.cgroup;
  try {
    if (!(await cgroup.isFrozen(state))) return;
    engine.logger.warn('frozen-container-thawed', { handle });
    await cgroup.thaw(state);
  } catch (error) {
    engine.logger.debug?.('not-thawed', { handle, error });
  }
}

/** Kills init, and with it everything in the container, also where it is frozen. Errors: `TIMEOUT`. */
export async function killInit(
  engine: Engine,
  container: ManagedContainer,
  init: Init | undefined,
): Promise<void> {
  if (init === undefined) return;
  await thaw(engine, container);
  await init.kill();
}

/**
 * Whether its processes stand still, as far as the record says: for a pause, or held for a snapshot. After a
 * reboot there is neither a process nor a group.
 */
export async function standsStill(engine: Engine, record: ContainerRecord): Promise<boolean> {
  const { cgroup } = engine.drivers;
  if (!(record.isPaused || record.isHeld === true) || !cgroup.supports.freezer) return false;
  return (await cgroup.pids(record.drivers.cgroup)).length > 0;
}

/**
 * An init that stands still answers nobody: what an earlier daemon has paused, or held for a snapshot, goes
 * on until it is known; recovery pauses it again. What has no record goes on as well, to its end; what has one
 * that nobody can read is left as it stands. Errors: `BAD_STATE` for that; those of connecting.
 */
export async function connectRecovered(engine: Engine, entry: DepotEntry): Promise<Init | undefined> {
  const { cgroup, init } = engine.drivers;
  if (entry.kind === 'recorded') {
    const { record } = entry;
    if (await standsStill(engine, record)) await cgroup.thaw(record.drivers.cgroup);
    record.isHeld = false;
  } else if (await isFrozen(engine, entry)) {
    if (entry.kind !== 'unrecorded')
      throw new WardenError('BAD_STATE', 'its processes stand still, and no record says why', {
        fields: { operation: 'connect', object: entry.id },
      });
    await cgroup.thaw(groupsById(engine, entry.id));
  }
  return init.connect(entry.directory);
}

/** Whether its processes stand still, whatever is recorded of it. */
export async function isFrozen(engine: Engine, { id }: DepotEntry): Promise<boolean> {
  const { cgroup } = engine.drivers;
  const groups = groupsById(engine, id);
  return cgroup.supports.freezer && (await cgroup.pids(groups)).length > 0 && (await cgroup.isFrozen(groups));
}
