/**
 * Role *cgroup*: resource groups of one container, on v1, v2 or a hybrid host.
 *
 * ## Lifecycle
 * `probe` → `setup` (once per daemon start) → per container `plan` → *state persisted* → `create` → processes
 * join by {@link CgroupDriver.joinFiles} → limits and statistics → all processes dead → `release`.
 *
 * Nobody writes a foreign pid: a process that enters writes `0` to each join file itself while it is
 * single-threaded. (A parent writing a child's pid after some idle time waits for an RCU period, 5 to 16 ms.)
 * Init does that from the list.
 */
import type { ContainerId, DriverState, ProbeResult } from './driver.ts';
import type { CpuStat, MemoryStat, PressureStat } from './warden.ts';

/** Limits a new container starts with. */
export interface CgroupSpec {
  readonly id: ContainerId;
  /** All devices allowed: only for nested wardens, an unsafe opt-in. */
  readonly allowAllDevices: boolean;
  /** `/dev/fuse` too: an unsafe opt-in. Absent: no. */
  readonly allowFuse?: boolean;
  /** Highest number of processes and threads; `undefined`: no limit. */
  readonly pidsLimit: number | undefined;
  /**
   * Processes inside can hand descriptors to others, as by a socket in a directory that both have. What the
   * kernel keeps behind one, as the events of an inotify instance, is charged to these groups for as long as
   * anybody has it, whoever owns them by then. Absent: they cannot.
   */
  readonly sharesDescriptors?: boolean;
}

/** What a cgroup driver offers on this host. */
export interface CgroupSupports {
  readonly version: 1 | 2;
  readonly memory: boolean;
  /** Swap is accounted, so that memory+swap can be limited. */
  readonly swap: boolean;
  readonly cpu: boolean;
  readonly devices: boolean;
  readonly pids: boolean;
  /** Groups can be paused. */
  readonly freezer: boolean;
  /** The kernel measures how long a group waits for its resources (v2 with PSI). */
  readonly pressure: boolean;
}

/**
 * Room for init beside the limit of processes. Init writes `0` to `outside` when a fork is refused, forks,
 * and then it and the new process each write `0` to `inside`, which is never refused. The room has a bound of
 * its own; nobody else gets there.
 */
export interface ProcessReserve {
  readonly outside: string;
  readonly inside: string;
}

/** Processes and threads of a container, as its limit counts them. */
export interface ProcessCount {
  readonly used: number;
  /** `undefined`: no limit. */
  readonly limit: number | undefined;
}

/** A subscription; `close` is idempotent. */
export interface Watch {
  close(): void;
}

/** A subscription to out-of-memory kills. */
export interface OutOfMemoryWatch extends Watch {
  /**
   * Looks now, and tells of kills whose notification is still on its way. The kernel counts a kill before the
   * victim dies, so whoever sees the victim's end and then calls this knows. Synchronous: the listener has
   * run when it returns. Without effect once closed.
   */
  check(): void;
}

/** See {@link CgroupDriver.openStatistics}. The errors are those of the driver's methods of the same names. */
export interface OpenStatistics {
  memoryStat(): MemoryStat;
  cpuStat(): CpuStat;
  /** Idempotent; asked later, it answers all the same. */
  close(): void;
}

/** A cgroup driver. */
export interface CgroupDriver {
  readonly role: 'cgroup';
  readonly name: string;
  /** Valid after `setup`. */
  readonly supports: CgroupSupports;

  /** Detects hierarchies and tries to make and remove a group in each needed one. Never throws. */
  probe(): Promise<ProbeResult>;

  /**
   * Makes the parent groups. Idempotent, leaves groups of living containers alone.
   * Errors: `UNSUPPORTED` naming the missing controllers.
   */
  setup(): Promise<void>;

  /** Computes the state (group paths). Pure. */
  plan(spec: CgroupSpec): DriverState;

  /**
   * Makes the groups, the device policy and the initial limits. Idempotent. A group may be one that somebody
   * has had before: nothing of him is to be found in it. What the driver needs to know for that is in the
   * state that it answers; where it answers one, it is that one which is recorded, and handed back from then
   * on. Whoever has only the planned one can undo all.
   */
  create(spec: CgroupSpec, state: DriverState): Promise<DriverState | undefined>;

  /**
   * Absolute paths of the files to which a joining single-threaded process writes `0`, in order. Pure.
   * On v1 one `tasks` file per hierarchy, on v2 one `cgroup.procs`.
   */
  joinFiles(state: DriverState): readonly string[];

  /**
   * What init may have beside the limit of processes; `undefined`, or the whole method absent: nothing. Pure.
   * The group that is joined by {@link CgroupDriver.joinFiles} is then the inside.
   */
  reserve?(state: DriverState): ProcessReserve | undefined;
  /**
   * How many processes there are and may be. Absent, or errors `UNSUPPORTED`: nobody counts. Errors:
   * `NATIVE_FAILED`.
   */
  processCount?(state: DriverState): Promise<ProcessCount>;

  /**
   * Sets the CPU shares (2 … 262144, kernel default 1024) and answers the value in force.
   * Errors: message `Failed setting cpu shares: …` (contract).
   */
  setCpuShares(state: DriverState, shares: bigint): Promise<bigint>;
  /** The shares in force; never set = 1024. */
  cpuShares(state: DriverState): Promise<bigint>;

  /**
   * Sets memory and memory+swap to `bytes` (raising writes swap first, lowering memory first) and answers
   * what is in force. A failure half-way puts the old pair back. A new limit below what stays in use ends
   * nobody for it: it is refused with errno `EBUSY` and advice, and nothing has changed. Errors: message
   * `Failed setting memory limit: …` (contract).
   */
  setMemoryLimit(state: DriverState, bytes: bigint): Promise<bigint>;
  /** The limit in force; never limited = 9223372036854771712. */
  memoryLimit(state: DriverState): Promise<bigint>;

  /** Errors: message `Failed getting memory usage: …` (contract). */
  memoryStat(state: DriverState): Promise<MemoryStat>;
  /** Errors: message `Failed getting cpu stats: …` (contract). */
  cpuStat(state: DriverState): Promise<CpuStat>;
  /**
   * The two for somebody who will soon ask, and then at once, as at the end of a job: what can be done before
   * is done now. `undefined`: nothing can. A driver need not have it. The receiver closes it.
   */
  openStatistics?(state: DriverState): OpenStatistics | undefined;

  /** How long processes of the group waited for what they lacked. Errors: `UNSUPPORTED`, `NATIVE_FAILED`. */
  pressureStat(state: DriverState): Promise<PressureStat>;

  /**
   * Stops everything in the group and below where it is, and waits until it stands still. Who joins a frozen
   * group stops too. Idempotent. Errors: `UNSUPPORTED`; `TIMEOUT`, after which the group is thawed again.
   */
  freeze(state: DriverState, timeoutMs: number): Promise<void>;
  /** Lets it go on. Idempotent; success for what was never frozen. Errors: `UNSUPPORTED`, `NATIVE_FAILED`. */
  thaw(state: DriverState): Promise<void>;
  /** Errors: `UNSUPPORTED`, `NATIVE_FAILED`. */
  isFrozen(state: DriverState): Promise<boolean>;

  /**
   * Calls `listener` once for each out-of-memory kill inside the group, until closed. Works without a limit
   * too. Removal of the group is not an event. With `seen`, an answer of
   * {@link CgroupDriver.outOfMemoryKills} that may stem from an earlier daemon, kills since then are told of
   * before this resolves.
   */
  watchOutOfMemory(state: DriverState, listener: () => void, seen?: bigint): Promise<OutOfMemoryWatch>;
  /** How many processes in the group and below the kernel has killed for memory so far. */
  outOfMemoryKills(state: DriverState): Promise<bigint>;

  /** Processes (not threads) in the group and below, as host pids, ascending. Pure read; an absent group has none. */
  pids(state: DriverState): Promise<readonly number[]>;

  /**
   * Kills everything in the group and below, frozen or not, and waits until it is empty. Errors: `TIMEOUT`
   * with the remaining pids.
   */
  killAll(state: DriverState, timeoutMs: number): Promise<void>;

  /**
   * Removes the groups and any nested ones. Idempotent. Waits (bounded) for dying processes. On v1 it takes
   * back what is charged to the memory group first, so that dead groups do not pile up in the kernel; or
   * keeps that group, for the next container, or for pages of files that others read, until
   * {@link CgroupDriver.close}. Errors: `NATIVE_FAILED`, message `Failed to delete <path>`.
   */
  release(state: DriverState): Promise<void>;
  /**
   * The part of {@link CgroupDriver.release} that somebody waits for: afterwards nothing is there under the
   * names that {@link CgroupDriver.plan} gave. What the kernel takes its time to let go may have another name
   * until `release` is called, as soon as the container's files are gone; {@link CgroupDriver.list} tells of
   * it. Idempotent. Absent: `release` is called at once. Errors: those of `release`.
   */
  retire?(state: DriverState): Promise<void>;

  /**
   * Ids that have groups, retired ones too, for reconciliation at start. Groups that this instance keeps are
   * nobody's.
   */
  list(): Promise<readonly ContainerId[]>;

  /**
   * Removes the groups that are kept behind the end of containers; there will be none any more. Those of an
   * instance that was killed are told of by {@link CgroupDriver.list}. Idempotent. Absent: none are kept.
   * Errors: those of `release`.
   */
  close?(): Promise<void>;

  /**
   * What `setup` has made on the host and what stays between daemons, in words, as
   * `nftables table inet warden`; only what is there. Changes nothing. Optional, with
   * {@link CgroupDriver.dismantle}: for taking a configuration off a host.
   */
  standing?(): Promise<readonly string[]>;
  /**
   * Removes that. The caller sees to it that no container is left. Idempotent. Errors: `NATIVE_FAILED` naming
   * what others have put in there.
   */
  dismantle?(): Promise<void>;
}
