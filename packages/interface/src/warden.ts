/**
 * The `Warden` API: what a container host can do, the same type on both sides of the wire.
 *
 * `@warden/core` implements it in process, `@warden/client` over the socket; tests, the CLI and embedders
 * program against it.
 *
 * ## Vocabulary
 * - **handle**: client-visible name of a container, any bytes (see `bytes.ts`), unique among living
 *   containers.
 * - **session**: one client's view. It *references* every container that existed when it began, that it
 *   created, or that it named, until it is closed. A container that no session references lives on for its
 *   **grace time** and is then destroyed.
 * - **job**: one script or program in a container. Its id is unique in the daemon. It ends when its process
 *   ends; the daemon waits a short, bounded time for output that descendants still hold back.
 * - **obituary**: the last info of a container that is being destroyed; those who wait for one of its jobs
 *   get it.
 *
 * ## States
 * `born` → `active` → `stopped` → `destroyed`. `active` admits everything; `stopped` only info, properties,
 * limits, listing and removing rules, copy out, link, stream, stop and destroy. A stopped container never
 * becomes active again. Operations on one container run one after another.
 *
 * Errors of every operation on a container: `UNKNOWN_HANDLE`, `BAD_STATE`, `UNAVAILABLE` (connection lost),
 * besides those named.
 */
import type { ContainerEvent, EventFilter } from './events.ts';
import type { ContainerFiles } from './files.ts';
import type { Images } from './images.ts';
import type { WardenMetrics } from './metrics.ts';
import type { BandwidthLimit, PortMapping } from './network.ts';
import type { OutputPipes, OutputRelay } from './output.ts';
import type { DiskLimits } from './quota.ts';

/** Lifecycle state. `born` and `destroyed` are never seen in an info. */
export type ContainerState = 'born' | 'active' | 'stopped' | 'destroyed';

/** A host directory or file made visible inside. */
export interface BindMountSpec {
  /** Absolute host path that exists. */
  readonly source: string;
  /** Absolute path inside; created if missing, resolved inside the root. */
  readonly target: string;
  readonly mode: 'ro' | 'rw';
}

/** What to create. Everything is optional. */
export interface CreateSpec {
  /** Mounted in order while the container starts. */
  readonly bindMounts?: readonly BindMountSpec[] | undefined;
  /** Seconds without a referencing session until destruction; 0 at once; `undefined`: the daemon's default. */
  readonly graceTime?: number | undefined;
  /** Absent: the generated container id. */
  readonly handle?: string | undefined;
  /** Any address inside the wanted /30 of the pool. */
  readonly network?: string | undefined;
  /** Host directory used as read-only base instead of the configured one. */
  readonly rootfs?: string | undefined;
  /**
   * Name or id of an image of this host, used as base; not with `rootfs`. (An extension: the original's
   * daemon ignores it.)
   */
  readonly image?: string | undefined;
  /** The client's own labels, see {@link Container.setProperties}. (An extension.) */
  readonly properties?: Properties | undefined;
}

/** Labels by which clients find containers. Names and values mean nothing to the daemon. */
export type Properties = Readonly<Record<string, string>>;

/**
 * Limits of a container's properties: names of 1 to `nameBytes` bytes, values of at most `valueBytes`, at
 * most `count` of them, `totalBytes` in all.
 */
export const PROPERTY_LIMITS = { count: 64, nameBytes: 256, valueBytes: 4_096, totalBytes: 32_768 } as const;

/** Selects containers. */
export interface ContainerFilter {
  /** Only containers that have all of these. (An extension.) */
  readonly properties?: Properties | undefined;
}

/** Size of a terminal in characters, each 1 to 65535. */
export interface TerminalSize {
  readonly rows: number;
  readonly columns: number;
}

/** Process limits by setrlimit(2) name in lower case; each value is soft and hard; 2^64-1 is unlimited. */
export type ResourceLimits = { readonly [Name in ResourceName]?: bigint | undefined };
/** Names of the limits, in the order of the wire. */
export const RESOURCE_NAMES = [
  'as',
  'core',
  'cpu',
  'data',
  'fsize',
  'locks',
  'memlock',
  'msgqueue',
  'nice',
  'nofile',
  'nproc',
  'rss',
  'rtprio',
  'sigpending',
  'stack',
] as const;
/** Name of a process limit. */
export type ResourceName = (typeof RESOURCE_NAMES)[number];

/** How to run a script. */
export interface SpawnOptions {
  /** As root *inside* the container instead of the unprivileged user. */
  readonly privileged?: boolean | undefined;
  readonly rlimits?: ResourceLimits | undefined;
  /** Keep nothing; the output limit never trips. */
  readonly discardOutput?: boolean | undefined;
  /** Copy every line to syslog with tag `warden.<logTag>`. */
  readonly logTag?: string | undefined;
  /**
   * The caller calls `link` at once (Run). So the daemon makes no job sockets, by which others could read the
   * output meanwhile.
   */
  readonly awaited?: boolean | undefined;
  /**
   * Keep track of all descendants, so that {@link Job.kill} reaches each of them even if it left its session
   * or its parent died. Orphans then have the script as parent instead of init. (An extension: the original's
   * daemon ignores it.)
   */
  readonly trackTree?: boolean | undefined;
  /**
   * Program and arguments, instead of `/bin/bash`; the script is then its whole standard input. The program
   * is looked up inside, by the PATH of the job's environment. (An extension, as are all options below.)
   */
  readonly argv?: readonly string[] | undefined;
  /** Variables besides HOME, USER, PATH and LANG; one of these names replaces its value. */
  readonly environment?: Readonly<Record<string, string>> | undefined;
  /** Absolute, inside; default: the user's home. */
  readonly workingDirectory?: string | undefined;
  /**
   * `pipe`: standard input stays open for {@link Job.write} until {@link Job.endInput}. A script is then an
   * argument of `/bin/bash -c`, and is limited to some 60 KiB. Cannot be combined with both `argv` and a
   * script. The input outlives the daemon: it stays open until it is ended, or the job ends.
   */
  readonly stdin?: 'pipe' | undefined;
  /**
   * Standard input, output and errors are a terminal of this size; everything it shows is the stream
   * `stdout`. Implies `stdin: 'pipe'`. Cannot be combined with `discardOutput`. Without script and argv: an
   * interactive shell.
   */
  readonly terminal?: TerminalSize | undefined;
  /**
   * `live`: no output is kept. It waits in the job's pipes until a stream takes it, each byte once; while the
   * pipes are full, the job waits. The output limit never trips, and `link` returns no output. Cannot be
   * combined with `discardOutput`, `logTag`, `awaited` or a terminal. When the daemon is killed, what it had
   * read and not yet sent is lost; the rest stays in the pipes for the next daemon.
   */
  readonly output?: 'live' | undefined;
}

/** A piece of output, in order within its stream. */
export interface OutputChunk {
  readonly stream: 'stdout' | 'stderr';
  readonly data: Uint8Array;
}

/**
 * Why a job ended. `signal` is the signal that ended its process, where one did.
 *
 * - `exited`: the process ended by itself; the exit status is its own. A program that handles the SIGTERM of
 *   a stop counts as exited, too.
 * - `signal`: a signal ended it, which the daemon did not send for one of the reasons below.
 * - `timeout`: it was killed because its caller's time limit was over (`kill` with that reason).
 * - `out-of-memory`: the kernel killed a process because the container's memory limit was reached, and the
 *   job died of that or of the stop that follows.
 * - `disk-limit`: it failed while the disk limit was reached, or wrote beyond its limit of file size. This is
 *   a guess: only the program itself knows why it failed.
 * - `output-limit`: it printed more than is kept for a job.
 * - `container-stopped`: by a stop or the destruction of its container.
 * - `init-lost`: the container's init died, and everything in the container with it.
 * - `internal`: the daemon failed to collect its end; its log says why.
 */
export type ExitVerdict =
  | { readonly reason: 'exited' }
  | { readonly reason: 'signal'; readonly signal: number }
  | {
      readonly reason:
        | 'timeout'
        | 'out-of-memory'
        | 'disk-limit'
        | 'output-limit'
        | 'container-stopped'
        | 'init-lost'
        | 'internal';
      readonly signal?: number | undefined;
    };

/** How a job ended. */
export interface JobEnd {
  /** 0 to 255; 255 also for death by signal, output limit and internal failure (the original's rule). */
  readonly exitStatus: number;
  /** Why it ended; `undefined` when the daemon does not tell (an older one, and the status is 255). */
  readonly verdict?: ExitVerdict | undefined;
  /** The container at the end of the job. */
  readonly info: ContainerInfo;
}

/** Result of a job with its whole output. */
export interface JobResult extends JobEnd {
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
}

/** A started job. */
export interface Job {
  /** 1 to 2^31-1. */
  readonly id: number;
  /**
   * Waits for the end and takes the result. The job is removed then, and later calls fail with `UNKNOWN_JOB`.
   * All who wait at the same time get the result. When `signal` is aborted the wait ends with `ABORTED`; the
   * job keeps its result, unless that was already on its way.
   */
  link(options?: {
    readonly signal?: AbortSignal | undefined;
    /**
     * Of whoever passes the result on: the job is removed when this resolves, and keeps its result when it
     * rejects.
     */
    readonly taken?: Promise<void> | undefined;
  }): Promise<JobResult>;
  /**
   * Yields all output from the job's start, then returns the end as the iterator's return value; the job is
   * removed then. Leaving the loop early keeps the job, and so does aborting `signal`, which makes the step
   * in progress fail with `ABORTED`. Each of several streams gets everything.
   */
  stream(options?: {
    readonly signal?: AbortSignal | undefined;
    /** For a live job: takes the output that comes in whole pieces. What is left over is yielded, in order. */
    readonly relay?: OutputRelay | undefined;
    /** As with {@link Job.link}, for the end. */
    readonly taken?: Promise<void> | undefined;
  }): AsyncGenerator<OutputChunk, JobEnd, undefined>;
  /**
   * Lends the pipes of a job with `output: 'live'` until the session is closed or the job is removed; nobody
   * else reads them meanwhile. Wait for the end by {@link Job.link}; then read what is left in the pipes.
   * Errors: `UNKNOWN_JOB`, `BAD_STATE` (not a live job, or a stream reads it), `POOL_EXHAUSTED` (64 jobs'
   * pipes are lent to this session), `UNSUPPORTED`.
   */
  pipes?(): Promise<OutputPipes>;
  /**
   * Sends a signal to the job's process or, with `tree`, to it and every descendant. SIGKILL to a tree leaves
   * no gap through which a process could escape by forking. One that means to leave the tree can do so before,
   * by `CLONE_PARENT` or as a job that gives up being the subreaper of its own: {@link Container.stop} ends
   * whatever is in the container. Succeeds on an ended job. Defaults: SIGKILL, and any signal to the tree.
   * `reason` is what the verdict says when the job dies of the signal. (An extension.)
   */
  kill(options?: {
    readonly signal?: number | undefined;
    readonly tree?: boolean | undefined;
    readonly reason?: 'timeout' | undefined;
  }): Promise<void>;
  /**
   * Writes to the standard input of a job with `stdin: 'pipe'` or a terminal. Resolves when the job's pipe
   * has taken all of it, so it waits for a job that does not read. Writes of one caller keep their order; at
   * most 64 KiB go in as one piece. When `signal` is aborted a part may have been written.
   *
   * Errors: `UNKNOWN_JOB`, `BAD_STATE` (the job has no such input, or the input was ended), `NATIVE_FAILED`
   * with errno EPIPE (the job reads no more), `ABORTED`.
   */
  write(data: Uint8Array | string, options?: { readonly signal?: AbortSignal | undefined }): Promise<void>;
  /**
   * Ends the standard input, so that the job reads end of file. On a terminal, types the end-of-file
   * character. Idempotent; succeeds on an ended job.
   */
  endInput(): Promise<void>;
  /**
   * Changes the size of the job's terminal; its foreground processes get SIGWINCH. Errors: `BAD_STATE` (no
   * terminal), `INVALID_SPEC`.
   */
  resize(size: TerminalSize): Promise<void>;
}

/** cgroup memory.stat values; bytes and event counts. Keys are the wire's field names. */
export const MEMORY_STAT_KEYS = [
  'cache',
  'rss',
  'mapped_file',
  'pgpgin',
  'pgpgout',
  'swap',
  'pgfault',
  'pgmajfault',
  'inactive_anon',
  'active_anon',
  'inactive_file',
  'active_file',
  'unevictable',
  'hierarchical_memory_limit',
  'hierarchical_memsw_limit',
  'total_cache',
  'total_rss',
  'total_mapped_file',
  'total_pgpgin',
  'total_pgpgout',
  'total_swap',
  'total_pgfault',
  'total_pgmajfault',
  'total_inactive_anon',
  'total_active_anon',
  'total_inactive_file',
  'total_active_file',
  'total_unevictable',
] as const;
/** Values of the memory group by their names in memory.stat. */
export type MemoryStat = Readonly<Partial<Record<(typeof MEMORY_STAT_KEYS)[number], bigint>>>;

/** Time used, of all CPUs. */
export interface CpuStat {
  /** Nanoseconds. */
  readonly usage: bigint;
  /** Clock ticks (USER_HZ). */
  readonly user: bigint;
  /** Clock ticks (USER_HZ). */
  readonly system: bigint;
}

/** How much of the last 10, 60 and 300 seconds was lost to waiting, in percent, and microseconds lost in all. */
export interface PressureLine {
  readonly avg10: number;
  readonly avg60: number;
  readonly avg300: number;
  readonly total: bigint;
}

/** Time lost to waiting for one resource: `some`: at least one process waited; `full`: all waited at once. */
export interface ResourcePressure {
  readonly some: PressureLine;
  readonly full?: PressureLine;
}

/** Pressure stall information, of the resources for which the kernel has it. */
export interface PressureStat {
  readonly cpu?: ResourcePressure;
  readonly memory?: ResourcePressure;
  readonly io?: ResourcePressure;
}

/** What the writable layer holds. */
export interface DiskStat {
  readonly bytesUsed: bigint;
  readonly inodesUsed: bigint;
}

/** Bytes per second and bytes; no limit = 4294967295 in each field. */
export interface BandwidthStat {
  readonly inRate: bigint;
  readonly inBurst: bigint;
  readonly outRate: bigint;
  readonly outBurst: bigint;
}

/** A job that has terminated and whose result nobody has taken yet. */
export interface EndedJob {
  readonly id: number;
  /** As in {@link JobEnd}. */
  readonly exitStatus: number;
  /**
   * As in {@link JobEnd} and in the event of the job's end, but without `disk-limit`: whether that was to
   * blame is only found out when the result is taken. `undefined`: the daemon does not tell.
   */
  readonly verdict?: ExitVerdict | undefined;
}

/** How many ended jobs an info lists at most: those that were started last. */
export const MAX_ENDED_JOBS = 1_000;

/** Facts about a container at one moment. */
export interface ContainerInfo {
  readonly state: ContainerState;
  /** Ordered set: `out of memory`, `command exceeded maximum output`. */
  readonly events: readonly string[];
  readonly hostIp?: string;
  readonly containerIp?: string;
  /** The container's directory on the host. */
  readonly containerPath?: string;
  readonly memoryStat?: MemoryStat;
  readonly cpuStat?: CpuStat;
  readonly diskStat?: DiskStat;
  readonly bandwidthStat?: BandwidthStat;
  /** On cgroup v2. (An extension.) */
  readonly pressureStat?: PressureStat;
  /** Jobs that have not terminated. */
  readonly jobIds: readonly number[];
  /**
   * Jobs that have terminated and whose result nobody has taken yet by `link`, `stream` or `result`, in the
   * order of their numbers, at most {@link MAX_ENDED_JOBS}. Absent: none. Not in the info that comes with a
   * job's end. (An extension.)
   */
  readonly endedJobs?: readonly EndedJob[];
  /**
   * Parts of the confinement that the operator has switched off; absent: none. (An extension: the original's
   * daemon does not tell.)
   */
  readonly unsafe?: readonly string[];
  /** Absent: none. (An extension.) */
  readonly properties?: Properties;
  /** Its processes are paused, see {@link Container.pause}. Absent: no. (An extension.) */
  readonly paused?: boolean;
  /** Ports of the host that lead into it, in the order in which they were published. Absent: none. (An extension.) */
  readonly ports?: readonly PortMapping[];
}

/** The info of one container in an answer about many. */
export interface ContainerReport {
  readonly handle: string;
  /** Absent when it could not be read; `error` says why. */
  readonly info?: ContainerInfo;
  readonly error?: { readonly code: string; readonly message: string };
}

/** Disk limit request: absent fields keep their value. Units: 1 KiB blocks, inodes. */
export interface DiskLimitSpec {
  readonly blockSoft?: bigint | undefined;
  readonly blockHard?: bigint | undefined;
  readonly inodeSoft?: bigint | undefined;
  readonly inodeHard?: bigint | undefined;
}

/** Egress request as clients give it; validated by core. */
export interface NetOutSpec {
  /** Address, CIDR or `a-b`. */
  readonly network?: string | undefined;
  readonly port?: number | undefined;
  /** `low:high`; wins over `port`. */
  readonly portRange?: string | undefined;
  readonly protocol?: 'tcp' | 'udp' | 'icmp' | 'all' | undefined;
  readonly icmpType?: number | undefined;
  readonly icmpCode?: number | undefined;
  readonly log?: boolean | undefined;
  /**
   * Only addresses to which this name resolves: `registry.example.org`, or `*.example.org` for all names
   * below it. With `network`, only addresses within it; without, only public ones. (An extension.)
   */
  readonly domain?: string | undefined;
}

/** Published ports, which lead into a container, and egress rules, which lead out of it. */
export interface NetRules {
  /** In the order in which they were published. */
  readonly ports: readonly PortMapping[];
  /** In the order in which they were made, each as `netOut` takes it; the newest is examined first. */
  readonly egress: readonly NetOutSpec[];
}

/** What to remove. */
export interface NetRulesRemoval {
  /** Ports of the host. */
  readonly ports?: readonly number[] | undefined;
  /**
   * Removes every rule about the same packets, whether it logs or not. Each as it was given, or as
   * {@link Container.netRules} returns it.
   */
  readonly egress?: readonly NetOutSpec[] | undefined;
}

/**
 * A reference to a container by handle. Making one sends no request; operations on one that does not exist
 * fail with `UNKNOWN_HANDLE`.
 */
export interface Container extends AsyncDisposable {
  readonly handle: string;
  /** Facts, with the statistics that the host has. Errors: `NATIVE_FAILED` (a statistic cannot be read). */
  info(): Promise<ContainerInfo>;
  /** Starts a job; resolves when its output is being collected. `script` is fed to `/bin/bash` on standard input. */
  spawn(script: string | Uint8Array, options?: SpawnOptions): Promise<Job>;
  /** A reference to a job by id. Operations fail with `UNKNOWN_JOB`. */
  job(id: number): Job;
  /**
   * Ends all jobs: SIGTERM, after 10 s SIGKILL (`kill`: at once). `background`: resolves at once. Idempotent;
   * a second stop waits for the first. Errors: `TIMEOUT` (processes that not even SIGKILL ends),
   * `NATIVE_FAILED` (it has stopped, and could not be recorded as such).
   */
  stop(options?: {
    readonly background?: boolean | undefined;
    readonly kill?: boolean | undefined;
  }): Promise<void>;
  /**
   * Stops and removes the container and everything it owned; its handle is unknown then. Several at the same
   * time are one. Errors: `NATIVE_FAILED`, `TIMEOUT`: something is left, and it can be repeated.
   */
  destroy(): Promise<void>;
  /**
   * Publishes a TCP port; without `hostPort` one of the pool, without `containerPort` the same. Errors:
   * `POOL_EXHAUSTED`, `ALREADY_EXISTS` (somebody has the port), `INVALID_SPEC`.
   */
  netIn(spec?: {
    readonly hostPort?: number | undefined;
    readonly containerPort?: number | undefined;
  }): Promise<PortMapping>;
  /** Allows egress. Errors: `INVALID_SPEC`, `UNSUPPORTED`, `POOL_EXHAUSTED` at 1024 rules. */
  netOut(spec: NetOutSpec): Promise<void>;
  /** Published ports and egress rules. (An extension.) */
  netRules(): Promise<NetRules>;
  /**
   * Removes ports and egress rules, all of these or none, and ends the connections that nothing allows any
   * more. Returns what is left. Rules that do not exist are ignored, so it can be repeated. Errors:
   * `INVALID_SPEC`, `UNSUPPORTED`, `NATIVE_FAILED` (nothing has changed). (An extension.)
   */
  removeNetRules(rules: NetRulesRemoval): Promise<NetRules>;
  /**
   * Copies from host to container; a trailing slash means what it means to rsync. The path of the host is
   * absolute, as in {@link copyOut}. What had been copied before a failure stays. Errors of both:
   * `INVALID_SPEC` (a path or an owner that does not exist), `FORBIDDEN` (what the user may not do inside),
   * `COMMAND_FAILED`, `POOL_EXHAUSTED` (no process left inside), `ABORTED` (the container is destroyed
   * meanwhile).
   */
  copyIn(source: string, target: string): Promise<void>;
  /** Copies from container to host; `owner` is `USER`, `USER:GROUP` or numeric, empty or absent: the daemon's user. */
  copyOut(source: string, target: string, owner?: string): Promise<void>;
  /**
   * Sets the memory limit in bytes or, without an argument, reads it; returns what is in force. Errors:
   * `NATIVE_FAILED` (EBUSY: more is in use than that; the earlier limit stays), `UNSUPPORTED`.
   */
  limitMemory(bytes?: bigint): Promise<bigint>;
  /**
   * Sets CPU shares, a weight of 2 to 262144 among all containers, or, without an argument, reads them;
   * returns what is in force. Errors: `NATIVE_FAILED`, `UNSUPPORTED`.
   */
  limitCpu(shares?: bigint): Promise<bigint>;
  /**
   * Sets the disk limits that `spec` names or, without an argument, reads them; returns all. `undefined`: disk
   * limits are off in this daemon, and nothing was limited. Errors: `INVALID_SPEC`, `NATIVE_FAILED`.
   */
  limitDisk(spec?: DiskLimitSpec): Promise<DiskLimits | undefined>;
  /** Limits bandwidth in both directions. Errors: `INVALID_SPEC`, `NATIVE_FAILED`, `UNSUPPORTED`. */
  limitBandwidth(limit: BandwidthLimit): Promise<void>;
  /** The properties. (An extension, as are all members below.) */
  properties(): Promise<Properties>;
  /**
   * Sets properties and removes those whose value is `undefined`, all or nothing; returns all properties
   * then. They are recorded, and outlive the daemon. Errors: `INVALID_SPEC` (see {@link PROPERTY_LIMITS}),
   * `NATIVE_FAILED` (the record could not be written; nothing has changed).
   */
  setProperties(changes: Readonly<Record<string, string | undefined>>): Promise<Properties>;
  /**
   * Suspends all processes where they are. Operations that need one of them (spawn, kill, copies, files,
   * input) fail with `BAD_STATE` until `resume`; stop and destroy resume by themselves. A paused container
   * stays paused when the daemon is restarted, except for a moment in which the new daemon finds out what
   * lives in it. Idempotent. Errors: `UNSUPPORTED` (no freezer), `TIMEOUT` (it goes on then), `NATIVE_FAILED`.
   */
  pause(): Promise<void>;
  /** Lets the processes go on. Idempotent. Errors: `NATIVE_FAILED`. */
  resume(): Promise<void>;
  /** Files inside. */
  readonly files: ContainerFiles;
  /** Destroys the container if it still exists. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** One session with a container host. */
export interface Warden extends AsyncDisposable {
  ping(): Promise<void>;
  /** Returns the same bytes. */
  echo(message: Uint8Array): Promise<Uint8Array>;
  /** Handles of all containers, active and stopped, in order of creation; with a filter, of those it admits. */
  list(filter?: ContainerFilter): Promise<readonly string[]>;
  /**
   * Creates a container. Nothing is left of one that fails. Errors: `ALREADY_EXISTS` (the handle),
   * `POOL_EXHAUSTED`, `INVALID_SPEC`, `NATIVE_FAILED`, `COMMAND_FAILED` (a hook).
   */
  create(spec?: CreateSpec): Promise<Container>;
  /**
   * Info of many containers by one request: of those named, each once, or of all that the filter admits, in
   * order of creation. It references none of them. (An extension, as are the members below, up to `events`.)
   */
  infoMany(
    options?: ContainerFilter & { readonly handles?: readonly string[] | undefined },
  ): Promise<readonly ContainerReport[]>;
  /** Numbers of the daemon. */
  metrics(): Promise<WardenMetrics>;
  /**
   * Subscribes to what happens from now on; nothing is missed once this has resolved. Each subscriber has a
   * bounded buffer. One that reads too slowly loses the oldest events, and the next event says how many. Ends
   * with the session, the signal, or `return()` of the iterator. Errors: `INVALID_SPEC` (no such type),
   * `POOL_EXHAUSTED` (too many subscribers), `ABORTED`.
   */
  events(filter?: EventFilter): Promise<AsyncIterableIterator<ContainerEvent, undefined, undefined>>;
  /** A reference to a container by handle; does not check that it exists. */
  container(handle: string): Container;
  /** Images of the host. Absent: the host keeps none. (An extension.) */
  readonly images?: Images;
  /**
   * Ends the session: its references are dropped, and grace times start. Running operations are completed.
   * Idempotent.
   */
  close(): Promise<void>;
  /** As {@link close}. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** The engine behind a server: hands out one session per client. */
export interface WardenHost {
  openSession(): Warden;
}
