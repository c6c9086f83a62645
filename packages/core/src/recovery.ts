/**
 * What a starting daemon does with the depot (spec behaviour.md 10): living containers are taken over, half-made and dead ones are removed,
 * what cannot be understood while something lives is set aside and reported. Kernel objects nobody claims go last.
 */
import fs from 'node:fs';
import path from 'node:path';
import { type ContainerId, type Init, isContainerId, toWardenError, WardenError } from '@warden/interface';
import { ManagedContainer } from './container.ts';
import { releaseDrivers, removeDirectory } from './destroy.ts';
import { type Engine, networkSpecOf, trySave } from './engine.ts';
import { armGraceTime } from './grace-time.ts';
import { attachInit } from './init-connection.ts';
import { watchOutOfMemory } from './limits.ts';
import { type ContainerRecord, parseRecord, RECORD_FILE } from './record.ts';

/** Set-aside directories keep their id behind this. The dot hides them from every later start. */
const QUARANTINE_PREFIX = '.quarantine-';
/** For what outlived an init. */
const KILL_TIMEOUT_MS = 5_000;

/** Recovers everything. Never throws for a single container; errors of the reconciliation pass through. */
export async function recoverContainers(engine: Engine): Promise<void> {
  const { depot } = engine.options;
  const entries = fs.readdirSync(depot).sort();
  // what was set aside may still live: its addresses are not to be given to anybody else
  for (const entry of entries.filter((name) => isContainerId(idOf(name)))) {
    engine.ids.avoid(idOf(entry));
    const found = readRecord(path.join(depot, entry));
    if (found.kind === 'record') withdraw(engine, found.record);
  }
  for (const id of entries.filter(isContainerId)) {
    try {
      await recoverOne(engine, id);
    } catch (error) {
      engine.logger.error('recovery-failed', { id, error: toWardenError(error) });
      quarantine(engine, id);
    }
  }
  await reconcile(engine);
}

/** The id in a directory's name, set aside or not. */
function idOf(entry: string): string {
  return entry.startsWith(QUARANTINE_PREFIX) ? entry.slice(QUARANTINE_PREFIX.length) : entry;
}

async function recoverOne(engine: Engine, id: ContainerId): Promise<void> {
  const directory = path.join(engine.options.depot, id);
  const found = readRecord(directory);
  const init = await engine.drivers.init.connect(directory);
  if (found.kind === 'record' && found.record.id === id) {
    await recoverRecorded(engine, new ManagedContainer(found.record, directory), init);
  } else if (found.kind === 'absent' && init === undefined) {
    await removeUnrecorded(engine, id, directory);
  } else {
    // somebody lives there, or a record of another version, or a broken one, may stand for somebody's data
    engine.logger.error('record-unreadable', {
      id,
      error: found.kind === 'broken' ? found.error : undefined,
    });
    init?.disconnect();
    quarantine(engine, id);
  }
}

async function recoverRecorded(
  engine: Engine,
  container: ManagedContainer,
  init: Init | undefined,
): Promise<void> {
  const { record } = container;
  const { id, handle } = record;
  if (init === undefined || record.state === 'born') {
    engine.logger.info(record.state === 'born' ? 'half-made-container' : 'dead-container', { id, handle });
    await remove(engine, container, init);
  } else if (engine.containers.has(handle)) {
    init.disconnect();
    throw new WardenError('ALREADY_EXISTS', `another container has the handle ${handle}`, {
      fields: { id, handle },
    });
  } else {
    try {
      await takeOver(engine, container, init);
    } catch (error) {
      // its link or rules are gone: it would be neither reachable nor safe
      engine.logger.error('container-not-continued', { id, handle, error: toWardenError(error) });
      container.outOfMemoryWatch?.close();
      await remove(engine, container, init);
    }
  }
}

type FoundRecord =
  | { readonly kind: 'record'; readonly record: ContainerRecord }
  | { readonly kind: 'absent' }
  | { readonly kind: 'broken'; readonly error: WardenError };

function readRecord(directory: string): FoundRecord {
  try {
    return {
      kind: 'record',
      record: parseRecord(fs.readFileSync(path.join(directory, RECORD_FILE), 'utf8')),
    };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { kind: 'absent' };
    return { kind: 'broken', error: toWardenError(error) };
  }
}

/** Takes what a record names out of the pools. */
function withdraw({ pools }: Engine, record: ContainerRecord): void {
  pools.networks.withdraw(record.network);
  pools.uids.withdraw(record.uid);
  for (const port of record.ports) pools.ports.withdraw(port);
}

/** Removes a container that is not continued, and gives back what its record names. */
async function remove(engine: Engine, container: ManagedContainer, init: Init | undefined): Promise<void> {
  const { record } = container;
  await init?.kill();
  await engine.drivers.cgroup.killAll(record.drivers.cgroup, KILL_TIMEOUT_MS);
  await releaseDrivers(engine, container);
  removeDirectory(container.directory);
  engine.pools.networks.release(record.network);
  engine.pools.uids.release(record.uid);
  for (const port of record.ports) engine.pools.ports.release(port);
}

/** Without a record nothing but the directory was made; what carries its id goes by it. Quotas go by uid, which nobody knows here. */
async function removeUnrecorded(engine: Engine, id: ContainerId, directory: string): Promise<void> {
  const { drivers } = engine;
  await drivers.cgroup.release(drivers.cgroup.plan({ id, allowAllDevices: false, pidsLimit: undefined }));
  const rootfs = { id, directory, base: '/' };
  await drivers.filesystem.release(rootfs, drivers.filesystem.plan(rootfs));
  removeDirectory(directory);
  engine.logger.info('directory-without-record-removed', { id });
}

function quarantine(engine: Engine, id: ContainerId): void {
  const { depot } = engine.options;
  const target = path.join(depot, `${QUARANTINE_PREFIX}${id}`);
  try {
    fs.renameSync(path.join(depot, id), target);
    engine.logger.error('container-quarantined', {
      id,
      directory: target,
      advice: 'look at it, end its init, and remove the directory',
    });
  } catch (error) {
    engine.logger.error('quarantine-failed', { id, error: toWardenError(error) });
  }
}

async function takeOver(engine: Engine, container: ManagedContainer, init: Init): Promise<void> {
  const { drivers } = engine;
  const { record } = container;
  await drivers.network.restore(networkSpecOf(engine, container), record.drivers.network, {
    mappings: record.mappings,
    egress: record.egress,
    ...(record.bandwidth ? { bandwidth: record.bandwidth } : {}),
  });
  await applyLimits(engine, container);
  engine.containers.set(record.handle, container);
  attachInit(engine, container, init);
  trySave(engine, container); // a full disk is no reason to give a living container up
  // last: a kill while no daemon was there stops the container now
  if (record.memoryLimit !== undefined) await watchOutOfMemory(engine, container);
  armGraceTime(engine, container);
  engine.logger.info('container-recovered', {
    id: record.id,
    handle: record.handle,
    jobs: container.jobs.size,
  });
}

/**
 * Puts the recorded limits in force. They are, unless a daemon died in the middle of a change or somebody else has changed them; one that the
 * kernel refuses (memory below what is used) is no reason to end a container.
 */
async function applyLimits(engine: Engine, { record, handle }: ManagedContainer): Promise<void> {
  const { cgroup } = engine.drivers;
  try {
    if (record.cpuShares !== undefined) await cgroup.setCpuShares(record.drivers.cgroup, record.cpuShares);
    if (record.memoryLimit !== undefined)
      await cgroup.setMemoryLimit(record.drivers.cgroup, record.memoryLimit);
  } catch (error) {
    engine.logger.error('limit-not-applied', { handle, error: toWardenError(error) });
  }
}

/** Kernel objects that carry our names but belong to no container: left by a daemon that died between two steps. */
async function reconcile(engine: Engine): Promise<void> {
  const { drivers } = engine;
  const keep = new Set([...engine.containers.values()].map(({ record }) => record.id));
  for (const entry of fs.readdirSync(engine.options.depot)) {
    if (isContainerId(idOf(entry))) keep.add(idOf(entry));
  }
  for (const id of await drivers.network.sweep(keep)) engine.logger.info('network-swept', { id });
  for (const id of await drivers.cgroup.list()) {
    if (keep.has(id)) continue;
    const state = drivers.cgroup.plan({ id, allowAllDevices: false, pidsLimit: undefined });
    await drivers.cgroup.killAll(state, KILL_TIMEOUT_MS);
    await drivers.cgroup.release(state);
    engine.logger.info('cgroup-swept', { id });
  }
}
