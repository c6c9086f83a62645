/** Limits of a living or stopped container (spec behaviour.md 5). What is in force is answered; what was asked for is recorded. */
import type { BandwidthLimit, DiskLimitSpec, DiskLimits } from '@warden/interface';
import { isUnsupported, type ManagedContainer } from './container.ts';
import { type Engine, networkSpecOf, saveRecord } from './engine.ts';
import { addEvent, OUT_OF_MEMORY_EVENT } from './init-connection.ts';
import { stopContainer } from './stop.ts';

/** Sets or reads the memory limit. Errors: the driver's. */
export function limitMemory(
  engine: Engine,
  container: ManagedContainer,
  bytes: bigint | undefined,
): Promise<bigint> {
  container.requireState('active', 'stopped');
  const { record } = container;
  const { cgroup } = engine.drivers;
  if (bytes === undefined) return cgroup.memoryLimit(record.drivers.cgroup);
  return container.exclusive(async () => {
    await watchOutOfMemory(engine, container); // before the limit can hurt anybody
    const inForce = await cgroup.setMemoryLimit(record.drivers.cgroup, bytes);
    record.memoryLimit = bytes;
    saveRecord(engine, container);
    return inForce;
  });
}

/** An out-of-memory kill becomes an event and stops an active container. Idempotent. */
export async function watchOutOfMemory(engine: Engine, container: ManagedContainer): Promise<void> {
  if (container.outOfMemoryWatch || container.record.state !== 'active') return;
  container.outOfMemoryWatch = await engine.drivers.cgroup.watchOutOfMemory(
    container.record.drivers.cgroup,
    () => {
      addEvent(engine, container, OUT_OF_MEMORY_EVENT);
      if (container.state !== 'active') return;
      stopContainer(engine, container, { kill: false }).catch((error: unknown) => {
        engine.logger.warn('out-of-memory-stop-failed', { handle: container.handle, error });
      });
    },
  );
}

/** Sets or reads the CPU shares. Errors: the driver's. */
export function limitCpu(
  engine: Engine,
  container: ManagedContainer,
  shares: bigint | undefined,
): Promise<bigint> {
  container.requireState('active', 'stopped');
  const { record } = container;
  const { cgroup } = engine.drivers;
  if (shares === undefined) return cgroup.cpuShares(record.drivers.cgroup);
  return container.exclusive(async () => {
    const inForce = await cgroup.setCpuShares(record.drivers.cgroup, shares);
    record.cpuShares = shares;
    saveRecord(engine, container);
    return inForce;
  });
}

/** Changes the given limits and keeps the others; `undefined` where quotas are off. Errors: the driver's. */
export function limitDisk(
  engine: Engine,
  container: ManagedContainer,
  spec: DiskLimitSpec,
): Promise<DiskLimits | undefined> {
  container.requireState('active', 'stopped');
  const { quota } = engine.drivers;
  const state = container.record.drivers.quota;
  return container.exclusive(async () => {
    const current = await quota.limits(container.quotaSpec, state);
    try {
      return await quota.setLimits(container.quotaSpec, state, {
        blockSoft: spec.blockSoft ?? current.blockSoft,
        blockHard: spec.blockHard ?? current.blockHard,
        inodeSoft: spec.inodeSoft ?? current.inodeSoft,
        inodeHard: spec.inodeHard ?? current.inodeHard,
      });
    } catch (error) {
      if (isUnsupported(error)) return undefined;
      throw error;
    }
  });
}

/** Shapes both directions. Errors: the driver's. */
export function limitBandwidth(
  engine: Engine,
  container: ManagedContainer,
  limit: BandwidthLimit,
): Promise<void> {
  container.requireState('active', 'stopped');
  const { record } = container;
  return container.exclusive(async () => {
    await engine.drivers.network.setBandwidth(
      networkSpecOf(engine, container),
      record.drivers.network,
      limit,
    );
    record.bandwidth = limit;
    saveRecord(engine, container);
  });
}
