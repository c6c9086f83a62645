/** Spawn, link, stream, kill: what sessions do with jobs (spec behaviour.md 5 and 6). */
import {
  type Init,
  type InitJob,
  type JobEnd,
  type JobResult,
  type JobSpec,
  type OutputChunk,
  type OutputPipes,
  type OutputRelay,
  type SpawnOptions,
  WardenError,
} from '@warden/interface';
import type { ManagedContainer } from './container.ts';
import { type Engine, saveRecordSoon, trySave } from './engine.ts';
import { checkOutOfMemory, withDiskLimit } from './exit-verdict.ts';
import { holdStatistics } from './held-statistics.ts';
import { infoAtEnd } from './info.ts';
import { adoptJob } from './init-connection.ts';
import { killJob, type ManagedJob, noSuchJob } from './job.ts';
import { jobCommand } from './job-command.ts';
import { requireRunning } from './pause.ts';
import { nextExpected, prepareShell, repeatable } from './prepared-shell.ts';
import { refusal } from './process-limit.ts';
import type { JobNote } from './record.ts';
import { effectiveLimits } from './rlimits.ts';
import { unlessAborted } from './unless-aborted.ts';

/**
 * Starts a job. Errors: `BAD_STATE`, `INVALID_SPEC`, `POOL_EXHAUSTED` and `NATIVE_FAILED` with text
 * `iomux-spawn failed: …`, `UNAVAILABLE`.
 */
export async function spawnJob(
  engine: Engine,
  container: ManagedContainer,
  script: string | Uint8Array,
  options: SpawnOptions,
): Promise<ManagedJob> {
  container.requireState('active');
  const command = jobCommand(engine, script, options);
  const rlimits = effectiveLimits(options.rlimits ?? {}, engine.options.rlimits);
  const id = engine.nextJobId();
  const note = noteOf(engine, options);
  const { failpoints } = engine;
  return container.exclusive(async () => {
    container.requireState('active'); // a stop may have come first
    requireRunning(container, 'spawn');
    const init = container.requireInit();
    const spec: JobSpec = {
      id,
      user: options.privileged === true ? 'root' : 'vcap',
      ...command,
      rlimits,
      // others may want to see what is not kept
      discardOutput: options.discardOutput === true && note === undefined,
      trackTree: options.trackTree === true,
      ...(options.output === 'live' ? { isLive: true } : {}),
      hasRoom: container.record.memoryLimit === undefined,
    };
    const again = repeatable(spec);
    const nextWithinMs = nextExpected(engine, container, again);
    await failpoints.pass('spawn.validate');
    let job: InitJob;
    if (note !== undefined) {
      // before it runs: a daemon that is killed now must find how to go on with it
      container.record.jobs.set(id, note);
      trySave(engine, container);
    }
    let spawning: Promise<InitJob> | undefined;
    try {
      await failpoints.pass('spawn.note');
      container.shellUntil = nextWithinMs && Number.POSITIVE_INFINITY; // one that waits is this one's now, or ends
      spawning = init.spawn(nextWithinMs === undefined ? spec : { ...spec, nextWithinMs });
      spawning.catch(() => {}); // its failure is met below
      await failpoints.pass('spawn.send');
      job = await spawning;
      await failpoints.pass('spawn.start');
    } catch (failure) {
      spawning?.then(
        (started) => abandon(engine, init, started),
        () => {},
      );
      if (container.record.jobs.delete(id)) saveRecordSoon(engine, container);
      throw await refusal(engine, container, failure, { words: 'iomux-spawn failed', operation: 'spawn' });
    }
    const managed = adoptJob(engine, container, init, { job, note, isAwaited: options.awaited === true });
    managed.repeatable = again;
    try {
      await failpoints.pass('spawn.adopt');
    } catch (error) {
      removeJob(engine, container, managed);
      managed.finish({ reason: 'internal' });
      killJob(init, id, engine.logger);
      throw error;
    }
    return managed;
  });
}

/** Nobody will ever ask for it: it must neither run on nor stay in init's memory. */
function abandon(engine: Engine, init: Init, { id, stdout, stderr, exited }: InitJob): void {
  stdout.close();
  stderr.close();
  exited.then(
    () => init.forget(id),
    () => {}, // init is gone
  );
  killJob(init, id, engine.logger);
}

/** What a later daemon has to know; nothing about a job that is just run. */
function noteOf({ options: { jobSockets } }: Engine, options: SpawnOptions): JobNote | undefined {
  // of live output each byte goes to one reader
  const hasSockets = jobSockets !== undefined && options.awaited !== true && options.output !== 'live';
  if (!hasSockets && options.logTag === undefined) return undefined;
  return {
    discardOutput: options.discardOutput === true,
    logTag: options.logTag,
    hasSockets,
    exitStatus: undefined,
  };
}

/** Errors: `UNKNOWN_JOB`. */
export function findJob(container: ManagedContainer, id: number): ManagedJob {
  const job = container.jobs.get(id);
  if (job) return job;
  throw noSuchJob(container.handle, id);
}

/** Options of {@link linkJob} and {@link streamJob}. */
export interface TakeOptions {
  readonly signal?: AbortSignal | undefined;
  /** See `Job.link`. */
  readonly taken?: Promise<void> | undefined;
}

/** Waits for the end and takes the result; whoever gives up leaves it. Errors: `UNKNOWN_JOB`, `ABORTED`. */
export async function linkJob(
  engine: Engine,
  container: ManagedContainer,
  id: number,
  { signal, taken }: TakeOptions = {},
): Promise<JobResult> {
  const job = findJob(container, id);
  const leave = job.attend();
  let isOnItsWay = false;
  const release = job.hasEnded ? undefined : holdStatistics(engine, container);
  try {
    await engine.failpoints.pass('link.wait');
    const end = await endOf(engine, { container, job, request: 'link' }, signal);
    const [stdout, stderr] = [job.output.collect('stdout'), job.output.collect('stderr')];
    isOnItsWay = true;
    removeWhenTaken(engine, { container, job, leave }, taken);
    return { ...end, stdout, stderr };
  } finally {
    if (!isOnItsWay) leave();
    release?.();
  }
}

/** All output from the beginning, then the end. Errors: `UNKNOWN_JOB` and `ABORTED`, at the step in progress. */
export async function* streamJob(
  engine: Engine,
  container: ManagedContainer,
  id: number,
  { signal, relay, taken }: TakeOptions & { readonly relay?: OutputRelay | undefined },
): AsyncGenerator<OutputChunk, JobEnd, undefined> {
  const job = findJob(container, id);
  const leave = job.attend();
  let isOnItsWay = false;
  try {
    await engine.failpoints.pass('stream.begin');
    job.hurry();
    for await (const chunk of job.live?.read(signal, relay) ?? job.output.read(signal)) {
      yield chunk;
      await engine.failpoints.pass('stream.chunk');
    }
    const end = await endOf(engine, { container, job, request: 'stream' }, signal);
    isOnItsWay = true;
    removeWhenTaken(engine, { container, job, leave }, taken);
    return end;
  } finally {
    if (!isOnItsWay) leave();
  }
}

/** What was lent, until it is given back. */
export interface LentPipes {
  readonly pipes: OutputPipes;
  /** Idempotent. */
  giveBack(): void;
  /** The job was removed: there is nothing to give back. */
  isOver(): boolean;
}

/** Lends the pipes of a live job. Errors: `UNKNOWN_JOB`, `BAD_STATE`, `UNSUPPORTED`. */
export async function lendPipes(container: ManagedContainer, id: number): Promise<LentPipes> {
  const { live } = findJob(container, id);
  if (live === undefined) {
    throw new WardenError(
      'BAD_STATE',
      'the output of this job is kept; only that of a live one can be read at its pipes',
      {
        fields: { operation: 'read the pipes', handle: container.handle, job: id },
      },
    );
  }
  const { pipes, giveBack } = await live.lend();
  return { pipes: { pid: process.pid, ...pipes }, giveBack, isOver: () => live.isClosed };
}

/** Whoever asks why a job died finds the reason among the events. */
async function endInfo(
  engine: Engine,
  container: ManagedContainer,
  job: ManagedJob,
): Promise<JobEnd['info']> {
  checkOutOfMemory(engine, container);
  const info = await infoAtEnd(engine, container);
  prepareShell(engine, container, job, info);
  return info;
}

/** The result is on its way: the job goes when that has arrived, and is left as it is when it does not. */
function removeWhenTaken(
  engine: Engine,
  {
    container,
    job,
    leave,
  }: { readonly container: ManagedContainer; readonly job: ManagedJob; leave(): void },
  taken: Promise<void> | undefined,
): void {
  const remove = (): void => {
    removeJob(engine, container, job);
    leave();
  };
  if (taken === undefined) remove();
  else taken.then(remove, leave);
}

function removeJob(engine: Engine, container: ManagedContainer, job: ManagedJob): void {
  if (!container.jobs.delete(job.id)) return;
  job.remove();
  if (container.record.jobs.delete(job.id)) saveRecordSoon(engine, container);
}

/** Waits for the end, and what is to be told of it. Errors: `ABORTED`, at the step in progress. */
async function endOf(
  engine: Engine,
  {
    container,
    job,
    request,
  }: {
    readonly container: ManagedContainer;
    readonly job: ManagedJob;
    readonly request: 'link' | 'stream';
  },
  signal: AbortSignal | undefined,
): Promise<JobEnd> {
  const givenUp = (cause: unknown): WardenError =>
    new WardenError('ABORTED', 'the caller gave up waiting for the job', {
      cause,
      fields: { handle: container.handle, job: job.id },
    });
  const outcome = await job.untilEnded(signal);
  if (outcome === undefined) throw givenUp(signal!.reason);
  await engine.failpoints.pass(`${request}.end`);
  const info = await unlessAborted(endInfo(engine, container, job), signal, givenUp);
  await engine.failpoints.pass(`${request}.info`);
  const limited = withDiskLimit(engine, container, outcome, info);
  const { exitStatus, verdict } = await unlessAborted(limited, signal, givenUp);
  return { exitStatus, verdict, info };
}
