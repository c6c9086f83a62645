/**
 * What the page's one answer looks like: the contract between the daemon and the browser, whose scripts are
 * checked against it too.
 */

/** A number that is not known on this host, or not yet. */
export type Maybe<T> = T | null;

/** Of all containers together, at one time. */
export interface TotalPoint {
  /** Milliseconds since 1970. */
  readonly time: number;
  /** Processors that were busy. */
  readonly cpu: number;
  /** Bytes. */
  readonly memory: number;
  readonly containers: number;
  /** That run. */
  readonly jobs: number;
}

/** Bytes, bytes per second, shares, processes; absent: none. */
export interface Limits {
  readonly memory?: number;
  readonly cpuShares?: number;
  readonly disk?: number;
  readonly bandwidth?: number;
  readonly processes?: number;
}

/** Bytes, nanoseconds, processes; absent: nobody counts. */
export interface Usage {
  readonly memory?: number;
  readonly cpu?: number;
  readonly disk?: number;
  readonly processes?: number;
}

/** A container in the part that was asked for. */
export interface ContainerRow {
  readonly handle: string;
  readonly id: string;
  readonly state: 'active' | 'paused' | 'stopped' | 'destroying';
  readonly events: readonly string[];
  readonly unsafe: readonly string[];
  readonly hostIp: string;
  readonly containerIp: string;
  readonly ports: readonly { readonly hostPort: number; readonly containerPort: number }[];
  readonly egressRules: number;
  readonly image: Maybe<string>;
  /** That run. */
  readonly jobs: number;
  readonly limits: Limits;
  readonly usage: Usage;
  /** Over time: the last one belongs to the last of `Status.times`. */
  readonly cpu: readonly Maybe<number>[];
  readonly memory: readonly Maybe<number>[];
}

/** A job. */
export interface JobRow {
  readonly handle: string;
  readonly id: number;
  readonly startedAt: Maybe<number>;
  readonly hasEnded: boolean;
  readonly outputBytes: number;
}

/** An event; which of the last fields there are depends on its type. */
export interface EventRow {
  /** Grows. */
  readonly number: number;
  readonly time: number;
  readonly handle: string;
  readonly type: string;
  readonly job?: number;
  readonly exitStatus?: number;
  readonly reason?: string;
  readonly limit?: string;
  readonly value?: number;
  /** What it was kept from: an address, a name, or both. */
  readonly destination?: string;
  readonly name?: string;
  readonly protocol?: string;
  readonly port?: number;
  readonly times?: number;
}

/** How the daemon stands, in numbers that cost a look at each container. */
export interface Numbers {
  readonly containers: Readonly<Record<'active' | 'stopped' | 'destroying', number>>;
  readonly prepared: number;
  readonly jobs: number;
  readonly pools: Readonly<Record<string, { readonly used: number; readonly limit: number }>>;
  readonly totals: {
    readonly created: number;
    readonly destroyed: number;
    readonly jobsStarted: number;
    readonly outOfMemoryKills: number;
  };
}

/** The whole answer. */
export interface Status {
  readonly version: string;
  readonly phase: 'starting' | 'ready' | 'draining';
  /** The daemon's clock, in milliseconds since 1970. */
  readonly time: number;
  readonly upSeconds: number;
  readonly periodMs: number;
  readonly host: { readonly processors: number; readonly memory: number };
  readonly daemon: { readonly memory: number };
  readonly numbers: Maybe<Numbers>;
  readonly totals: readonly TotalPoint[];
  readonly times: readonly number[];
  readonly containers: {
    readonly all: number;
    readonly found: number;
    readonly from: number;
    readonly rows: readonly ContainerRow[];
  };
  readonly jobs: { readonly all: number; readonly rows: readonly JobRow[] };
  readonly events: readonly EventRow[];
}
