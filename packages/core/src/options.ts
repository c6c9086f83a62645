/** What the assembler gives to core. */
import type {
  CgroupDriver,
  Confinement,
  Failpoints,
  FilesystemDriver,
  ImageStore,
  InitDriver,
  Logger,
  NetworkDriver,
  Onlooker,
  QuotaDriver,
  ResourceLimits,
  ReusableEntry,
  WardenHost,
} from '@warden/interface';

import type { Syslog } from './job-log.ts';
import type { StripTree } from './leftovers.ts';
import type { CoreStatistics } from './statistics.ts';

/** One driver per role, probed and chosen. */
export interface CoreDrivers {
  readonly init: InitDriver;
  readonly filesystem: FilesystemDriver;
  readonly network: NetworkDriver;
  readonly cgroup: CgroupDriver;
  readonly quota: QuotaDriver;
}

/** Consecutive numbers. */
export interface NumberRange {
  readonly first: number;
  readonly count: number;
}

/** Everything core needs to know. */
export interface CoreOptions {
  readonly drivers: CoreDrivers;
  readonly logger: Logger;
  /** Existing directory, absolute, with symlinks resolved; at most 60 bytes. */
  readonly depot: string;
  /** Base of containers whose request names none. */
  readonly rootfs: string;
  /** Seconds; `undefined`: containers live for ever. */
  readonly graceTime: number | undefined;
  readonly network: {
    /** CIDR that is cut into /30 blocks. */
    readonly pool: string;
    /** Seconds a released block stays unavailable. */
    readonly releaseDelay: number;
    readonly mtu: number;
    readonly allowNetworks: readonly string[];
    readonly denyNetworks: readonly string[];
    readonly allowHostAccess: boolean;
    /** Of each container at a time; `undefined`: no limit. */
    readonly maxConnections?: number | undefined;
    /** Empty: derived from the host's resolv.conf. */
    readonly dnsServers: readonly string[];
    /** Asked for containers with rules about names; empty or absent: `dnsServers`, and the host's without them. */
    readonly resolverServers?: readonly string[];
  };
  readonly ports: NumberRange;
  readonly uids: NumberRange;
  /** Where images are kept; absent: there are none. */
  readonly images?: ImageStore | undefined;
  /** Directories beside the depot, absolute, into which no copy may write; they need not exist. Default: none. */
  readonly closedToCopies?: readonly string[];
  /** Containers prepared before anybody asks for them. Default 0. */
  readonly warmContainers?: number;
  /**
   * Milliseconds that a shell waits for the next script behind the second of two that came as soon as that; 0
   * (default): there is none.
   */
  readonly preparedShellMs?: number;
  /** Bytes of output kept per job; 0 or less: no limit. */
  readonly jobOutputLimit: number;
  /** Sockets by which others read the output of jobs made by Spawn; `undefined`: none. */
  readonly jobSockets?: { readonly mode: number } | undefined;
  /** Where lines of jobs with a log tag go; `undefined`: nowhere, with a warning. */
  readonly syslog?: Syslog | undefined;
  /** Output of jobs of earlier daemons: all of it, or only what those have not read. Default: all. */
  readonly recoveredOutput?: 'all' | 'remaining';
  /** Process limits of jobs that name none of their own. */
  readonly rlimits: ResourceLimits;
  /** Niceness of everything in containers. */
  readonly nice: number;
  /** Processes and threads per container; `undefined`: no limit. */
  readonly pidsLimit: number | undefined;
  /** See `Confinement`. */
  readonly security: {
    /**
     * First of the host's ids for users inside, 65,536 per uid of the pool; `undefined`: no user namespaces
     * (unsafe).
     */
    readonly subordinateIds: number | undefined;
    readonly capabilities: bigint;
    readonly noNewPrivileges: boolean;
    readonly seccomp: boolean;
    /** `auto` (default): as the process limits say, but never to a program that the host's core_pattern names. */
    readonly coreDumps?: 'auto' | 'never';
    /** An unsafe opt-in. Default: no. */
    readonly fuse?: boolean;
    /** Default: 256 terminals, 64 MiB of shared memory, 64 KiB of device directory. */
    readonly ceilings?: Confinement['ceilings'];
  };
  /** What of this is unsafe, in words: each container's info tells it. Default: nothing. */
  readonly unsafe?: readonly string[];
  /** Containers may use all devices: an unsafe opt-in. */
  readonly allowNested: boolean;
  /** LANG of jobs. */
  readonly lang: string;
  /**
   * Records are flushed to the disk. Needed only to find directories after a power failure, never after a
   * killed daemon.
   */
  readonly durable: boolean;
  /**
   * Removes a directory with everything below, whatever a container has made of it. Default: as `fs.rm`,
   * recursively.
   */
  readonly removeTree?: (directory: string) => Promise<void>;
  /**
   * Prepares for removing all but `kept` of directories, whatever a container has made of them, and moving
   * what is left. Absent: each container's directory is made from nothing.
   */
  readonly stripTree?: (kept: readonly ReusableEntry[]) => StripTree;
  /** For tests. Default: what `WARDEN_FAILPOINT` says, with the names of the engine only. */
  readonly failpoints?: Failpoints;
}

/** What can change while the engine runs; the meanings are those of {@link CoreOptions}. */
export interface CoreChanges
  extends Partial<
    Pick<
      CoreOptions,
      | 'graceTime'
      | 'rootfs'
      | 'warmContainers'
      | 'preparedShellMs'
      | 'jobOutputLimit'
      | 'rlimits'
      | 'ports'
      | 'uids'
    >
  > {
  readonly network?: Partial<
    Pick<
      CoreOptions['network'],
      'pool' | 'allowNetworks' | 'denyNetworks' | 'allowHostAccess' | 'dnsServers' | 'resolverServers'
    >
  >;
}

/** The engine: hands out sessions, survives restarts. */
export interface Core extends WardenHost {
  readonly containerCount: number;
  /** How things stand, and what has happened. Costs a look at each container. */
  statistics(): CoreStatistics;
  /** For whoever looks without being a client. */
  readonly onlooker: Onlooker;
  /**
   * Changes options. Pools can only grow. What containers were made with stays theirs; the host-wide rules of
   * the network change for all, which waits for containers that are at something. Either everything is in force
   * afterwards or nothing. Errors: `INVALID_SPEC`, `ABORTED` (by the signal), the network driver's.
   */
  reconfigure(changes: CoreChanges, signal?: AbortSignal): Promise<void>;
  /** Settles when no stop and no destruction is in progress any more, also those nobody waits for. Never rejects. */
  settle(): Promise<void>;
  /** Lets go of everything and leaves containers running. Idempotent. */
  close(): Promise<void>;
}
