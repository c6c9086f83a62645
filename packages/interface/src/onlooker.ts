/**
 * What somebody sees who only looks: without a session, so that looking references no container and keeps
 * nothing alive. (An extension: what the status page is made from.)
 */
import type { ContainerEvent, EventFilter } from './events.ts';

/** A job as it is seen from outside: nothing of what it runs or prints. */
export interface JobLook {
  readonly id: number;
  /** Milliseconds since 1970. Absent: an earlier daemon has started it. */
  readonly startedAt?: number;
  /** Its result waits for somebody who takes it. */
  readonly hasEnded: boolean;
  /** Bytes of output that are kept of it. */
  readonly outputBytes: number;
}

/** What was set for a container; what is absent was never limited, or cannot be. */
export interface LimitsLook {
  /** Bytes. */
  readonly memory?: number;
  readonly cpuShares?: number;
  /** Bytes. */
  readonly disk?: number;
  /** Bytes per second, each way. */
  readonly bandwidth?: number;
  /** Processes and threads. */
  readonly processes?: number;
}

/** What a container uses; what is absent, nobody counts on this host. */
export interface UsageLook {
  /** Bytes that cannot be taken back at once: without the cache that is not in use. */
  readonly memory?: number;
  /** Nanoseconds of all processors together since its creation. */
  readonly cpu?: number;
  /** Bytes in the writable layer. */
  readonly disk?: number;
  readonly processes?: number;
}

/** A container at one moment. */
export interface ContainerLook {
  readonly handle: string;
  readonly id: string;
  readonly state: 'active' | 'stopped' | 'destroying';
  readonly isPaused: boolean;
  /** As in `ContainerInfo`. */
  readonly events: readonly string[];
  readonly unsafe: readonly string[];
  readonly hostIp: string;
  readonly containerIp: string;
  readonly ports: readonly { readonly hostPort: number; readonly containerPort: number }[];
  readonly egressRules: number;
  /** Name or id of its image; absent: a directory. */
  readonly image?: string;
  readonly jobs: readonly JobLook[];
}

/** The same with numbers that have to be read from the kernel. */
export interface ContainerMeasure {
  /** Tells it from another one that has got its handle meanwhile. */
  readonly id: string;
  readonly limits: LimitsLook;
  readonly usage: UsageLook;
}

/** See the file's head. Nothing here changes anything. */
export interface Onlooker {
  /** All containers, in order of creation, from memory alone. */
  looks(): readonly ContainerLook[];
  /**
   * Reads limits and usage of one container: some files of the kernel. `undefined`: there is no such
   * container any more. What cannot be read is absent. Never rejects.
   */
  measure(handle: string): Promise<ContainerMeasure | undefined>;
  /** As `Warden.events`. Errors: `INVALID_SPEC`, `POOL_EXHAUSTED`. */
  events(filter?: EventFilter): AsyncIterableIterator<ContainerEvent, undefined, undefined>;
}
