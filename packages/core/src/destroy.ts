/**
 * Destroy: everything a container owned goes away, in an order in which each step can be repeated (spec
 * behaviour.md 5, linux-container.md 20).
 */
import fs from 'node:fs';
import path from 'node:path';
import { type ContainerId, type ContainerInfo, WardenError } from '@warden/interface';
import type { ManagedContainer } from './container.ts';
import { endCopies } from './copy.ts';
import {
  type Engine,
  groupsById,
  networkSpecOf,
  poolUsage,
  publish,
  returnToPools,
  saveDestruction,
} from './engine.ts';
import { endFileTasks } from './files.ts';
import { killInit } from './frozen.ts';
import { closeStatistics } from './held-statistics.ts';
import { containerInfo } from './info.ts';
import { stopContainer } from './stop.ts';

/**
 * Destroys once for all who ask at the same time; after a failure it can be asked for again. Errors: the
 * first failure.
 */
export function destroyContainer(engine: Engine, container: ManagedContainer): Promise<void> {
  container.destroying ??= destroy(engine, container).catch((error: unknown) => {
    container.destroying = undefined;
    throw error;
  });
  return container.destroying;
}

/** For processes that outlived their init. */
export const KILL_TIMEOUT_MS = 5_000;

async function destroy(engine: Engine, container: ManagedContainer): Promise<void> {
  // where no job is, nobody waits for it
  if (container.jobs.size > 0) container.obituary ??= await lastInfo(engine, container);
  // the intent: what this daemon does not finish, the next one does
  container.record.isDestroying = true;
  saveDestruction(engine, container);
  await engine.failpoints.pass('destroy.record');
  container.giveUpSnapshot?.();
  await stopContainer(engine, container, { kill: false }).catch((error: unknown) => {
    engine.logger.warn('stop-before-destroy-failed', { handle: container.handle, error });
  });
  await engine.failpoints.pass('destroy.stop');
  await container.exclusive(() => tearDown(engine, container));
}

/** Links that wait get this one; it is best effort. */
async function lastInfo(engine: Engine, container: ManagedContainer): Promise<ContainerInfo | undefined> {
  try {
    return await containerInfo(engine, container);
  } catch {
    return undefined;
  }
}

/**
 * Init first, so that nothing writes, forks or sends any more; then what the kernel holds; the directory
 * last, because it has the record that a repetition needs.
 */
async function tearDown(engine: Engine, container: ManagedContainer): Promise<void> {
  const { record } = container;
  const { failpoints } = engine;
  container.outOfMemoryWatch?.close();
  closeStatistics(container);
  await Promise.all([endCopies(container), endFileTasks(container)]);
  await failpoints.pass('destroy.copies');
  await killInit(engine, container, container.init);
  await failpoints.pass('destroy.init');
  // nothing is left in the groups unless init was lost before it could be killed
  await engine.drivers.cgroup.killAll(record.drivers.cgroup, KILL_TIMEOUT_MS);
  await failpoints.pass('destroy.kill');
  for (const job of container.jobs.values()) job.dissolve();
  await failpoints.pass('destroy.jobs');
  await release(engine, container);
  releaseImage(engine, container);
  await failpoints.pass('destroy.directory');
  returnToPools(engine, record);
  container.isDestroyed = true;
  clearTimeout(container.graceTimer); // not before: whoever failed to destroy it may have gone
  engine.totals.destroyed += 1;
  container.references.clear();
  if (engine.containers.get(container.handle) === container) engine.containers.delete(container.handle);
  publish(engine, container, { type: 'destroyed' });
  engine.logger.info('container-destroyed', {
    handle: container.handle,
    id: record.id,
    ...poolUsage(engine),
  });
}

/**
 * Nothing of the container is left that its image could be taken from under: a note of it that stays is
 * removed by the next start of a daemon.
 */
export function releaseImage(
  { options, logger }: Engine,
  { handle, record: { id, image } }: ManagedContainer,
): void {
  if (image === undefined) return;
  try {
    options.images?.release(id);
  } catch (error) {
    logger.error('image-not-released', { handle, id, image: image.image, error });
  }
}

/**
 * Releases all that the container holds. Where files are what is left then, and they count nowhere, nobody
 * waits for their removal, which takes the kernel longer than everything else on a busy disk: the directory
 * is moved aside.
 */
async function release(engine: Engine, container: ManagedContainer): Promise<void> {
  const { drivers, leftovers, logger } = engine;
  const { filesystem, quota } = container.record.drivers;
  const isFree =
    drivers.filesystem.supports.isInDirectory === true && drivers.quota.countsFiles?.(quota) === false;
  const keepsFiles = isFree && !leftovers.isFull;
  await releaseDrivers(engine, container, keepsFiles);
  clearTimeout(container.saveTimer);
  container.saveTimer = undefined;
  if (keepsFiles) {
    // a driver that does not retire has let go of everything by now
    const groups = drivers.cgroup.retire && {
      what: { id: container.record.id },
      remove: () => drivers.cgroup.release(container.record.drivers.cgroup),
    };
    try {
      leftovers.begin(leftovers.moveAside(container.directory), groups);
      return;
    } catch (error) {
      logger.warn('directory-not-moved', { handle: container.handle, directory: container.directory, error });
      await drivers.filesystem.release(container.rootfsSpec, filesystem);
      await groups?.remove();
    }
  }
  removeDirectory(container.directory);
}

/**
 * Lets every driver release what it holds for the container; all are asked, the first failure is thrown.
 * `keepsFiles`: whoever calls removes the directory with all that the file-system driver has in there, and
 * then releases the groups, of which only what others can see goes now.
 */
export async function releaseDrivers(
  engine: Engine,
  container: ManagedContainer,
  keepsFiles = false,
): Promise<void> {
  const { drivers, failpoints } = engine;
  const { drivers: states } = container.record;
  const failures: unknown[] = [];
  const attempt = async (action: () => Promise<void>): Promise<void> => {
    try {
      await action();
    } catch (error) {
      failures.push(error);
    }
  };
  await Promise.all([
    attempt(async () => {
      await drivers.network.release(networkSpecOf(engine, container), states.network);
      await failpoints.pass('destroy.network');
    }),
    attempt(async () => {
      const { cgroup } = drivers;
      await (keepsFiles && cgroup.retire ? cgroup.retire(states.cgroup) : cgroup.release(states.cgroup));
      await failpoints.pass('destroy.cgroup');
    }),
  ]);
  if (!keepsFiles) {
    await attempt(async () => {
      await discardLayer(engine, container);
      await failpoints.pass('destroy.discard');
    });
    await attempt(async () => {
      await drivers.filesystem.release(container.rootfsSpec, states.filesystem);
      await failpoints.pass('destroy.filesystem');
    });
  }
  await attempt(async () => {
    await drivers.quota.release(container.quotaSpec, states.quota);
    await failpoints.pass('destroy.quota');
  });
  if (failures.length > 0) throw failures[0];
}

/** Only to be quick: what it could not throw away is removed file by file, and `release` says what stays. */
async function discardLayer({ drivers, logger }: Engine, container: ManagedContainer): Promise<void> {
  try {
    await drivers.quota.discard?.(container.quotaSpec, container.record.drivers.quota);
  } catch (error) {
    logger.warn('discard-failed', { handle: container.handle, error });
  }
}

/** Errors: `NATIVE_FAILED` naming what cannot be removed. */
export function removeDirectory(directory: string): void {
  try {
    if (!removePlainly(directory))
      fs.rmSync(directory, { recursive: true, force: true, maxRetries: 3, retryDelay: 20 });
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new WardenError('NATIVE_FAILED', `cannot remove ${directory}: ${message}`, {
      cause,
      fields: { operation: 'remove directory', object: directory, errno: code },
    });
  }
}

/**
 * Without a look at each file and an error for each directory, which take as long as the removal. Answers
 * false where something is in the way.
 */
function removePlainly(directory: string): boolean {
  try {
    for (const entry of fs.readdirSync(directory, { withFileTypes: true })) {
      const inside = path.join(directory, entry.name);
      if (!entry.isDirectory()) fs.unlinkSync(inside);
      else if (!removePlainly(inside)) return false;
    }
    fs.rmdirSync(directory);
    return true;
  } catch {
    return false;
  }
}

/** Of a container that nothing is recorded of: ends who is in its groups, and removes them. Idempotent. */
export async function removeGroupsOf(engine: Engine, id: ContainerId): Promise<void> {
  const { cgroup } = engine.drivers;
  const state = groupsById(engine, id);
  await cgroup.killAll(state, KILL_TIMEOUT_MS);
  await cgroup.release(state);
}
