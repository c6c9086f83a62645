/** Puts the engine together, recovers what an earlier daemon left, and hands out sessions. */
import type { ManagedContainer } from './container.ts';
import { ContainerIds } from './container-id.ts';
import { prepareContainer } from './create.ts';
import { reportDenials } from './denials.ts';
import { readDepot } from './depot-entries.ts';
import { requireShortDepot } from './depot-path.ts';
import { type Engine, trySave } from './engine.ts';
import { EventBus } from './event-bus.ts';
import { failpoints } from './failpoint.ts';
import { CORE_FAILPOINTS } from './failpoint-names.ts';
import { foreignNetworks } from './foreign-networks.ts';
import { thaw } from './frozen.ts';
import { beginGraceTime } from './grace-time.ts';
import { Leftovers } from './leftovers.ts';
import { requireDepotOfLiving } from './living.ts';
import { requireLivingWithin } from './living-networks.ts';
import { mendLostRules } from './lost-rules.ts';
import { onlooker } from './onlooker.ts';
import type { Core, CoreOptions } from './options.ts';
import { Pools } from './pools.ts';
import { hostSpec, reconfigure } from './reconfigure.ts';
import { recoverContainers } from './recovery.ts';
import { openSession } from './session.ts';
import { noTotals, statistics } from './statistics.ts';
import { WarmPool } from './warm-pool.ts';

/** So long an ending daemon goes on removing what destroyed containers have left; the next one removes the rest. */
const LEFTOVERS_MS = 10_000;

/**
 * Starts an engine on a depot that is the caller's alone. When it answers, everything an earlier daemon left
 * has been taken over or removed.
 *
 * Errors: `INVALID_SPEC` (options), `UNSUPPORTED` (a driver cannot be set up), `NATIVE_FAILED`.
 */
export async function createCore(options: CoreOptions): Promise<Core> {
  requireShortDepot(options.depot);
  const engine = makeEngine(options);
  try {
    await begin(engine);
  } catch (error) {
    // whoever could not start is nobody: the next one has the containers, their grace times and their inits
    await end(engine);
    throw error;
  }
  return {
    get containerCount() {
      return engine.containers.size;
    },
    statistics: () => statistics(engine),
    onlooker: onlooker(engine),
    reconfigure: (changes, signal) => reconfigure(engine, changes, signal),
    openSession: () => openSession(engine),
    settle: async () => {
      await settle(engine);
      await engine.failpoints.pass('drain.settle');
    },
    close: async () => {
      await end(engine);
      await engine.failpoints.pass('drain.release');
    },
  };
}

/** From an engine that has touched nothing to one that serves. */
async function begin(engine: Engine): Promise<void> {
  const { drivers, options } = engine;
  await drivers.init.setup(options.depot);
  await drivers.cgroup.setup();
  reportDenials(engine);
  mendLostRules(engine);
  const entries = readDepot(options.depot);
  // both before anything is done to them
  await requireDepotOfLiving(engine, entries);
  await requireLivingWithin(engine, entries);
  await drivers.network.setup(hostSpec(options));
  await recoverContainers(engine, entries);
  for (const base of await foreignNetworks(engine)) engine.pools.networks.withdraw(base);
  engine.leftovers.sweep();
  spareDirectories(engine);
  engine.warm.fill();
  // last: until now nobody could have come for them, however long it took
  for (const container of engine.containers.values()) beginGraceTime(engine, container);
}

/** Lets go of everything, at whatever step of {@link begin} it is. Never rejects for what is kept for later. */
async function end(engine: Engine): Promise<void> {
  letGo(engine);
  await endHolds(engine);
  await engine.warm.close();
  await engine.leftovers.close(LEFTOVERS_MS);
  await engine.drivers.cgroup.close?.().catch((error: unknown) => {
    engine.logger.warn('kept-groups-left', { error });
  });
}

/** An engine that has touched nothing yet. */
export function makeEngine(options: CoreOptions): Engine {
  const containers = new Map<string, ManagedContainer>();
  const points = options.failpoints ?? failpoints(process.env.WARDEN_FAILPOINT, CORE_FAILPOINTS);
  let hasWrapped = false;
  const engine: Engine = {
    options,
    drivers: options.drivers,
    logger: options.logger,
    pools: new Pools(options),
    ids: new ContainerIds(),
    failpoints: points,
    leftovers: new Leftovers({ ...options, failpoints: points }),
    containers,
    reserved: new Map(),
    lacking: new Set(),
    events: new EventBus(),
    startedAt: performance.now(),
    lastOrder: 0,
    lastJobId: 0,
    isClosing: false,
    totals: noTotals(),
    nextJobId: () => {
      const isTaken = (id: number): boolean => [...containers.values()].some(({ jobs }) => jobs.has(id));
      // job ids are 31 bits wide for init, which marks those of operators with the highest
      do {
        hasWrapped ||= engine.lastJobId >= 0x7fff_ffff;
        engine.lastJobId = engine.lastJobId >= 0x7fff_ffff ? 1 : engine.lastJobId + 1;
      } while (hasWrapped && isTaken(engine.lastJobId));
      return engine.lastJobId;
    },
    warm: new WarmPool(
      () => engine,
      () => prepareContainer(engine),
    ),
  };
  return engine;
}

/** Where init and file system can begin with another container's directories. */
function spareDirectories({ drivers, options, leftovers, logger }: Engine): void {
  const skeleton = drivers.init.reusable?.();
  if (skeleton === undefined || options.stripTree === undefined) return;
  try {
    leftovers.spare(options.stripTree([...skeleton, ...(drivers.filesystem.reusable ?? [])]));
  } catch (error) {
    logger.warn('nothing-spared', { error });
  }
}

/** One may start another, as a grace time that ends meanwhile. */
async function settle(engine: Engine): Promise<void> {
  for (;;) {
    const running = [...engine.containers.values()].flatMap(({ stopping, destroying }) =>
      [stopping, destroying].filter((one) => one !== undefined),
    );
    if (running.length === 0) return;
    await Promise.allSettled(running);
  }
}

/** What stands still for a snapshot, which ends with this daemon, goes on: the next one may come late. */
async function endHolds(engine: Engine): Promise<void> {
  const held = [...engine.containers.values()].filter(({ record }) => record.isHeld === true);
  for (const container of held) container.giveUpSnapshot?.();
  await Promise.all(held.map((container) => thaw(engine, container)));
}

/** Containers live on; their inits keep output and statuses for the next daemon. */
function letGo(engine: Engine): void {
  if (engine.isClosing) return;
  engine.isClosing = true;
  for (const container of engine.containers.values()) {
    clearTimeout(container.graceTimer);
    if (container.saveTimer !== undefined) trySave(engine, container);
    container.outOfMemoryWatch?.close();
    for (const copy of container.copies) copy.abort();
    // what cannot be ended now ends with this process
    for (const task of container.fileTasks) task.close().catch(() => {});
    container.init?.disconnect();
  }
}
