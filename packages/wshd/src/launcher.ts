/** The launcher process: started, listened to on its sync channel, and reaped whatever happens. */
import { decodeBytes, isWardenError, type Logger, WardenError } from '@warden/interface';
import {
  closeDescriptor,
  makeSocketPair,
  openPidfd,
  type PollWatch,
  reapLater,
  receiveMessage,
  sendMessage,
  setNonBlocking,
  signalPidfd,
  spawnProcessOnThread,
  waitForExit,
  watchDescriptor,
} from '@warden/native';
import { type LaunchReport, parseLaunchReport } from './launch-report.ts';

const SIGKILL = 9;
const SYNC_FD = 3;
/** Between the end of the sync channel and the launcher's own: it only has to reap init. */
const EXIT_GRACE_MS = 2000;
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

const packet = Buffer.allocUnsafe(65536);

/** What to start. */
export interface LauncherSpec {
  /** The container's directory, the working directory of the launcher. */
  readonly directory: string;
  /** Absolute path of `wshd`. */
  readonly program: string;
  /** What is executed in its place, another way to the same file. */
  readonly image?: string | undefined;
  /** Its options besides title and channel. */
  readonly options: readonly string[];
  readonly title: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Seconds each of the hooks may take, by which the launch as a whole may take longer. */
  readonly hookTimeout: number;
}

type Milestone = Exclude<LaunchReport, { kind: 'log' } | { kind: 'error' }>;

export class Launcher {
  readonly #logger: Logger;
  readonly #pid: number;
  readonly #pidfd: number;
  readonly #sync: number;
  readonly #watch: PollWatch;
  /** Reports that came before anybody asked. */
  readonly #arrived: Milestone[] = [];
  #waiting:
    | { readonly resolve: (report: Milestone) => void; readonly reject: (error: unknown) => void }
    | undefined;
  /** Makes the error, which mostly nobody wants: each launcher ends some time. */
  #failure: (() => unknown) | undefined;
  #ending: Promise<void> | undefined;

  /** Starts one. Errors: `NATIVE_FAILED` as exec(2) and pipe calls give it; nothing is running then. */
  static async start(spec: LauncherSpec, logger: Logger): Promise<Launcher> {
    const [ours, theirs] = makeSocketPair('seqpacket');
    try {
      setNonBlocking(ours);
      const pid = await spawnProcessOnThread({
        path: spec.image ?? spec.program,
        argv: [spec.program, ...spec.options, '--title', spec.title, '--sync-fd', String(SYNC_FD)],
        environment: { PATH, ...spec.environment },
        cwd: spec.directory,
        descriptors: [[theirs, SYNC_FD]],
        newSession: true,
      });
      return new Launcher(pid, ours, logger);
    } catch (error) {
      closeDescriptor(ours);
      throw error;
    } finally {
      closeDescriptor(theirs);
    }
  }

  private constructor(pid: number, sync: number, logger: Logger) {
    this.#logger = logger;
    this.#pid = pid;
    this.#sync = sync;
    let pidfd: number | undefined;
    try {
      // our child, which only we reap: the number is still its own
      pidfd = openPidfd(pid);
      this.#pidfd = pidfd;
      this.#watch = watchDescriptor(sync, { readable: true }, () => this.#receive());
    } catch (error) {
      if (pidfd !== undefined) closeDescriptor(pidfd);
      killChild(pid);
      throw error;
    }
  }

  /** The next milestone, which must be `kind`. Errors: what the launcher reported, or how it ended without a word. */
  async expect<K extends Milestone['kind']>(kind: K): Promise<Extract<Milestone, { kind: K }>> {
    const report = await new Promise<Milestone>((resolve, reject) => {
      const next = this.#arrived.shift();
      if (next !== undefined) resolve(next);
      else if (this.#failure !== undefined) reject(this.#failure());
      else this.#waiting = { resolve, reject };
    });
    if (report.kind !== kind) {
      throw new WardenError('NATIVE_FAILED', `the launcher said ${report.kind} instead of ${kind}`, {
        fields: { operation: 'launch', errno: 'EPROTO' },
      });
    }
    return report as Extract<Milestone, { kind: K }>;
  }

  /**
   * Tells one that was started early that the directory is complete. One that has died meanwhile is reported
   * by the next `expect`.
   */
  prepared(): void {
    this.#say('prepared');
  }

  /** Lets init go on. A launcher that has died meanwhile is reported by the next `expect`. */
  go(): void {
    this.#say('go');
  }

  #say(word: string): void {
    if (this.#ending !== undefined) throw this.#failure?.();
    try {
      if (sendMessage(this.#sync, Buffer.from(word))) return;
    } catch (error) {
      if (isWardenError(error) && error.fields.errno === 'EPIPE') return;
      throw error;
    }
    // it would wait for the word for ever
    throw new WardenError('NATIVE_FAILED', `the launcher takes no word: ${word} could not be sent (EAGAIN)`, {
      fields: { operation: 'launch', object: `pid ${this.#pid}`, errno: 'EAGAIN' },
    });
  }

  /**
   * Closes the channel, whose end makes the launcher kill an init that is not ready, and waits for the
   * launcher, which is killed if it takes long. Idempotent.
   */
  end(): Promise<void> {
    this.#ending ??= this.#end();
    return this.#ending;
  }

  async #end(): Promise<void> {
    this.#watch.close();
    closeDescriptor(this.#sync);
    this.#fail(aborted);
    try {
      if (!(await waitForExit(this.#pidfd, EXIT_GRACE_MS))) {
        this.#logger.warn('launcher-kill', { pid: this.#pid });
        signalPidfd(this.#pidfd, SIGKILL);
        await waitForExit(this.#pidfd, EXIT_GRACE_MS);
      }
    } finally {
      closeDescriptor(this.#pidfd);
      reapLater(this.#pid);
    }
  }

  #receive(): void {
    try {
      for (;;) {
        if (this.#ending !== undefined) return;
        const received = receiveMessage(this.#sync, packet);
        if (received === undefined) return;
        received.fds.forEach(closeDescriptor);
        if (received.length === 0) {
          this.#watch.close();
          this.#fail(silentEnd);
          return;
        }
        this.#take(parseLaunchReport(decodeBytes(packet.subarray(0, received.length))));
      }
    } catch (error) {
      this.#watch.close();
      this.#fail(() => error);
    }
  }

  #take(report: LaunchReport): void {
    if (report.kind === 'error') throw report.error;
    if (report.kind === 'log') {
      this.#logger[report.level]?.('init-log', { stage: report.stage, text: report.text });
      return;
    }
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) this.#arrived.push(report);
    else waiting.resolve(report);
  }

  /** The first reason stays. */
  #fail(reason: () => unknown): void {
    this.#failure ??= reason;
    this.#waiting?.reject(this.#failure());
    this.#waiting = undefined;
  }
}

/**
 * The way without a pidfd, for when descriptors have run out: it is our child and not yet reaped, so the
 * number is its own.
 */
function killChild(pid: number): void {
  process.kill(pid, SIGKILL);
  reapLater(pid);
}

function aborted(): WardenError {
  return new WardenError('ABORTED', 'the launch was aborted', { fields: { operation: 'launch' } });
}

function silentEnd(): WardenError {
  return new WardenError('NATIVE_FAILED', 'the launcher ended without a report', {
    fields: { operation: 'launch', errno: 'EPIPE' },
  });
}
