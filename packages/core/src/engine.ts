/** What all operations share. */
import type { Logger, NetworkSpec } from '@warden/interface';
import { type ManagedContainer, unknownHandle } from './container.ts';
import type { ContainerIds } from './container-id.ts';
import type { Failpoint } from './failpoint.ts';
import type { CoreDrivers, CoreOptions } from './options.ts';
import type { Pools } from './pools.ts';
import { writeRecord } from './record.ts';

/** See the file's head. */
export interface Engine {
  readonly options: CoreOptions;
  readonly drivers: CoreDrivers;
  readonly logger: Logger;
  readonly pools: Pools;
  readonly ids: ContainerIds;
  readonly failpoint: Failpoint;
  /** Registered containers by handle, in order of creation. */
  readonly containers: Map<string, ManagedContainer>;
  /** Handles of containers that are being created. */
  readonly reserved: Set<string>;
  nextJobId(): number;
  /** Set once the daemon lets go of everything: what ends now ends because of us. */
  isClosing: boolean;
}

/** Errors: `UNKNOWN_HANDLE`. */
export function findContainer(engine: Engine, handle: string): ManagedContainer {
  const container = engine.containers.get(handle);
  if (container) return container;
  throw unknownHandle(handle);
}

/** The complete network spec of a container. */
export function networkSpecOf(engine: Engine, container: ManagedContainer): NetworkSpec {
  return { ...container.networkSpec, mtu: engine.options.network.mtu };
}

/** Writes the container's record. */
export function saveRecord(engine: Engine, container: ManagedContainer): void {
  writeRecord(container.directory, container.record, engine.options.durable);
}
