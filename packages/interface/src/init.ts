/**
 * Role *init*: PID 1 of a container, how it is started and how jobs are started through it.
 *
 * ## Lifecycle
 * `prepare` (directory, configuration and mount plan on disk) → `launch` (clone; init waits, its pid is
 * known) → *the network driver attaches* → `proceed` (init builds the root, pivots, listens) → {@link Init} →
 * … → `kill`. After a restart of the daemon, `connect` reaches the living init, which hands over the jobs
 * that ran meanwhile, with their latest output and exit statuses.
 *
 * Init survives its daemon. While none is connected it drains each stream into a bounded ring, so that jobs
 * neither block nor die.
 */
import type { ProcessReserve } from './cgroup.ts';
import type { CopySpec, RunningCopy } from './copy.ts';
import type { ContainerId, ReusableEntry } from './driver.ts';
import type { DirectoryEntry, FileChange } from './files.ts';
import type { Mount } from './filesystem.ts';
import type { InsideNetwork } from './network.ts';
import type { DescriptorPlace, PieceFrame } from './output.ts';
import type { BindMountSpec, TerminalSize } from './warden.ts';

/** The unprivileged user jobs run as; made inside if the root file system lacks it, renumbered if it has it. */
export interface UnprivilegedUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
  readonly shell: string;
}

/** Maps `count` ids, beginning with `inside` in the container and with `outside` on the host. */
export interface IdRange {
  readonly inside: number;
  readonly outside: number;
  readonly count: number;
}

/** The confinement of everything inside a container, init included. */
export interface Confinement {
  /**
   * Users and groups inside as ids of the host. Never contains the host's 0. Empty: no user namespace, root
   * inside is the host's root.
   */
  readonly idMap: readonly IdRange[];
  /** Bounding set: bit n is capability n of capabilities(7). */
  readonly capabilities: bigint;
  /** Set-user-id bits and file capabilities have no effect. */
  readonly noNewPrivileges: boolean;
  /** The system-call filter is on. */
  readonly seccomp: boolean;
  /**
   * True: core dumps as the process limits allow. False: none, whatever a job asks for, not even to a program
   * of the host.
   */
  readonly coreDumps: boolean;
  /** Device files outside `/dev` cannot be opened. */
  readonly noDevices: boolean;
  /** `/dev/fuse` exists inside: an unsafe opt-in. */
  readonly fuse: boolean;
  /** Limits of the kernel's resources inside; `undefined`: the kernel's own limit. */
  readonly ceilings: {
    /** Terminals at a time. */
    readonly terminals: number | undefined;
    /** Bytes of `/dev/shm`, and as many of System V shared memory. */
    readonly sharedMemory: number | undefined;
    /** Bytes of `/dev`. */
    readonly devices: number | undefined;
  };
  /** Absolute paths inside whose content is hidden; those that this kernel lacks are skipped. */
  readonly maskedPaths: readonly string[];
  /** Absolute paths inside that cannot be written. */
  readonly readonlyPaths: readonly string[];
}

/** No confinement beyond namespaces and device policy: for nested wardens and tests of other things. */
export const UNCONFINED: Confinement = Object.freeze({
  idMap: [],
  capabilities: 0xffff_ffff_ffff_ffffn,
  noNewPrivileges: false,
  seccomp: false,
  coreDumps: true,
  noDevices: false,
  fuse: true,
  ceilings: { terminals: undefined, sharedMemory: undefined, devices: undefined },
  maskedPaths: [],
  readonlyPaths: [],
});

/** Everything init needs. Complete, checked, frozen. */
export interface InitSpec {
  readonly id: ContainerId;
  /** The container's directory in the depot, absolute; at most 60 bytes so that socket paths fit. */
  readonly directory: string;
  readonly hostname: string;
  /** Lines of `etc/config`, in order. */
  readonly config: readonly (readonly [key: string, value: string])[];
  /** Environment of the operator's hooks (spec section 4). */
  readonly hookEnvironment: Readonly<Record<string, string>>;
  /** The file-system driver's mounts; the first has target `/`. Init adds /proc, /dev and the rest itself. */
  readonly mounts: readonly Mount[];
  readonly bindMounts: readonly BindMountSpec[];
  readonly network: InsideNetwork | undefined;
  /** See `CgroupDriver.joinFiles`. */
  readonly cgroupJoinFiles: readonly string[];
  /** See `CgroupDriver.reserve`. */
  readonly processReserve?: ProcessReserve | undefined;
  readonly user: UnprivilegedUser;
  readonly confinement: Confinement;
  /** Whole content of the files. */
  readonly hosts: string;
  readonly resolvConf: string;
  /** Niceness of init and all below, -20 to 19. */
  readonly nice: number;
}

/** A cloned init that waits: its namespaces exist, nothing of the root file system has run. */
export interface LaunchedInit {
  /** Host pid. It cannot be reused before `proceed` or `abort` settles. */
  readonly pid: number;
  /**
   * Lets init build its root and answers when it listens.
   * Errors: `NATIVE_FAILED` or `COMMAND_FAILED` (hook) with `stage`, `object`, `errno` or `exitStatus` as
   * init reported them; everything is dead then.
   */
  proceed(): Promise<Init>;
  /** Kills it and waits until its namespaces are empty. Idempotent. */
  abort(): Promise<void>;
  /** For whoever failed to do something to it: why it died; `undefined` when it is alive, or nobody knows. */
  whyDead?(): Promise<unknown>;
}

/** A process to run. `stdin` is the whole standard input. */
export interface JobSpec {
  readonly id: number;
  readonly argv: readonly string[];
  /** Name in the container's /etc/passwd. */
  readonly user: string;
  readonly stdin: Uint8Array;
  /** Besides HOME, USER and PATH, which init sets from the user. */
  readonly environment: Readonly<Record<string, string>>;
  /** Numeric RLIMIT_* of Linux with soft and hard; 2^64-1 = infinity. */
  readonly rlimits: readonly { readonly resource: number; readonly soft: bigint; readonly hard: bigint }[];
  /** Init keeps only the ring of the streams; the job's sources end at once. */
  readonly discardOutput: boolean;
  /** See `SpawnOptions.trackTree`. */
  readonly trackTree: boolean;
  /**
   * Nobody but the receiver of the job's sources ever reads its output: see `SpawnOptions.output`. Only for
   * drivers that support `live`.
   */
  readonly isLive?: boolean;
  /**
   * The container has memory left: it has no limit, or its usage is far from the limit. A hint, by which a
   * job may start sooner.
   */
  readonly hasRoom?: boolean;
  /** Standard input is a pipe that stays open; `stdin` is empty then. Only for drivers that support `interactive`. */
  readonly openInput?: boolean;
  /**
   * The three streams are a terminal of the container; `stdin` is empty then. Only for drivers that support
   * `interactive`.
   */
  readonly terminal?: TerminalSize | undefined;
  /** Its working directory, absolute inside; default: the user's home. Only for drivers that support `interactive`. */
  readonly directory?: string | undefined;
  /**
   * When the job has ended and nothing else runs, init does what `Init.prepare` does for the same spec and
   * this time. Only for an init that has `prepare`.
   */
  readonly nextWithinMs?: number;
}

/** How a process ended: one of the two is a number. */
export type WaitStatus =
  | { readonly exitCode: number; readonly signal?: undefined }
  | { readonly exitCode?: undefined; readonly signal: number };

/** Output that init kept while no daemon was connected. */
export interface KeptOutput {
  /**
   * Position of its first byte in all that init itself has ever read of the stream (what a daemon has read
   * does not count).
   */
  readonly position: bigint;
  readonly length: number;
  /** Bytes before it that are lost: overwritten since a daemon last took what there was. */
  readonly lost: bigint;
}

/** The file in which a source stores every byte before it delivers it. */
export interface OutputFile {
  /** Open for reading and writing, without O_APPEND. */
  readonly descriptor: number;
  /** Where the next byte goes; the source advances it. */
  offset: number;
  /** Called once, when the file takes no more. From then on bytes are delivered without being stored. */
  onFailure(error: unknown): void;
}

/**
 * Bytes of one output stream. Flowing starts with `start`. Every chunk is the receiver's own.
 * Nothing is buffered beyond one read and the kernel's pipe; `pause` stops reading and so slows the writer.
 */
export interface ByteSource {
  /** Output that init kept, which is delivered first; of length 0 for a job of this connection. */
  readonly kept: KeptOutput;
  /**
   * Callable once. `onEnd` is called once, after the last chunk. The first `skipKept` bytes of `kept` are
   * skipped: the receiver has them.
   */
  start(onChunk: (chunk: Buffer) => void, onEnd: () => void, skipKept?: number): void;
  pause(): void;
  resume(): void;
  /**
   * For a paused source: calls `listener` once when there is something to read or the end has come, and tells
   * which, as far as it knows without reading. `resume` and `close` call it off, and another call replaces
   * it.
   */
  onceReadable(listener: (isEnd?: boolean) => void): void;
  /**
   * From now on each byte is stored in the file before it is delivered. At every moment it is in the file or
   * still where it came from, so that a killed daemon loses none. Callable once, before anything was
   * delivered or after.
   */
  keepIn(file: OutputFile): void;
  /**
   * For a paused source that is not started: returns what is there now, at most 64 KiB, which is the
   * receiver's own; a buffer of length 0 at the end; `undefined` when there is nothing at present. With
   * `supports.live`, as are `relay` and `place`.
   */
  take?(): Buffer | undefined;
  /**
   * For a paused source that is not started: moves whole pieces into a socket, as long as there are any and
   * they are wanted, and returns their number when less than a piece is left. When `signal` is aborted it
   * ends as soon as it would have to wait, even in the middle of a piece. Errors: the socket's,
   * `NATIVE_FAILED`; `UNAVAILABLE` with `operation: 'relay'` when a piece was broken off, after which nothing
   * else can be sent.
   */
  relay?(
    socket: number,
    frame: PieceFrame,
    options: { readonly signal: AbortSignal | undefined; isWanted(): boolean },
  ): Promise<number>;
  /** Where a process that may look into this one finds the pipe. `undefined`: there is none any more. */
  place?(): DescriptorPlace | undefined;
  /**
   * For the moment after the job's exit: reads, even while paused, all that is in the pipe now, and a bounded
   * amount of what others print meanwhile. Returns true when the end was reached.
   */
  drain(): boolean;
  /** Stops and frees the descriptor; `onEnd` is not called any more. Idempotent. */
  close(): void;
}

/** Where a job's standard input is written to. */
export interface ByteSink {
  /**
   * Resolves when all is written, in the order of the calls. Errors: `NATIVE_FAILED` with errno EPIPE when
   * nobody reads any more, `UNAVAILABLE` once closed, `ABORTED`.
   */
  write(bytes: Uint8Array, signal?: AbortSignal): Promise<void>;
  /** Closes the descriptor after the write in progress; writes that wait behind it fail. Idempotent. */
  close(): void;
}

/** A job as init knows it. */
export interface InitJob {
  readonly id: number;
  /** Present while the job's input can be written (see `JobSpec.openInput` and `terminal`), also after a restart. */
  readonly input?: ByteSink | undefined;
  /** Its streams are a terminal; all output is `stdout`. */
  readonly isTerminal?: boolean;
  readonly stdout: ByteSource;
  readonly stderr: ByteSource;
  /** As in its {@link JobSpec}. */
  readonly discardOutput: boolean;
  /** As in its {@link JobSpec}. */
  readonly isLive?: boolean;
  /** Settles when the process has ended; rejects with `UNAVAILABLE` when the connection to init is lost first. */
  readonly exited: Promise<WaitStatus>;
}

/** A connection to a living init. */
export interface Init {
  /** Host pid as the kernel vouches for it (SO_PEERCRED), never from a file. */
  readonly pid: number;
  /** Jobs handed over at `connect`; empty after `proceed`. */
  readonly recoveredJobs: readonly InitJob[];
  /**
   * Starts a job. A failed look-up of the user, or a failed exec, is the job's own exit 255. Errors:
   * `NATIVE_FAILED` (EAGAIN: the limit of processes is reached, EMFILE …), `UNAVAILABLE`.
   */
  spawn(spec: JobSpec): Promise<InitJob>;
  /**
   * Starts the bash of `spec` ahead of a request; it waits for that many milliseconds. The next `spawn` whose
   * spec differs only in number and input may get that process, and its script sees what it would have seen
   * otherwise. The process exists only while nothing else runs: any other request to this init, or to anybody
   * inside, ends it, with what it may have started, before a job begins. Called for specs without open input
   * and terminal, whose output is not discarded, and whose environment has nothing that bash reads at its
   * start. Fire and forget: its success changes only how long the next job takes to start. Absent: this init
   * cannot do it.
   */
  prepare?(spec: JobSpec, milliseconds: number): void;
  /**
   * The content of {@link recoveredJobs} is stored, and init may drop it. Until then init keeps everything
   * for another daemon, should this one die. Any other request implies it. Fire and forget.
   */
  acknowledge(): void;
  /**
   * Signals a job's process, or with `tree` all its descendants too (see `Job.kill`). An ended job is
   * success. Signal 0 is none: it asks init for an answer.
   */
  signalJob(jobId: number, signal: number, tree: boolean): Promise<void>;
  /** Signals every process in the container except init. */
  signalAll(signal: number): Promise<void>;
  /** Resolves with true as soon as no process besides init is left, with false after `timeoutMs`. */
  waitEmpty(timeoutMs: number): Promise<boolean>;
  /**
   * Tells that init is about to be frozen, or was thawed: a frozen init does not count as lost because it is
   * silent, and one that goes on has its whole time for what it was asked meanwhile.
   */
  excuse?(isExcused: boolean): void;
  /** Lets init drop the kept status and ring of an ended job. Fire and forget. */
  forget(jobId: number): void;
  /**
   * Starts a copy and resolves when both of its sides run. A copy is not a job, and is not handed over: it
   * ends with the daemon, with init, and with `signalAll`. Errors: as `spawn`, `TIMEOUT`.
   */
  copy(spec: CopySpec): Promise<RunningCopy>;
  /**
   * Closes init's own end of the job's input, so that the input ends when the daemon closes its end. An ended
   * job is success. With `supports.interactive`.
   */
  endInput?(jobId: number): Promise<void>;
  /** Sets the size of the job's terminal. An ended job is success. With `supports.interactive`. */
  resize?(jobId: number, size: TerminalSize): Promise<void>;
  /**
   * Starts `warden-copy` inside, for one operation on files. It is not a job, and ends with the channel, the
   * daemon and init. With `supports.files`. Errors: as `spawn`, `TIMEOUT`.
   */
  openFiles?(spec: FileTask): Promise<FileChannel>;
  /** Settles when init is gone (or its connection broke). Never rejects. */
  readonly closed: Promise<void>;
  /** Closes the connection; init and jobs live on and rings are kept. Idempotent. */
  disconnect(): void;
  /** Kills init, and with it everything in the container, and waits until it is gone. Idempotent. Errors: `TIMEOUT`. */
  kill(timeoutMs?: number): Promise<void>;
}

/** What an init driver can do. */
export interface InitSupports {
  /**
   * Containers have a root, a network, users and limits of their own. False: they are plain processes of the
   * daemon's user in a working directory; mounts, network, user, niceness, environment and limits of the
   * specs have no effect, and the other roles' drivers are `none`.
   */
  readonly isolation: boolean;
  /** Jobs with open input, terminals and a directory of their own. Absent: no. */
  readonly interactive?: boolean;
  /** Jobs whose output nobody keeps. Absent: no. */
  readonly live?: boolean;
  /** `Init.openFiles`. Absent: no. */
  readonly files?: boolean;
}

/** What to do with a file inside. Complete and checked. */
export interface FileTask {
  readonly operation: 'stat' | 'list' | 'read' | 'write' | 'watch' | 'read-tar' | 'write-tar';
  /** Absolute, inside. */
  readonly path: string;
  /** Name of the user inside who does it. */
  readonly user: string;
  /** `read`: first byte, and how many at most. */
  readonly offset?: bigint;
  readonly length?: bigint;
  /**
   * `write`: permissions; absent: as the file that is replaced has. Set-user-id and set-group-id bits are
   * left out, as `write-tar` leaves out those of an archive.
   */
  readonly mode?: number;
}

/** An answer of a {@link FileChannel}. */
export type FileAnswer =
  | { readonly kind: 'data'; readonly data: Uint8Array }
  | { readonly kind: 'entry'; readonly entry: DirectoryEntry }
  | { readonly kind: 'change'; readonly change: FileChange };

/** The connection to a running {@link FileTask}. */
export interface FileChannel {
  /**
   * The answers of the task, in order, until it is done. Iterable once. Slow reading slows the task. Errors:
   * `INVALID_SPEC`, `FORBIDDEN` and `NATIVE_FAILED` with `operation`, `object` and `errno`; `UNAVAILABLE`
   * when the task ended without telling why.
   */
  answers(): AsyncIterable<FileAnswer>;
  /**
   * Sends bytes to a writing task. Resolves when there is room for more, and also when the task has ended,
   * which `answers` tells.
   */
  send(bytes: Uint8Array): Promise<void>;
  /** All bytes have been sent. Without this call, a file that was begun does not take its place. */
  finish(): Promise<void>;
  /** Ends the task, whatever it does. Idempotent. Settles when nothing of it runs any more. */
  close(): Promise<void>;
}

/** The init driver. */
export interface InitDriver {
  readonly role: 'init';
  readonly name: string;
  readonly supports: InitSupports;
  /** Finds its binaries and tries the namespaces it needs. Never throws. */
  probe(): Promise<import('./driver.ts').ProbeResult>;
  /** Once per daemon start: stages binaries and skeleton below `depot` so that containers can link them. Idempotent. */
  setup(depot: string): Promise<void>;
  /**
   * Optional. Begins a launch before `prepare`, as far as it needs nothing that `prepare` writes, so that
   * both happen at the same time. The directory exists, and is mounted if it is a mount. `launch` takes over
   * what was begun, and reports what went wrong with it. Returns a function for the case that no `launch`
   * follows: it ends what was begun. That function never throws, is idempotent, and does nothing after
   * `launch`.
   */
  begin?(spec: InitSpec): () => Promise<void>;
  /**
   * Makes the container's directory from the skeleton (`bin etc jobs lib mnt run tmp`; without isolation
   * `bin jobs pids root run tmp`) and writes `etc/config`, the mount plan and init's configuration. The
   * directory may exist already; apart from core's records it is then empty, or holds all of `reusable`.
   * Idempotent.
   */
  prepare(spec: InitSpec): Promise<void>;
  /**
   * Optional, after `setup`: the entries of the skeleton that the next container can get from one that was
   * destroyed, by path in the container's directory, each after the directory that it lies in.
   */
  reusable?(): readonly ReusableEntry[];
  /** Starts the launcher. On failure nothing of it lives. Errors as `proceed`. */
  launch(spec: InitSpec): Promise<LaunchedInit>;
  /**
   * Connects to a living init of an earlier daemon; `undefined` when there is none (socket missing or
   * refused), and when the directory is incomplete, which `etc/config` tells: an init that lives there is
   * killed. Errors: `TIMEOUT` when it does not answer.
   */
  connect(directory: string): Promise<Init | undefined>;
}
