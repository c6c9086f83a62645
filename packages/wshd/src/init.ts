/** A connection to a living init: what the daemon can ask of a container. */
import {
  type CopySpec,
  type FileChannel,
  type FileTask,
  type Init,
  type InitJob,
  isWardenError,
  type JobSpec,
  type RunningCopy,
  type TerminalSize,
  WardenError,
} from '@warden/interface';
import {
  closeDescriptor,
  connectUnix,
  makeSealedMemfd,
  makeSealedMemfdOnThread,
  peerCredentials,
} from '@warden/native';
import { Connection, unavailable } from './connection.ts';
import { type EndSignals, InitProcess } from './init-process.ts';
import { JobTable } from './job-table.ts';
import {
  ABILITY,
  ALL_JOBS,
  isInputInline,
  MESSAGE,
  type MessageReader,
  protocolError,
  ROLE,
  writePrepare,
  writeSpawn,
} from './protocol.ts';

/**
 * Init answers at once; longer than this it hangs or is stopped. On a machine that has more to do than it
 * can, it may take a while, and a container whose init misses this is set aside.
 */
const HELLO_TIMEOUT_MS = 15_000;
const KILL_TIMEOUT_MS = 10_000;
/** What the kernel says of a connection whose other end is gone. */
const HUNG_UP = ['EPIPE', 'ECONNRESET'];
/**
 * An init that lives and hangs up is short of something, mostly because of who is inside, and may not be a moment
 * later: as often as this, with this pause. Nobody is served meanwhile by a daemon that starts.
 */
const TRIES = 20;
const TRY_AGAIN_MS = 100;
const SIGKILL = 9;
/**
 * So long init may keep what it could forget: a message of its own would wake it up, and its answer this
 * process, once more for each job.
 */
const FORGET_WITHIN_MS = 20;
/**
 * To copy more takes longer than to ask a thread for it, and much longer where the kernel must find the
 * memory first.
 */
const COPY_AT_ONCE_BYTES = 256 * 1024;

/** How containers of one kind differ for the daemon. */
export interface ContainerKind {
  readonly end: EndSignals;
  /** What of a job's spec has a meaning there. */
  adapt(spec: JobSpec): JobSpec;
  /** See `Init.copy`; `directory` is the container's. */
  startCopy(spec: CopySpec, directory: string): Promise<RunningCopy>;
  /** See `Init.openFiles`; `directory` is the container's. */
  openFiles(task: FileTask, directory: string): Promise<FileChannel>;
}

/**
 * Connects to `run/wshd.sock` below `directory` and takes over the jobs.
 * `undefined`: nobody listens. Errors: `TIMEOUT`, `NATIVE_FAILED`; `UNAVAILABLE` of an init that lives, and takes
 * no connection.
 */
export async function connectInit(directory: string, kind: ContainerKind): Promise<Init | undefined> {
  for (let tries = 1; ; tries++) {
    const fd = connectUnix(`${directory}/run/wshd.sock`, 'seqpacket');
    if (typeof fd === 'string') return undefined;
    const init = openInit(fd, directory, kind);
    if (init === undefined) return undefined;
    try {
      await init.hello();
      return init;
    } catch (error) {
      const isTurnedAway = hasHungUp(error);
      const isDead = isTurnedAway && (await init.hasEnded(TRY_AGAIN_MS));
      init.disconnect();
      if (isDead) return undefined; // between connect and its answer
      if (!isTurnedAway) throw isWardenError(error) && isWardenError(error.cause) ? error.cause : error;
      // one that dies has closed what it listens at as well: the next try finds nobody
      if (tries === TRIES) throw turnedAway(init.pid, error);
    }
  }
}

/**
 * Whether the other side has closed the connection: the kernel for an init that dies, but also an init that has
 * no room for one more. A connection that failed on this side says nothing of init at all.
 */
function hasHungUp(error: unknown): boolean {
  if (!isWardenError(error, 'UNAVAILABLE')) return false;
  const { cause } = error;
  return cause === undefined || (isWardenError(cause) && HUNG_UP.includes(String(cause.fields.errno)));
}

function turnedAway(pid: number, cause: unknown): WardenError {
  return new WardenError('UNAVAILABLE', `init ${pid} lives and turns the daemon away`, {
    cause,
    fields: {
      ...{ operation: 'connect', object: 'run/wshd.sock', pid, tries: TRIES },
      advice:
        'whoever is inside may have taken all descriptors or watches that init may have: the next start tries again',
    },
  });
}

/** Owns `fd`. `undefined`: the listener has died since. */
function openInit(fd: number, directory: string, kind: ContainerKind): ConnectedInit | undefined {
  let owned: number | undefined = fd;
  let process: InitProcess | undefined;
  try {
    // opened before HELLO is sent: its answer then proves that the pid was still init's
    process = new InitProcess(peerCredentials(fd).pid, kind.end);
    owned = undefined;
    return new ConnectedInit(fd, directory, process, kind);
  } catch (error) {
    process?.release();
    if (isWardenError(error) && error.fields.errno === 'ESRCH') return undefined;
    throw error;
  } finally {
    if (owned !== undefined) closeDescriptor(owned);
  }
}

class ConnectedInit implements Init {
  readonly closed: Promise<void>;
  recoveredJobs: readonly InitJob[] = [];
  readonly #process: InitProcess;
  readonly #kind: ContainerKind;
  readonly #directory: string;
  readonly #connection: Connection;
  readonly #jobs = new JobTable();
  #resolveClosed!: () => void;
  #onReady: (() => void) | undefined;
  #onHelloFailed: ((error: WardenError) => void) | undefined;
  #disconnecting = false;
  readonly #toForget: number[] = [];
  #forgetting: NodeJS.Timeout | undefined;
  #abilities = 0;

  constructor(fd: number, directory: string, process: InitProcess, kind: ContainerKind) {
    this.#directory = directory;
    this.#process = process;
    this.#kind = kind;
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    this.#connection = new Connection(fd, {
      onEvent: (message, fds) => this.#event(message, fds),
      onClosed: (reason) => this.#lost(reason),
    });
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Introduces the daemon and waits until the hand-over is complete. */
  async hello(): Promise<void> {
    const ready = new Promise<void>((resolve, reject) => {
      this.#onReady = resolve;
      this.#onHelloFailed = reject;
    });
    const timer = setTimeout(() => {
      const error = new WardenError(
        'TIMEOUT',
        `init ${this.pid} did not answer within ${HELLO_TIMEOUT_MS} ms`,
        {
          fields: { operation: 'connect', timeoutMs: HELLO_TIMEOUT_MS },
        },
      );
      // what it has said may lie there for long, and this process have stood still: the loop looks once more
      setImmediate(() => this.#onHelloFailed?.(error));
    }, HELLO_TIMEOUT_MS);
    this.#connection
      .request(
        'hello',
        (w, sequence) => w.begin(MESSAGE.HELLO, sequence).u32(ROLE.DAEMON).finish(),
        MESSAGE.WELCOME,
        (message) => {
          message.u32(); // so many jobs will be handed over
          // an init that is older than this daemon says nothing more
          this.#abilities = message.hasMore ? message.u32() : 0;
        },
      )
      .catch((error: WardenError) => this.#onHelloFailed?.(error));
    try {
      await ready;
    } finally {
      clearTimeout(timer);
      this.#onReady = undefined;
      this.#onHelloFailed = undefined;
    }
  }

  async spawn(spec: JobSpec): Promise<InitJob> {
    const inline = isInputInline(spec) || spec.openInput === true || spec.terminal !== undefined;
    const fds = inline ? [] : [await inputFile(spec.stdin)];
    if (this.#toForget.includes(spec.id)) this.#sendForgotten(); // as long as init knows it, it is taken
    const spawned = this.#connection.request(
      'spawn',
      (writer, sequence) => writeSpawn(writer, sequence, this.#adapt(spec), inline),
      MESSAGE.SPAWNED,
      (message, received) => this.#jobs.spawned(message, received, spec),
      { fds, onLostFds: (message) => this.#abandon(message.u32()) },
    );
    this.#sendForgotten(); // behind it: init is awake anyway, and both answers are read in one turn
    return await spawned;
  }

  /** It runs, and nobody can have its output: who asked for it is told that it was not started. */
  #abandon(jobId: number): void {
    this.#jobs.abandon(jobId);
    this.signalJob(jobId, SIGKILL, true).catch(() => {}); // without init it has ended
  }

  prepare(spec: JobSpec, milliseconds: number): void {
    if (!this.#can(ABILITY.CAN_PREPARE)) return;
    try {
      this.#connection.tell((writer, sequence) =>
        writePrepare(writer, sequence, this.#adapt(spec), milliseconds),
      );
    } catch {
      // a few bytes longer than the job it was made from, it may be too long for a message
    }
  }

  #can(ability: number): boolean {
    return (this.#abilities & ability) !== 0;
  }

  /** An older init would prepare nothing with a flag that it does not know. */
  #adapt(spec: JobSpec): JobSpec {
    const adapted = this.#kind.adapt(spec);
    return spec.hasRoom === true && !this.#can(ABILITY.CAN_LEND) ? { ...adapted, hasRoom: false } : adapted;
  }

  acknowledge(): void {
    this.#sendForget(0); // no job has this id
  }

  async signalJob(jobId: number, signal: number, tree: boolean): Promise<void> {
    await this.#connection.request(
      'signal',
      (w, sequence) =>
        w
          .begin(MESSAGE.SIGNAL, sequence)
          .u32(jobId)
          .i32(signal)
          .u32(tree ? 1 : 0)
          .finish(),
      MESSAGE.OK,
      () => {},
    );
  }

  async endInput(jobId: number): Promise<void> {
    await this.#connection.request(
      'end-input',
      (w, sequence) => w.begin(MESSAGE.END_INPUT, sequence).u32(jobId).finish(),
      MESSAGE.OK,
      () => {},
    );
  }

  async resize(jobId: number, { rows, columns }: TerminalSize): Promise<void> {
    await this.#connection.request(
      'resize',
      (w, sequence) => w.begin(MESSAGE.RESIZE, sequence).u32(jobId).u16(rows).u16(columns).finish(),
      MESSAGE.OK,
      () => {},
    );
  }

  signalAll(signal: number): Promise<void> {
    return this.signalJob(ALL_JOBS, signal, false);
  }

  async waitEmpty(timeoutMs: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<false>((resolve) => {
      timer = setTimeout(() => resolve(false), timeoutMs);
    });
    const empty = this.#connection.request(
      'wait-empty',
      (w, sequence) => w.begin(MESSAGE.WAIT_EMPTY, sequence).finish(),
      MESSAGE.OK,
      () => true,
      { isPatient: true },
    );
    try {
      // a wait that lost the race is answered some time later, when nobody listens to it any more
      return await Promise.race([empty, timeout]);
    } finally {
      clearTimeout(timer);
    }
  }

  forget(jobId: number): void {
    this.#jobs.forget(jobId);
    if (!this.#connection.isOpen) return;
    this.#toForget.push(jobId);
    this.#forgetting ??= setTimeout(() => this.#sendForgotten(), FORGET_WITHIN_MS).unref();
  }

  #sendForgotten(): void {
    clearTimeout(this.#forgetting);
    this.#forgetting = undefined;
    for (const jobId of this.#toForget.splice(0)) this.#sendForget(jobId);
  }

  #sendForget(jobId: number): void {
    if (!this.#connection.isOpen) return;
    this.#connection
      .request(
        'forget',
        (w, sequence) => w.begin(MESSAGE.FORGET, sequence).u32(jobId).finish(),
        MESSAGE.OK,
        () => {},
      )
      .catch(() => {}); // without init there is nothing left to forget
  }

  excuse(isExcused: boolean): void {
    this.#connection.excuse(isExcused);
  }

  async copy(spec: CopySpec): Promise<RunningCopy> {
    return await this.#kind.startCopy(spec, this.#directory);
  }

  openFiles(task: FileTask): Promise<FileChannel> {
    return this.#kind.openFiles(task, this.#directory);
  }

  disconnect(): void {
    this.#sendForgotten(); // the next daemon is not to be told of them
    this.#disconnecting = true;
    this.#connection.close(() => unavailable('disconnect'));
    this.#process.release();
  }

  /** Whether it has died, or does within the time. */
  hasEnded(timeoutMs: number): Promise<boolean> {
    return this.#process.hasEnded(timeoutMs);
  }

  async kill(timeoutMs: number = KILL_TIMEOUT_MS): Promise<void> {
    await this.#process.kill(timeoutMs);
    this.#connection.close(() => unavailable('kill'));
  }

  #event(message: MessageReader, fds: readonly number[]): void {
    if (message.type === MESSAGE.JOB) {
      this.#jobs.handOver(message, fds);
      return;
    }
    if (message.type === MESSAGE.EXIT) {
      const abandoned = this.#jobs.exited(message);
      if (abandoned !== undefined) this.forget(abandoned);
    } else if (message.type === MESSAGE.RING) this.#jobs.ring(message);
    else if (message.type === MESSAGE.READY) {
      this.recoveredJobs = this.#jobs.recovered();
      this.#onReady?.();
    } else throw protocolError(`init sent an event of type ${message.type}`);
    fds.forEach(closeDescriptor); // none of these events has any
  }

  #lost(reason: () => WardenError): void {
    this.#jobs.lost(reason, !this.#disconnecting);
    this.#onHelloFailed?.(reason());
    this.#resolveClosed();
  }
}

/** A job's standard input as a file that nobody can change. A script of many megabytes keeps nobody else waiting. */
function inputFile(content: Uint8Array): number | Promise<number> {
  return content.length <= COPY_AT_ONCE_BYTES
    ? makeSealedMemfd('stdin', content)
    : makeSealedMemfdOnThread('stdin', content);
}
