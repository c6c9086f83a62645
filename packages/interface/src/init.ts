/**
 * Role *init*: PID 1 of a container, how it is started and how jobs are started through it.
 *
 * ## Lifecycle
 * `prepare` (directory, configuration and mount plan on disk) → `launch` (clone; init waits, its pid is known) → *the network driver
 * attaches* → `proceed` (init builds the root, pivots, listens) → {@link Init} → … → `kill`.
 * After a restart of the daemon: `connect` to the living init; jobs that ran meanwhile are handed over with the latest output and their
 * exit statuses.
 *
 * Init survives its daemon. While none is connected it drains each stream into a bounded ring, so that jobs neither block nor die.
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

/** `count` ids from `inside` on are those from `outside` on on the host. */
export interface IdRange {
  readonly inside: number;
  readonly outside: number;
  readonly count: number;
}

/** What everything inside a container is confined by, init included. */
export interface Confinement {
  /** Users and groups inside as ids of the host. Never contains the host's 0. Empty: no user namespace, root inside is the host's root. */
  readonly idMap: readonly IdRange[];
  /** Bounding set: bit n is capability n of capabilities(7). */
  readonly capabilities: bigint;
  /** Set-user-id programs and file capabilities give nothing. */
  readonly noNewPrivileges: boolean;
  /** The filter of system calls is on. */
  readonly seccomp: boolean;
  /** Core files as the process limits say; false: none, whatever a job asks for, not even to a program of the host. */
  readonly coreDumps: boolean;
  /** Device files outside `/dev` are dead. */
  readonly noDevices: boolean;
  /** `/dev/fuse` is there, an unsafe opt-in. */
  readonly fuse: boolean;
  /** How much of the kernel's own there is inside; `undefined`: as the kernel has it. */
  readonly ceilings: {
    /** Terminals at a time. */
    readonly terminals: number | undefined;
    /** Bytes of `/dev/shm`, and as many of System V shared memory. */
    readonly sharedMemory: number | undefined;
    /** Bytes of `/dev`. */
    readonly devices: number | undefined;
  };
  /** Absolute paths inside that show nothing; what this kernel lacks is left out. */
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
  /** Lines of `etc/config`, in order (spec linux-container.md 5.1). */
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
   * Errors: `NATIVE_FAILED` or `COMMAND_FAILED` (hook) with `stage`, `object`, `errno` or `exitStatus` as init reported them; everything is dead then.
   */
  proceed(): Promise<Init>;
  /** Kills it and waits until its namespaces are empty. Idempotent. */
  abort(): Promise<void>;
  /** Asked when something was done to it in vain: why it has died; `undefined` when it has not, or nobody knows. */
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
  /** Nobody but the receiver of the job's sources ever reads its output: see `SpawnOptions.output`. Only asked of drivers that support `live`. */
  readonly isLive?: boolean;
  /** There is memory left in the container: nothing limits it, or what is used is far from the limit. A hint, by which a job may start sooner. */
  readonly hasRoom?: boolean;
  /** Standard input is a pipe that stays open; `stdin` is empty then. Only asked of drivers that support `interactive`. */
  readonly openInput?: boolean;
  /** The three streams are a terminal of the container's; `stdin` is empty then. Only asked of drivers that support `interactive`. */
  readonly terminal?: TerminalSize | undefined;
  /** Where it starts, absolute inside; default: the user's home. Only asked of drivers that support `interactive`. */
  readonly directory?: string | undefined;
  /** Behind it, when nothing else runs, `Init.prepare` is as good as asked for with the same spec and so many milliseconds. Only asked of an init that has it. */
  readonly nextWithinMs?: number;
}

/** How a process ended: one of the two is a number. */
export type WaitStatus =
  | { readonly exitCode: number; readonly signal?: undefined }
  | { readonly exitCode?: undefined; readonly signal: number };

/** Output that init kept while no daemon was connected. */
export interface KeptOutput {
  /** Of its first byte, counting all that init itself has ever read of the stream (never what a daemon has read). */
  readonly position: bigint;
  readonly length: number;
  /** Bytes before it that nobody has: overwritten since a daemon took what there was. */
  readonly lost: bigint;
}

/** Where a source puts every byte before it delivers it. */
export interface OutputFile {
  /** Open for reading and writing, without O_APPEND. */
  readonly descriptor: number;
  /** Where the next byte goes; the source moves it on. */
  offset: number;
  /** Called once when the file takes no more. Bytes are delivered on, without being in the file. */
  onFailure(error: unknown): void;
}

/**
 * Bytes of one output stream. Flowing starts with `start`. Every chunk is the receiver's own.
 * Nothing is buffered beyond one read and the kernel's pipe; `pause` stops reading and so slows the writer.
 */
export interface ByteSource {
  /** What comes before everything else; of length 0 for a job of this connection. */
  readonly kept: KeptOutput;
  /** Callable once. `onEnd` comes once, after the last chunk. The first `skipKept` bytes of what was kept are left out: the receiver has them. */
  start(onChunk: (chunk: Buffer) => void, onEnd: () => void, skipKept?: number): void;
  pause(): void;
  resume(): void;
  /**
   * For a paused source: calls `listener` once when there is something to read or the end has come, and tells which, as far as it knows without
   * reading. `resume` and `close` call it off, and another call replaces it.
   */
  onceReadable(listener: (isEnd?: boolean) => void): void;
  /**
   * From now on each byte is in the file before it is delivered, and at every moment in the file or still where it came from, so that a killed
   * daemon loses none. Callable once, before anything was delivered or after.
   */
  keepIn(file: OutputFile): void;
  /**
   * Of a paused source that is not started: what is there now, at most 64 KiB, the receiver's own; of length 0 at the end; `undefined`: nothing at present.
   * With `supports.live`, as the two that follow.
   */
  take?(): Buffer | undefined;
  /**
   * Of a paused source that is not started: moves whole pieces, as long as there are such and they are wanted, into a socket, and answers how many when
   * less than a piece is left. With `signal` aborted it ends as soon as it would have to wait, be it in the middle of a piece. Errors: the socket's, `NATIVE_FAILED`;
   * `UNAVAILABLE` with `operation: 'relay'` when a piece was broken off, behind which nothing else can be sent.
   */
  relay?(
    socket: number,
    frame: PieceFrame,
    options: { readonly signal: AbortSignal | undefined; isWanted(): boolean },
  ): Promise<number>;
  /** Where a process that may look into this one finds the pipe. `undefined`: there is none any more. */
  place?(): DescriptorPlace | undefined;
  /**
   * Reads, even while paused, all that is in the pipe now, and of what others print meanwhile no more than some; true when the end was reached. For the
   * moment after the job's exit.
   */
  drain(): boolean;
  /** Stops and frees the descriptor; `onEnd` is not called any more. Idempotent. */
  close(): void;
}

/** Where a job's standard input is written to. */
export interface ByteSink {
  /**
   * Resolves when all is written, in the order of the calls. Errors: `NATIVE_FAILED` with errno EPIPE when nobody reads any more, `UNAVAILABLE` once closed, `ABORTED`.
   */
  write(bytes: Uint8Array, signal?: AbortSignal): Promise<void>;
  /** Gives the descriptor back after what is being written; what waits behind that fails. Idempotent. */
  close(): void;
}

/** A job as init knows it. */
export interface InitJob {
  readonly id: number;
  /** There while the job's input can be written: see `JobSpec.openInput` and `terminal`. After a restart, too. */
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
  /** Errors: `NATIVE_FAILED` (EAGAIN: as many processes as there may be, EMFILE …), `UNAVAILABLE`. Failures of user look-up or exec are the job's own exit 255. */
  spawn(spec: JobSpec): Promise<InitJob>;
  /**
   * Starts the bash of `spec` before anybody asks for it, to wait for that many milliseconds: the next `spawn` that says the same but for number and input may be that
   * process, and its script sees what it would have seen otherwise. It is only there while nothing else runs; anything else that is asked of this init, or of anybody
   * inside, ends it, with what it may have started, before a job begins. Asked for a spec without open input and terminal, whose output is not discarded and whose
   * environment has nothing that bash reads at its start. Fire and forget: whether it comes to anything changes nothing but the time that the next one takes. Absent: this
   * init cannot.
   */
  prepare?(spec: JobSpec, milliseconds: number): void;
  /**
   * What {@link recoveredJobs} brought is put away: init may drop it. Until then it keeps all for another daemon, should this one die. Any other
   * request says the same. Fire and forget.
   */
  acknowledge(): void;
  /**
   * Signals a job's process, or with `tree` all its descendants too (see `Job.kill`). An ended job is success. Signal 0 is none: it asks init for
   * an answer.
   */
  signalJob(jobId: number, signal: number, tree: boolean): Promise<void>;
  /** Signals every process in the container except init. */
  signalAll(signal: number): Promise<void>;
  /** Answers true as soon as no process besides init is left, false after `timeoutMs`. */
  waitEmpty(timeoutMs: number): Promise<boolean>;
  /** It is about to stand still, or goes on: one that stands still on purpose is not given up for its silence. */
  excuse?(isExcused: boolean): void;
  /** Lets init drop the kept status and ring of an ended job. Fire and forget. */
  forget(jobId: number): void;
  /**
   * Starts a copy and answers when both of its sides run. No job, and not handed over: it ends with the daemon, with init, and with
   * `signalAll`. Errors: as `spawn`, `TIMEOUT`.
   */
  copy(spec: CopySpec): Promise<RunningCopy>;
  /** Lets go of init's own end of the job's input, so that closing the daemon's ends it. An ended job is success. With `supports.interactive`. */
  endInput?(jobId: number): Promise<void>;
  /** Sets the size of the job's terminal. An ended job is success. With `supports.interactive`. */
  resize?(jobId: number, size: TerminalSize): Promise<void>;
  /**
   * Starts a program of ours that works on files inside. No job; it ends with the channel, the daemon and init. With `supports.files`. Errors: as `spawn`,
   * `TIMEOUT`.
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
   * Containers have a root, a network, users and limits of their own. False: they are plain processes of the daemon's user in a working
   * directory; mounts, network, user, niceness, environment and limits of the specs have no effect, and the other roles' drivers are `none`.
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
  /** `write`: permissions; absent: as the file that is replaced has. Set-user-id and set-group-id bits are left out, as `write-tar` leaves out those of an archive. */
  readonly mode?: number;
}

/** What comes out of a {@link FileChannel}. */
export type FileAnswer =
  | { readonly kind: 'data'; readonly data: Uint8Array }
  | { readonly kind: 'entry'; readonly entry: DirectoryEntry }
  | { readonly kind: 'change'; readonly change: FileChange };

/** The way to a {@link FileTask} that runs. */
export interface FileChannel {
  /**
   * What it answers, in order; ends when it is done. Errors: `INVALID_SPEC`, `FORBIDDEN` and `NATIVE_FAILED` with `operation`, `object` and `errno`; `UNAVAILABLE` when it
   * ended without a word. Iterable once. Slow reading slows the task.
   */
  answers(): AsyncIterable<FileAnswer>;
  /** Gives bytes to a writing task; resolves when there is room for more, and also when it has ended, which `answers` tells. */
  send(bytes: Uint8Array): Promise<void>;
  /** All bytes have been given; without it, what was begun is not put in place. */
  finish(): Promise<void>;
  /** Ends it, whatever it does. Idempotent. Settles when nothing of it runs any more. */
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
   * Begins a launch before `prepare`, as far as it needs nothing of what `prepare` writes, so that both happen at the same time; optional. The
   * directory exists and is mounted where it is a mount. `launch` takes over what was begun and tells what went wrong with it. The answer gives it
   * up, for when `launch` is not to follow: nothing of it lives then. It never throws, is idempotent, and does nothing after `launch`.
   */
  begin?(spec: InitSpec): () => Promise<void>;
  /**
   * Makes the container's directory from the skeleton (`bin etc jobs lib mnt run tmp`; without isolation `bin jobs pids root run tmp`) and writes `etc/config`, the mount plan and init's configuration.
   * The directory itself may exist and be empty but for core's records, or hold all of `reusable` besides. Idempotent.
   */
  prepare(spec: InitSpec): Promise<void>;
  /** After `setup`: what of the skeleton the next container can have from one that was destroyed, by path in its directory, each behind what it lies in; optional. */
  reusable?(): readonly ReusableEntry[];
  /** Starts the launcher. On failure nothing of it lives. Errors as `proceed`. */
  launch(spec: InitSpec): Promise<LaunchedInit>;
  /**
   * Connects to a living init of an earlier daemon; `undefined` when there is none (socket missing or refused), and when the directory is
   * incomplete, which `etc/config` tells: an init that lives there is killed. Errors: `TIMEOUT` when it does not answer.
   */
  connect(directory: string): Promise<Init | undefined>;
}
