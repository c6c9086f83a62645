/**
 * Removes what a dead daemon has left of a container in the depot. `destroy.ts` is for containers that live
 * and that clients know.
 */
import { type Init, WardenError } from '@warden/interface';
import type { ManagedContainer } from './container.ts';
import type { DepotEntry } from './depot-entries.ts';
import { KILL_TIMEOUT_MS, releaseDrivers, releaseImage, removeDirectory, removeGroupsOf } from './destroy.ts';
import { type Engine, groupsById, returnToPools } from './engine.ts';
import { killInit } from './frozen.ts';

/** Removes a container that is not continued, and gives back what its record names. */
export async function remove(
  engine: Engine,
  container: ManagedContainer,
  init: Init | undefined,
): Promise<void> {
  const { record } = container;
  const { failpoints } = engine;
  if (init === undefined) await requireNotCopied(engine, container);
  await killInit(engine, container, init);
  await engine.drivers.cgroup.killAll(record.drivers.cgroup, KILL_TIMEOUT_MS);
  await failpoints.pass('recover.kill');
  await releaseDrivers(engine, container);
  await failpoints.pass('recover.drivers');
  removeDirectory(container.directory);
  releaseImage(engine, container);
  await failpoints.pass('recover.directory');
  returnToPools(engine, record);
}

/**
 * Groups of another name with somebody in them are those of a container of another daemon, and the directory
 * is a copy of its: what is named in there is not to be killed, nor its link be removed. When only the name
 * was changed, init answers, or nobody lives. Errors: `ALREADY_EXISTS`.
 */
async function requireNotCopied(engine: Engine, { record }: ManagedContainer): Promise<void> {
  const recorded = record.drivers.cgroup;
  const own = groupsById(engine, record.id);
  const isOther = ([key, value]: [string, unknown]): boolean =>
    recorded[key] !== undefined && recorded[key] !== value;
  if (!Object.entries(own).some(isOther)) return;
  const pids = await engine.drivers.cgroup.pids(recorded);
  if (pids.length === 0) return;
  throw new WardenError(
    'ALREADY_EXISTS',
    `its control groups are those of another drivers.name, processes live in there (${pids.slice(0, 3).join(', ')}), and its init does not answer here: the directory is a copy of another daemon's container`,
    {
      fields: {
        ...{ operation: 'recover', object: record.id, pids },
        advice: "remove the directory if it is not needed; its processes are the other container's",
      },
    },
  );
}

/**
 * A container without a record: half made, or robbed of it. What carries its id goes by it, its network with
 * the sweep.
 */
export async function removeUnrecorded(
  engine: Engine,
  { id, directory, uid, network }: Extract<DepotEntry, { kind: 'unrecorded' | 'broken' }>,
  init: Init | undefined,
): Promise<void> {
  const { drivers } = engine;
  await init?.kill();
  await removeGroupsOf(engine, id);
  const rootfs = { id, directory, base: '/' };
  await drivers.filesystem.release(rootfs, drivers.filesystem.plan(rootfs));
  if (uid !== undefined) {
    const quota = { id, directory, uid };
    await drivers.quota.release(quota, drivers.quota.plan(quota));
  }
  removeDirectory(directory);
  if (network !== undefined) engine.pools.networks.release(network);
  if (uid !== undefined) engine.pools.uids.release(uid);
  engine.logger.info('directory-without-record-removed', { id });
}
