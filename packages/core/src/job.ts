/** One job: output collected from init's pipes, its limit, its end, and who waits for it. */
import fs from 'node:fs';
import {
  type ExitVerdict,
  type Init,
  type InitJob,
  type JobSpec,
  type Logger,
  onAbort,
  type WaitStatus,
  WardenError,
} from '@warden/interface';
import type { CoreFailpoints } from './failpoint-names.ts';
import { JobInput } from './job-input.ts';
import { JobOutput } from './job-output.ts';
import { JobSpool } from './job-spool.ts';
import { dropTimeout, isTimeoutNoted, notedVerdict, noteTimeout, noteVerdict } from './job-verdict.ts';
import { LiveOutput } from './live-output.ts';
import type { OnPressure, OutputTap } from './output-tap.ts';
import { HOLD_MS, StreamIntake } from './stream-intake.ts';
import { type PerStream, STREAMS, type StreamName } from './stream-name.ts';

const SIGKILL = 9;
/** Exit status of every end that is not an exit (spec behaviour.md 6.6). */
const NO_EXIT_STATUS = 255;
/**
 * How long output that descendants still hold back is awaited after the script's end. The last stage of a pipeline may
 * outlive the shell by moments; a daemonised child may hold the pipe for ever.
 */
const LINGER_MS = 50;

/**
 * So often init is asked whether it is there, while somebody waits for a job: one that is stopped or hangs
 * never tells an end.
 */
const VIGIL_MS = 30_000;

/** How a job ended, as its process tells and we know. */
export interface JobOutcome {
  readonly exitStatus: number;
  readonly verdict: ExitVerdict;
}

/** What an earlier daemon knew of the job's streams. */
export interface KnownOutput {
  readonly content: Buffer;
  /** Bytes of the stream that are not in `content`. */
  readonly lost: number;
}

/** Options of {@link ManagedJob}. */
export interface ManagedJobOptions {
  readonly init: Init;
  readonly job: InitJob;
  /** The job's own directory, made when something has to be put there. */
  readonly directory: string;
  /** Bytes; 0 or less: none. One of an earlier daemon keeps the limit that it was started with. */
  readonly outputLimit: number;
  /**
   * Where output goes besides the taps: nowhere, into memory, or on disk too so that the next daemon has it;
   * or it stays where it is.
   */
  readonly keep: 'nothing' | 'memory' | 'disk' | 'live';
  /** Somebody takes the result as soon as there is one (Run). */
  readonly isAwaited: boolean;
  /** Started by an earlier daemon: what that one and init have of its output comes first. */
  readonly isRecovered: boolean;
  /** Makes those who listen. */
  readonly taps: (
    known: PerStream<KnownOutput>,
    onPressure: (who: object) => OnPressure,
  ) => readonly OutputTap[];
  readonly logger: Logger;
  readonly failpoints: CoreFailpoints;
  /** Why a process ended like this, as far as its container knows. */
  readonly explain: (status: WaitStatus) => ExitVerdict;
  /** Called once when the limit is exceeded. */
  readonly onLimitExceeded: () => void;
  /** Whether the daemon is letting go of everything: a lost connection then says nothing about the job. */
  readonly isClosing: () => boolean;
  /** Whether its container is being destroyed: no later daemon has the job. */
  readonly isGoing: () => boolean;
}

/** Those of a container's jobs that have not ended. */
export function runningJobs({ jobs }: { readonly jobs: ReadonlyMap<number, ManagedJob> }): ManagedJob[] {
  return [...jobs.values()].filter(({ hasEnded }) => !hasEnded);
}

/** Kills a job and its descendants, and waits for nothing. */
export function killJob(init: Init, id: number, logger: Logger): void {
  init.signalJob(id, SIGKILL, true).catch((error: unknown) => {
    logger.warn('job-kill-failed', { job: id, error });
  });
}

/** See the file's head. */
export class ManagedJob {
  readonly id: number;
  /** Milliseconds since 1970; of one that an earlier daemon has started, nobody knows. */
  readonly startedAt: number | undefined;
  readonly output: JobOutput = new JobOutput();
  readonly input: JobInput;
  /** What it was asked to run, where another one may be started for the same: see prepared-shell.ts. */
  repeatable: JobSpec | undefined;
  /** Its end has been taken as one to be followed by another. */
  isScriptNoted = false;
  /** Instead of {@link output}. */
  readonly live: LiveOutput | undefined;
  /**
   * Settles with how it ended; all output is there then. Rejects with `UNAVAILABLE` when the daemon has let
   * go of the job.
   */
  readonly ended: Promise<JobOutcome>;
  /** Those in {@link untilEnded}; `ended` itself would keep each until it settles. */
  readonly #waiting = new Set<() => void>();
  #isSettled = false;
  readonly #options: ManagedJobOptions;
  readonly #spool: JobSpool | undefined;
  readonly #outputLimit: number;
  readonly #intakes: PerStream<StreamIntake>;
  readonly #taps: readonly OutputTap[];
  #holdTimer: NodeJS.Timeout | undefined;
  /** Those who take the result when it comes. */
  #takers: number;
  /** One of them is yet to say so. */
  #isAwaited: boolean;
  /** Runs while somebody waits for the end. */
  #vigil: NodeJS.Timeout | undefined;
  #end: (outcome: JobOutcome) => void = () => {};
  #isTimedOut = false;
  #outcome: JobOutcome | undefined;
  #abandon: (error: WardenError) => void = () => {};
  #hasEnded = false;
  #isPutAway = false;
  /** Of why it ended. */
  #hasNotes = false;

  constructor(options: ManagedJobOptions) {
    const { job } = options;
    this.id = job.id;
    this.startedAt = options.isRecovered ? undefined : Date.now();
    this.#options = options;
    this.input = new JobInput({
      init: options.init,
      jobId: job.id,
      sink: job.input,
      isTerminal: job.isTerminal === true,
    });
    this.#isAwaited = options.isAwaited;
    this.#takers = options.isAwaited ? 1 : 0;
    if (options.keep === 'disk') {
      this.#spool = new JobSpool(options.directory, {
        outputLimit: options.outputLimit,
        onFailure: (error) => options.logger.warn('job-output-not-on-disk', { job: job.id, error }),
      });
    }
    this.#outputLimit = (options.isRecovered ? this.#spool?.resumeLimit() : undefined) ?? options.outputLimit;
    this.ended = new Promise((resolve, reject) => {
      this.#end = resolve;
      this.#abandon = reject;
    });
    const settled = (): void => {
      this.#isSettled = true;
      for (const wake of this.#waiting) wake();
    };
    this.ended.then(settled, settled); // it may be that nobody waits
    this.#intakes = { stdout: this.#intake('stdout'), stderr: this.#intake('stderr') };
    this.live = options.keep === 'live' ? new LiveOutput(job) : undefined;
    if (this.live !== undefined) this.#taps = [];
    else this.#taps = options.isRecovered ? this.#resume() : this.#begin();
    job.exited.then(
      (status) =>
        this.#onExit(status).catch((error: unknown) => {
          options.logger.error('job-end-failed', { job: job.id, error });
          this.finish({ reason: 'internal' }, status.exitCode);
        }),
      (cause: unknown) => (options.isClosing() ? this.#letGo(cause) : this.finish({ reason: 'init-lost' })),
    );
  }

  /**
   * As {@link ended}, or `undefined` when `signal` is aborted before. Whoever gives up leaves nothing behind,
   * however long the job goes on.
   */
  async untilEnded(signal: AbortSignal | undefined): Promise<JobOutcome | undefined> {
    if (!this.#isSettled) {
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#waiting.delete(wake);
          forget();
          resolve();
        };
        const forget = onAbort(signal, wake);
        this.#waiting.add(wake);
        if (signal?.aborted) wake();
      });
    }
    return this.#isSettled ? await this.ended : undefined;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** How it ended; `undefined`: it runs, or the daemon has let go of it. */
  get outcome(): JobOutcome | undefined {
    return this.#outcome;
  }

  /** Signals the process or its whole tree. An ended job is success. */
  async kill(signal: number, tree: boolean, reason?: 'timeout'): Promise<void> {
    if (this.#hasEnded) return;
    const { init } = this.#options;
    if (reason !== 'timeout') return await init.signalJob(this.id, signal, tree);
    this.#isTimedOut = true; // its end may be told before the signal is answered
    this.#onDisk((directory) => noteTimeout(directory)); // or to the next daemon
    try {
      await init.signalJob(this.id, signal, tree);
    } catch (error) {
      if (!this.#options.isClosing()) {
        this.#isTimedOut = false;
        this.#onDisk((directory) => dropTimeout(directory));
      }
      throw error;
    }
  }

  /** Somebody waits for the result. The answer is called when the wait is over, with or without it. */
  attend(): () => void {
    if (this.#isAwaited) this.#isAwaited = false;
    else this.#takers += 1;
    this.#keepVigil();
    return () => {
      this.#takers -= 1;
      if (this.#takers === 0) clearInterval(this.#vigil);
      if (this.#hasEnded) this.#putAway();
    };
  }

  /** No answer ends the connection to init, and so the job. One question at a time: a pause may last for days. */
  #keepVigil(): void {
    if (this.#hasEnded) return;
    clearInterval(this.#vigil);
    const { init, logger } = this.#options;
    let isAsking = false;
    this.#vigil = setInterval(() => {
      if (isAsking) return;
      isAsking = true;
      init
        .signalJob(this.id, 0, false)
        .catch((error: unknown) => logger.debug?.('no-vigil', { job: this.id, error }))
        .finally(() => {
          isAsking = false;
        });
    }, VIGIL_MS).unref();
  }

  /** Somebody wants output while it is printed. */
  hurry(): void {
    if (this.#hasEnded || this.live !== undefined) return;
    clearTimeout(this.#holdTimer);
    for (const stream of STREAMS) this.#intakes[stream].flowWhenReadable(0);
  }

  /** The result was taken: init forgets the job, which it does for ended ones only, and nothing of it stays on disk. */
  remove(): void {
    this.#isPutAway = true;
    this.live?.close();
    this.#options.job.exited.then(
      // at once: what is asked of init from now on must not come before it, lest a daemon that is killed then
      // leaves the job to the next one
      () => this.#options.init.forget(this.id),
      () => {}, // init is gone
    );
    const hasDirectory =
      this.#options.isRecovered || this.#taps.length > 0 || this.#spool?.isUsed === true || this.#hasNotes;
    if (!hasDirectory) return;
    fs.rm(this.#options.directory, { recursive: true, force: true }, (error) => {
      if (error) this.#options.logger.warn('job-directory-not-removed', { job: this.id, error });
    });
  }

  /**
   * Ends the job as its container is destroyed: whoever waits gets what there is, and nothing is put away.
   * Idempotent.
   */
  dissolve(): void {
    this.#isPutAway = true;
    this.finish({ reason: 'container-stopped' });
    this.live?.close();
  }

  /** Ends the job now, whatever its process does. Idempotent. */
  finish(verdict: ExitVerdict, exitStatus: number = NO_EXIT_STATUS): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    clearInterval(this.#vigil);
    clearTimeout(this.#holdTimer);
    this.#outcome = { exitStatus, verdict };
    this.#doAll(
      // what is live is somebody else's to read
      ...(this.live === undefined ? STREAMS.map((stream) => () => this.#intakes[stream].close()) : []),
      () => this.live?.complete(),
      () => this.input.drop(),
      () => this.output.complete(),
      () => this.#putAway(),
      () => this.#spool?.close(),
      ...this.#taps.map((tap) => () => tap.end(this.#options.job.exited)),
    );
    this.#end(this.#outcome);
  }

  /** Whatever fails of it (a disk that gives up), the rest is done, and the job has ended. */
  #doAll(...steps: readonly (() => unknown)[]): void {
    for (const step of steps) {
      try {
        step();
      } catch (error) {
        this.#options.logger.warn('job-not-all-closed', { job: this.id, error });
      }
    }
  }

  #letGo(cause: unknown): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    clearInterval(this.#vigil);
    clearTimeout(this.#holdTimer);
    this.#doAll(
      ...STREAMS.map((stream) => () => this.#intakes[stream].close()),
      () => this.live?.close(),
      () => this.input.drop(),
      () => this.output.complete(),
      () => this.#spool?.close(),
      ...this.#taps.map((tap) => () => tap.detach()),
    );
    this.#abandon(
      new WardenError('UNAVAILABLE', 'the daemon is going away; ask the next one for the job', {
        cause,
        fields: { job: this.id },
      }),
    );
  }

  #intake(stream: StreamName): StreamIntake {
    return new StreamIntake({
      source: this.#options.job[stream],
      file: () => this.#spool?.file(stream),
      onChunk: (chunk) => this.#append(stream, chunk),
    });
  }

  #begin(): readonly OutputTap[] {
    for (const stream of STREAMS) this.#intakes[stream].hold();
    this.#holdTimer = setTimeout(() => this.#watch(), HOLD_MS);
    const nothing = { content: Buffer.alloc(0), lost: 0 };
    return this.#makeTaps({ stdout: nothing, stderr: nothing });
  }

  #watch(): void {
    for (const stream of STREAMS) this.#intakes[stream].flowWhenReadable(HOLD_MS);
  }

  /** What the earlier daemon had, then what init has kept, then what comes. */
  #resume(): readonly OutputTap[] {
    const resumed = STREAMS.map((stream) => {
      const { kept } = this.#options.job[stream];
      if (kept.lost > 0n)
        this.#options.logger.warn('job-output-lost', { job: this.id, stream, bytes: kept.lost });
      const { content, skipKept, lost } = this.#spool?.resume(stream, kept) ?? {
        content: Buffer.alloc(0),
        skipKept: 0,
        lost: Number(kept.lost),
      };
      return { stream, kept, content, skipKept, lost };
    });
    const [stdout, stderr] = resumed;
    const taps = this.#makeTaps({ stdout: stdout!, stderr: stderr! });
    for (const { stream, content } of resumed) this.#collect(stream, content);
    queueMicrotask(() => {
      // not before the caller has the job, should the limit be exceeded already
      for (const { stream, content } of resumed) if (content.length > 0) this.#intakes[stream].keep();
      this.#checkLimit(); // what it printed behind that, before it was dead, was not its output any more
      if (this.#hasEnded) return;
      for (const { stream, kept, skipKept } of resumed) {
        this.#intakes[stream].hold(skipKept);
        // at once: init keeps it only until it is told that it is here
        if (kept.length > 0) this.#intakes[stream].flow();
      }
      this.#checkLimit();
      if (!this.#hasEnded) this.#watch();
    });
    return taps;
  }

  #makeTaps(known: PerStream<KnownOutput>): readonly OutputTap[] {
    return this.#options.taps(
      known,
      (who) => (stream, isPressing) => this.#intakes[stream].press(who, isPressing),
    );
  }

  #append(stream: StreamName, chunk: Buffer): void {
    if (this.#hasEnded) return;
    this.#collect(stream, chunk);
    for (const tap of this.#taps) tap.write(stream, chunk);
    this.#checkLimit();
  }

  #collect(stream: StreamName, chunk: Buffer): void {
    if (this.#options.keep !== 'nothing') this.output.append(stream, chunk);
  }

  #checkLimit(): void {
    const { onLimitExceeded, init, logger } = this.#options;
    if (this.#hasEnded || this.#outputLimit <= 0 || this.output.size <= this.#outputLimit) return;
    onLimitExceeded();
    this.finish({ reason: 'output-limit' });
    killJob(init, this.id, logger);
  }

  /** Everything the script itself printed is in the pipes now. */
  async #onExit(status: WaitStatus): Promise<void> {
    if (this.#hasEnded) return;
    clearTimeout(this.#holdTimer);
    const { failpoints } = this.#options;
    await failpoints.pass('job.exit');
    if (this.live === undefined) await this.#drain();
    else await this.#hearOut(this.live);
    await failpoints.pass('job.drain');
    this.finish(this.#verdictOf(status), status.exitCode);
    await failpoints.pass('job.store');
  }

  /** Whoever reads a live job's output has it to the end, or as far as it comes soon. */
  async #hearOut(live: LiveOutput): Promise<void> {
    live.gather();
    if (!live.isLent) await unlessLate(live.ended);
  }

  async #drain(): Promise<void> {
    const intakes = STREAMS.map((stream) => this.#intakes[stream]);
    // it goes on disk, without a moment in which it is nowhere: whoever waits for it by its number asks the
    // next daemon, should this one die
    if (!this.#isForOne()) for (const intake of intakes) intake.keep();
    if (!drainAll(intakes) && !this.#hasEnded) {
      for (const intake of intakes) intake.flow();
      await unlessLate(Promise.all(intakes.map(({ ended }) => ended)));
      if (!this.#hasEnded) drainAll(intakes);
    }
  }

  /** That a process has exited is told by its status. */
  #noteVerdict(): void {
    const { verdict } = this.#outcome ?? {};
    if (verdict === undefined || verdict.reason === 'exited') return;
    this.#onDisk((directory) => noteVerdict(directory, verdict));
  }

  #onDisk(change: (directory: string) => void): void {
    const { directory, logger, isGoing } = this.#options;
    if (isGoing()) return;
    this.#hasNotes = true;
    try {
      change(directory);
    } catch (error) {
      logger.warn('verdict-not-noted', { job: this.id, error });
    }
  }

  #verdictOf(status: WaitStatus): ExitVerdict {
    const { isRecovered, directory, explain } = this.#options;
    const noted = isRecovered ? notedVerdict(directory) : undefined;
    if (noted !== undefined) return noted;
    const verdict = explain(status);
    if (verdict.reason !== 'signal') return verdict;
    const isTimedOut = this.#isTimedOut || (isRecovered && isTimeoutNoted(directory));
    return isTimedOut ? { ...verdict, reason: 'timeout' } : verdict;
  }

  /** Made by Run: whoever waits knows no number to ask another daemon by. */
  #isForOne(): boolean {
    return this.#options.isAwaited && this.#takers > 0;
  }

  /** The result of an ended job that nobody takes must survive this daemon. */
  #putAway(): void {
    if (this.#isForOne() || this.#isPutAway) return;
    this.#isPutAway = true;
    this.#noteVerdict();
    if (this.#spool === undefined) return;
    for (const stream of STREAMS) {
      if (this.#intakes[stream].isKept) continue;
      const content = this.output.collect(stream);
      if (content.length > 0) this.#spool.write(stream, content);
    }
    this.#spool.close();
  }
}

/** Waits a moment for what descendants hold back. */
async function unlessLate(ended: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, LINGER_MS);
  });
  await Promise.race([ended, late]);
  clearTimeout(timer);
}

function drainAll(intakes: readonly StreamIntake[]): boolean {
  return intakes.map((intake) => intake.drain()).every(Boolean);
}

/** Errors of links and streams on what is not there. */
export function noSuchJob(handle: string, id: number): WardenError {
  return new WardenError('UNKNOWN_JOB', 'no such job', {
    fields: { operation: 'find job', object: `job ${id} of ${handle}`, handle, job: id },
  });
}
