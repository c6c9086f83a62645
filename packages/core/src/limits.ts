/**
 * Limits of a living or stopped container (spec behaviour.md 5). What is in force is answered; what was asked
 * for is recorded.
 */
import { type BandwidthLimit, type DiskLimitSpec, type DiskLimits, WardenError } from '@warden/interface';
import { ifSupported, isUnsupported, type ManagedContainer, unknownHandle } from './container.ts';
import { type Engine, networkSpecOf, publish, saveRecord, trySave } from './engine.ts';
import { OUT_OF_MEMORY_EVENT } from './exit-verdict.ts';
import { addEvent } from './init-connection.ts';
import { endPreparedShell } from './prepared-shell.ts';
import type { ContainerRecord } from './record.ts';
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
  if (bytes === undefined) return unlessGone(container, cgroup.memoryLimit(record.drivers.cgroup));
  return container.exclusive(async () => {
    await endPreparedShell(container); // it is not to be what the new limit is too little for
    await watchOutOfMemory(engine, container); // before the limit can hurt anybody
    await engine.failpoints.pass('limit-memory.watch');
    return recorded(engine, container, {
      limit: 'limit-memory',
      told: 'memory',
      value: bytes,
      put: { memoryLimit: bytes },
      putBack: { memoryLimit: record.memoryLimit },
      apply: () => cgroup.setMemoryLimit(record.drivers.cgroup, bytes),
    });
  });
}

interface Change<T> {
  /** What its failpoints begin with. */
  readonly limit: 'limit-memory' | 'limit-cpu' | 'limit-bandwidth';
  /** For events. */
  readonly told: 'memory' | 'cpu' | 'bandwidth';
  readonly value: bigint;
  readonly put: Partial<ContainerRecord>;
  readonly putBack: Partial<ContainerRecord>;
  apply(): Promise<T>;
}

/**
 * Records first: a daemon that dies in between finishes the change at its next start. What fails is put back.
 * Errors: the driver's, the record's.
 */
async function recorded<T>(engine: Engine, container: ManagedContainer, change: Change<T>): Promise<T> {
  let applied: T;
  try {
    Object.assign(container.record, change.put);
    saveRecord(engine, container);
    await engine.failpoints.pass(`${change.limit}.record`);
    applied = await change.apply();
  } catch (error) {
    Object.assign(container.record, change.putBack);
    trySave(engine, container);
    throw error;
  }
  await engine.failpoints.pass(`${change.limit}.apply`);
  publish(engine, container, { type: 'limit', limit: change.told, value: change.value });
  return applied;
}

/** A reading of a container whose parts are just being taken away. Errors: `UNKNOWN_HANDLE` then. */
async function unlessGone<T>(container: ManagedContainer, value: Promise<T>): Promise<T> {
  try {
    return await value;
  } catch (error) {
    throw container.destroying || container.isDestroyed ? unknownHandle(container.handle) : error;
  }
}

/**
 * An out-of-memory kill, also one since an earlier daemon began to watch, becomes an event and stops an
 * active container. Idempotent.
 */
export async function watchOutOfMemory(engine: Engine, container: ManagedContainer): Promise<void> {
  const { record } = container;
  const { cgroup } = engine.drivers;
  if (container.outOfMemoryWatch || container.state !== 'active') return;
  record.outOfMemoryKills ??= await cgroup.outOfMemoryKills(record.drivers.cgroup);
  const watch = await cgroup.watchOutOfMemory(
    record.drivers.cgroup,
    () => {
      engine.totals.outOfMemoryKills += 1;
      addEvent(engine, container, OUT_OF_MEMORY_EVENT);
      if (container.state !== 'active') return;
      container.giveUpSnapshot?.();
      stopContainer(engine, container, { kill: false }).catch((error: unknown) => {
        engine.logger.warn('out-of-memory-stop-failed', { handle: container.handle, error });
      });
    },
    record.outOfMemoryKills,
  );
  // a stop that began meanwhile has found no watch to close
  if (container.state === 'active') container.outOfMemoryWatch = watch;
  else watch.close();
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
  if (shares === undefined) return unlessGone(container, cgroup.cpuShares(record.drivers.cgroup));
  return container.exclusive(() =>
    recorded(engine, container, {
      limit: 'limit-cpu',
      told: 'cpu',
      value: shares,
      put: { cpuShares: shares },
      putBack: { cpuShares: record.cpuShares },
      apply: () => cgroup.setCpuShares(record.drivers.cgroup, shares),
    }),
  );
}

/**
 * Changes the given limits and keeps the others; reads when none is given; `undefined` where quotas are off.
 * Errors: the driver's.
 */
export function limitDisk(
  engine: Engine,
  container: ManagedContainer,
  spec: DiskLimitSpec,
): Promise<DiskLimits | undefined> {
  container.requireState('active', 'stopped');
  const { quota } = engine.drivers;
  const { quotaSpec } = container;
  const state = container.record.drivers.quota;
  if (Object.values(spec).every((value) => value === undefined))
    return unlessGone(
      container,
      ifSupported(container, 'disk limits', () => quota.limits(quotaSpec, state)),
    );
  return container.exclusive(async () => {
    try {
      const current = await quota.limits(quotaSpec, state);
      await engine.failpoints.pass('limit-disk.read');
      const applied = await quota.setLimits(quotaSpec, state, {
        blockSoft: spec.blockSoft ?? current.blockSoft,
        blockHard: spec.blockHard ?? current.blockHard,
        inodeSoft: spec.inodeSoft ?? current.inodeSoft,
        inodeHard: spec.inodeHard ?? current.inodeHard,
      });
      await engine.failpoints.pass('limit-disk.apply');
      publish(engine, container, { type: 'limit', limit: 'disk', value: applied.blockHard });
      return applied;
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
  checkBandwidth(limit);
  const { record } = container;
  const { network } = engine.drivers;
  return container.exclusive(() =>
    recorded(engine, container, {
      limit: 'limit-bandwidth',
      told: 'bandwidth',
      value: limit.rate,
      put: { bandwidth: limit },
      putBack: { bandwidth: record.bandwidth },
      apply: () => network.setBandwidth(networkSpecOf(engine, container), record.drivers.network, limit),
    }),
  );
}

/** What no driver could put in force must not be recorded either: the next daemon would fail on it. */
function checkBandwidth(limit: BandwidthLimit): void {
  const most = { rate: 0xffff_ffff_ffff_ffffn, burst: 0xffff_ffffn };
  for (const what of ['rate', 'burst'] as const) {
    if (limit[what] >= 1n && limit[what] <= most[what]) continue;
    throw new WardenError('INVALID_SPEC', `bandwidth ${what} ${limit[what]} is not in 1..${most[what]}`, {
      fields: { operation: 'limit bandwidth', object: what },
    });
  }
}
