/** What all operations share. */
import type { ContainerId, DriverState, Logger, NetworkSpec } from '@warden/interface';
import { type ManagedContainer, unknownHandle } from './container.ts';
import type { ContainerIds } from './container-id.ts';
import type { EventBody, EventBus } from './event-bus.ts';
import type { CoreFailpoints } from './failpoint-names.ts';
import type { Leftovers } from './leftovers.ts';
import type { CoreDrivers, CoreOptions } from './options.ts';
import type { Pools } from './pools.ts';
import {
  type ContainerRecord,
  type WriteOptions,
  writeIntent,
  writeLastRecord,
  writeRecord,
} from './record.ts';
import type { Totals } from './statistics.ts';
import type { WarmPool } from './warm-pool.ts';

/** See the file's head. */
export interface Engine {
  /** Replaced as a whole when something changes: nobody keeps a part of it. */
  options: CoreOptions;
  readonly drivers: CoreDrivers;
  readonly logger: Logger;
  readonly pools: Pools;
  readonly ids: ContainerIds;
  readonly failpoints: CoreFailpoints;
  /** Registered containers by handle, in order of creation. */
  readonly containers: Map<string, ManagedContainer>;
  /** The files of destroyed containers. */
  readonly leftovers: Leftovers;
  /** Containers nobody has asked for yet. */
  readonly warm: WarmPool;
  /** Handles of containers that are being created, and whose they are. */
  readonly reserved: Map<string, ContainerId>;
  /** See `LackingEverywhere`. */
  readonly lacking: Set<string>;
  readonly events: EventBus;
  /** By `performance.now()`. */
  readonly startedAt: number;
  readonly totals: Totals;
  /**
   * The highest so far, those of recovered jobs among them: also when they are gone, init may know them a
   * little longer.
   */
  lastJobId: number;
  nextJobId(): number;
  /** Of the containers that have been registered. */
  lastOrder: number;
  /** Set once the daemon lets go of everything: what ends now ends because of us. */
  isClosing: boolean;
}

/** Errors: `UNKNOWN_HANDLE`. */
export function findContainer(engine: Engine, handle: string): ManagedContainer {
  const container = engine.containers.get(handle);
  if (container) return container;
  throw unknownHandle(handle);
}

type WithoutHandle<T> = T extends unknown ? Omit<T, 'handle'> : never;

/** Tells whoever has subscribed. */
export function publish(
  { events }: Engine,
  { handle, record }: ManagedContainer,
  event: WithoutHandle<EventBody>,
): void {
  events.publish({ ...event, handle } as EventBody, record.properties);
}

/** How many entries of each pool somebody has. */
export function poolUsage({ pools }: Engine): { networks: number; uids: number; ports: number } {
  return { networks: pools.networks.taken, uids: pools.uids.taken, ports: pools.ports.taken };
}

/** Gives back what a record names. */
export function returnToPools({ pools }: Engine, { network, uid, ports }: ContainerRecord): void {
  pools.networks.release(network);
  pools.uids.release(uid);
  for (const port of ports) pools.ports.release(port);
}

/** The complete network spec of a container. */
export function networkSpecOf(engine: Engine, container: ManagedContainer): NetworkSpec {
  return { ...container.networkSpec, mtu: engine.options.network.mtu };
}

/** The groups that a container of this id has here, whatever is recorded of it. */
export function groupsById({ drivers: { cgroup } }: Engine, id: ContainerId): DriverState {
  return cgroup.plan({ id, allowAllDevices: false, pidsLimit: undefined });
}

/** Changes that nobody waits for are written together. */
const SAVE_DELAY_MS = 50;

/** Writes the container's record soon; a failure is logged. */
export function saveRecordSoon(engine: Engine, container: ManagedContainer): void {
  if (container.saveTimer !== undefined || container.isDestroyed || engine.isClosing) return;
  container.saveTimer = setTimeout(() => trySave(engine, container), SAVE_DELAY_MS).unref();
}

/** As {@link saveRecord} for changes that happened by themselves: a failure is logged. */
export function trySave(engine: Engine, container: ManagedContainer): void {
  try {
    saveRecord(engine, container);
  } catch (error) {
    engine.logger.error('record-failed', { handle: container.handle, error });
  }
}

/** Writes the container's record. */
export function saveRecord(engine: Engine, container: ManagedContainer): void {
  clearTimeout(container.saveTimer);
  container.saveTimer = undefined;
  if (container.isDestroyed) return; // its directory is gone
  const { intent, directory, record } = container;
  try {
    if (intent?.overwrite(record, engine.failpoints) !== true)
      writeRecord(directory, record, writeOptions(engine));
  } finally {
    closeIntent(engine, container); // the record is one that somebody may rely on
  }
}

/** Writes that the container is about to be taken apart. A failure is logged: a full disk must not keep a container. */
export function saveDestruction(engine: Engine, container: ManagedContainer): void {
  clearTimeout(container.saveTimer);
  container.saveTimer = undefined;
  const { directory, record, handle } = container;
  try {
    writeLastRecord(directory, record, writeOptions(engine));
  } catch (error) {
    engine.logger.error('record-failed', { handle, error });
  } finally {
    closeIntent(engine, container);
  }
}

/** Writes the first record: what is about to be made. */
export function saveIntent(engine: Engine, container: ManagedContainer): void {
  container.intent = writeIntent(container.directory, container.record, writeOptions(engine));
}

/** Idempotent. */
export function closeIntent({ logger }: Engine, container: ManagedContainer): void {
  container.intent?.close(logger);
  container.intent = undefined;
}

function writeOptions({ options, failpoints }: Engine): WriteOptions {
  return { durable: options.durable, failpoints };
}
