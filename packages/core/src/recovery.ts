/**
 * What a starting daemon does with the depot (spec behaviour.md 10): living containers are taken over, half-made and dead ones are removed,
 * what cannot be understood while something lives is set aside and reported. Kernel objects nobody claims go last.
 */
import fs from 'node:fs';
import path from 'node:path';
import { type ContainerId, type Init, isContainerId, toWardenError } from '@warden/interface';
import { ManagedContainer } from './container.ts';
import { releaseDrivers, removeDirectory } from './destroy.ts';
import { type Engine, networkSpecOf, saveRecord } from './engine.ts';
import { armGraceTime } from './grace-time.ts';
import { attachInit } from './init-connection.ts';
import { watchOutOfMemory } from './limits.ts';
import { type ContainerRecord, parseRecord, RECORD_FILE } from './record.ts';

/** Set-aside directories keep their id behind this. The dot hides them from every later start. */
const QUARANTINE_PREFIX = '.quarantine-';

/** Recovers everything. Never throws for a single container; errors of the reconciliation pass through. */
export async function recoverContainers(engine: Engine): Promise<void> {
  const { depot } = engine.options;
  const ids = fs.readdirSync(depot).filter(isContainerId).sort();
  for (const id of ids) {
    engine.ids.avoid(id);
    try {
      await recoverOne(engine, id);
    } catch (error) {
      engine.logger.error('recovery-failed', { id, error: toWardenError(error) });
      quarantine(engine, id);
    }
  }
  await reconcile(engine);
}

async function recoverOne(engine: Engine, id: ContainerId): Promise<void> {
  const directory = path.join(engine.options.depot, id);
  const record = readRecord(engine, directory);
  const init = await engine.drivers.init.connect(directory);
  if (record === undefined || record.id !== id) {
    await removeUnknown(engine, id, directory, init);
    return;
  }
  const container = new ManagedContainer(record, directory);
  if (init === undefined || record.state === 'born') {
    engine.logger.info(record.state === 'born' ? 'half-made-container' : 'dead-container', {
      id,
      handle: record.handle,
    });
    await init?.kill();
    await releaseDrivers(engine, container);
    removeDirectory(directory);
    return;
  }
  try {
    await takeOver(engine, container, init);
  } catch (error) {
    // its link or rules are gone: it would be neither reachable nor safe
    engine.logger.error('container-not-continued', {
      id,
      handle: record.handle,
      error: toWardenError(error),
    });
    engine.containers.delete(record.handle);
    await init.kill();
    await releaseDrivers(engine, container);
    removeDirectory(directory);
  }
}

/** `undefined` when there is none or it is not readable. */
function readRecord(engine: Engine, directory: string): ContainerRecord | undefined {
  try {
    return parseRecord(fs.readFileSync(path.join(directory, RECORD_FILE), 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      engine.logger.error('record-unreadable', { directory, error: toWardenError(error) });
    return undefined;
  }
}

/** Without a record there is only the id: what nobody inhabits is removed by it, the rest is an operator's to decide. */
async function removeUnknown(
  engine: Engine,
  id: ContainerId,
  directory: string,
  init: Init | undefined,
): Promise<void> {
  if (init !== undefined) {
    init.disconnect();
    quarantine(engine, id);
    return;
  }
  const { drivers } = engine;
  await drivers.cgroup.release(drivers.cgroup.plan({ id, allowAllDevices: false, pidsLimit: undefined }));
  const rootfs = { id, directory, base: '/' };
  await drivers.filesystem.release(rootfs, drivers.filesystem.plan(rootfs));
  const quota = { id, directory, uid: engine.options.uids.first };
  await drivers.quota.release(quota, drivers.quota.plan(quota));
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
  const { drivers, pools } = engine;
  const { record } = container;
  pools.networks.withdraw(record.network);
  pools.uids.withdraw(record.uid);
  for (const port of record.ports) pools.ports.withdraw(port);
  await drivers.network.restore(networkSpecOf(engine, container), record.drivers.network, {
    mappings: record.mappings,
    egress: record.egress,
    ...(record.bandwidth ? { bandwidth: record.bandwidth } : {}),
  });
  const { cgroup } = drivers;
  if (record.cpuShares !== undefined) await cgroup.setCpuShares(record.drivers.cgroup, record.cpuShares);
  if (record.memoryLimit !== undefined) {
    await watchOutOfMemory(engine, container);
    await cgroup.setMemoryLimit(record.drivers.cgroup, record.memoryLimit);
  }
  engine.containers.set(record.handle, container);
  attachInit(engine, container, init);
  saveRecord(engine, container);
  armGraceTime(engine, container);
  engine.logger.info('container-recovered', {
    id: record.id,
    handle: record.handle,
    jobs: container.jobs.size,
  });
}

/** Kernel objects that carry our names but belong to no container: left by a daemon that died between two steps. */
async function reconcile(engine: Engine): Promise<void> {
  const { drivers } = engine;
  const keep = new Set([...engine.containers.values()].map(({ record }) => record.id));
  for (const entry of fs.readdirSync(engine.options.depot)) {
    const id = entry.startsWith(QUARANTINE_PREFIX) ? entry.slice(QUARANTINE_PREFIX.length) : entry;
    if (isContainerId(id)) keep.add(id);
  }
  for (const id of await drivers.network.sweep(keep)) engine.logger.info('network-swept', { id });
  for (const id of await drivers.cgroup.list()) {
    if (keep.has(id)) continue;
    const state = drivers.cgroup.plan({ id, allowAllDevices: false, pidsLimit: undefined });
    await drivers.cgroup.killAll(state, 5_000);
    await drivers.cgroup.release(state);
    engine.logger.info('cgroup-swept', { id });
  }
}
