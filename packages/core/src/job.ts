/** One job: output collected from init's pipes, its limit, its end, and who waits for it. */
import {
  type ByteSource,
  type Init,
  type InitJob,
  type Logger,
  type OutputChunk,
  WardenError,
} from '@warden/interface';
import { JobOutput } from './job-output.ts';

/** Exit status of every end that is not an exit (spec behaviour.md 6.6). */
const NO_EXIT_STATUS = 255;
/**
 * How long output that descendants still hold back is awaited after the script's end. The last stage of a pipeline may
 * outlive the shell by moments; a daemonised child may hold the pipe for ever.
 */
const LINGER_MS = 50;

/** Options of {@link ManagedJob}. */
export interface ManagedJobOptions {
  readonly init: Init;
  readonly job: InitJob;
  /** Bytes; 0 or less: none. */
  readonly outputLimit: number;
  readonly logger: Logger;
  /** Called once when the limit is exceeded. */
  readonly onLimitExceeded: () => void;
  /** Whether the daemon is letting go of everything: a lost connection then says nothing about the job. */
  readonly isClosing: () => boolean;
}

/** See the file's head. */
export class ManagedJob {
  readonly id: number;
  readonly output: JobOutput = new JobOutput();
  /** Settles with the exit status; all output is there then. Rejects with `UNAVAILABLE` when the daemon has let go of the job. */
  readonly ended: Promise<number>;
  readonly #init: Init;
  readonly #options: ManagedJobOptions;
  readonly #sources: readonly ByteSource[];
  readonly #sourceEnds: readonly Promise<void>[];
  #end: (status: number) => void = () => {};
  #abandon: (error: WardenError) => void = () => {};
  #hasEnded = false;

  constructor(options: ManagedJobOptions) {
    const { init, job } = options;
    this.id = job.id;
    this.#init = init;
    this.#options = options;
    this.#sources = [job.stdout, job.stderr];
    this.ended = new Promise((resolve, reject) => {
      this.#end = resolve;
      this.#abandon = reject;
    });
    this.ended.catch(() => {}); // it may be that nobody waits
    this.#sourceEnds = [this.#collect('stdout', job.stdout), this.#collect('stderr', job.stderr)];
    job.exited.then(
      ({ exitCode }) => this.#onExit(exitCode ?? NO_EXIT_STATUS),
      (cause: unknown) => (options.isClosing() ? this.#letGo(cause) : this.finish(NO_EXIT_STATUS)),
    );
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Signals the process or its whole tree. An ended job is success. */
  async kill(signal: number, tree: boolean): Promise<void> {
    if (!this.#hasEnded) await this.#init.signalJob(this.id, signal, tree);
  }

  /** Lets init forget the job, which it does for ended ones only. */
  forget(): void {
    this.#options.job.exited.then(
      () => this.#init.forget(this.id),
      () => {}, // init is gone
    );
  }

  #letGo(cause: unknown): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.output.complete();
    this.#abandon(
      new WardenError('UNAVAILABLE', 'the daemon is going away; ask the next one for the job', {
        cause,
        fields: { job: this.id },
      }),
    );
  }

  /** Ends the job now, whatever its process does. Idempotent. */
  finish(status: number): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    for (const source of this.#sources) source.close();
    this.output.complete();
    this.#end(status);
  }

  #collect(stream: OutputChunk['stream'], source: ByteSource): Promise<void> {
    if (source.skipped > 0n) {
      this.#options.logger.warn('job-output-skipped', { job: this.id, stream, bytes: source.skipped });
    }
    return new Promise((resolve) => source.start((chunk) => this.#append(stream, chunk), resolve));
  }

  #append(stream: OutputChunk['stream'], chunk: Buffer): void {
    if (this.#hasEnded) return;
    this.output.append(stream, chunk);
    const limit = this.#options.outputLimit;
    if (limit <= 0 || this.output.size <= limit) return;
    this.#options.onLimitExceeded();
    this.finish(NO_EXIT_STATUS);
    this.#init.signalJob(this.id, 9, true).catch((error: unknown) => {
      this.#options.logger.warn('job-kill-failed', { job: this.id, error });
    });
  }

  /** Everything the script itself printed is in the pipes now. */
  async #onExit(status: number): Promise<void> {
    if (this.#hasEnded) return;
    const isDrained = this.#sources.map((source) => source.drain()).every(Boolean);
    if (!isDrained) {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, LINGER_MS);
      });
      await Promise.race([Promise.all(this.#sourceEnds), late]);
      clearTimeout(timer);
      for (const source of this.#hasEnded ? [] : this.#sources) source.drain();
    }
    this.finish(status);
  }
}

/** Errors of links and streams on what is not there. */
export function noSuchJob(handle: string, id: number): WardenError {
  return new WardenError('UNKNOWN_JOB', 'no such job', { fields: { handle, job: id } });
}
