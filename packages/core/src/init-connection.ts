/** Ties a connected init to its container: jobs it hands over, and what happens when it dies. */
import fs from 'node:fs';
import path from 'node:path';
import type { Init, InitJob } from '@warden/interface';
import type { ManagedContainer } from './container.ts';
import { type Engine, publish, saveRecordSoon, trySave } from './engine.ts';
import { explainExit, OUT_OF_MEMORY_EVENT } from './exit-verdict.ts';
import { killInit } from './frozen.ts';
import { ManagedJob } from './job.ts';
import { makeTaps } from './job-taps.ts';
import type { JobNote } from './record.ts';
import { countEnd } from './statistics.ts';

/** The original's event texts. */
const OUTPUT_EVENT = 'command exceeded maximum output';

/** Takes `init` into use, with what it brings. */
export function attachInit(engine: Engine, container: ManagedContainer, init: Init): void {
  container.init = init;
  if (init.recoveredJobs.length > 0) takeOverJobs(engine, container, init);
  void init.closed.then(() => {
    if (container.init !== init) return;
    container.isInitLost = true;
    if (engine.isClosing || container.destroying || container.isDestroyed) return;
    // gone, or speaking nonsense: everything inside ends with it, and what is left can be looked at and destroyed
    engine.logger.warn('init-lost', { handle: container.handle, pid: init.pid });
    container.record.state = 'stopped';
    trySave(engine, container);
    killInit(engine, container, init).catch((error: unknown) => {
      engine.logger.error('lost-init-kill-failed', { handle: container.handle, error });
    });
  });
}

/**
 * Jobs of an earlier daemon that its init does not know any more: what is recorded and on disk of them is of
 * no use.
 */
export function forgetStaleJobs(engine: Engine, container: ManagedContainer, init: Init): void {
  const { record } = container;
  const ids = new Set(init.recoveredJobs.map(({ id }) => id));
  for (const id of record.jobs.keys()) if (!ids.has(id)) record.jobs.delete(id);
  removeStaleJobs(engine, container, ids);
}

/** Jobs of an earlier daemon. */
function takeOverJobs(engine: Engine, container: ManagedContainer, init: Init): void {
  const { record } = container;
  // init tells the latest first; everybody else is told of them in the order in which they were started
  for (const job of [...init.recoveredJobs].sort((one, other) => one.id - other.id)) {
    adoptJob(engine, container, init, { job, note: record.jobs.get(job.id), isRecovered: true });
  }
  // behind what each job does with what init has kept
  queueMicrotask(() => acknowledge(engine, container, init));
}

/** Without it, init keeps everything for another daemon, which is no harm. */
function acknowledge({ failpoints, logger }: Engine, { handle }: ManagedContainer, init: Init): void {
  try {
    failpoints.passSync('recover.acknowledge');
    init.acknowledge();
  } catch (error) {
    logger.warn('recovered-jobs-not-acknowledged', { handle, error });
  }
}

function removeStaleJobs(engine: Engine, container: ManagedContainer, living: ReadonlySet<number>): void {
  const directory = container.file('jobs');
  try {
    for (const name of fs.existsSync(directory) ? fs.readdirSync(directory) : []) {
      if (/^[1-9]\d*$/.test(name) && !living.has(Number(name)))
        fs.rmSync(path.join(directory, name), { recursive: true, force: true });
    }
  } catch (error) {
    engine.logger.warn('stale-jobs-not-removed', { handle: container.handle, error });
  }
}

/** Starts collecting a job's output. */
export function adoptJob(
  engine: Engine,
  container: ManagedContainer,
  init: Init,
  adopted: AdoptedJob,
): ManagedJob {
  const { job, note, isAwaited = false, isRecovered = false } = adopted;
  const { options, logger } = engine;
  const { handle } = container;
  /** An earlier daemon has seen its end, and counted it. */
  const hadEnded = note?.exitStatus !== undefined;
  const isDiscarded = job.discardOutput || note?.discardOutput === true;
  const managed = new ManagedJob({
    init,
    job,
    directory: jobDirectory(container, job.id),
    outputLimit: options.jobOutputLimit,
    keep: keepOf(job, isDiscarded, options.recoveredOutput),
    isAwaited,
    isRecovered,
    taps: (known, onPressure) =>
      note === undefined || note.exitStatus !== undefined
        ? []
        : makeTaps(
            engine,
            { directory: jobDirectory(container, job.id), isDiscarded, note },
            { known, onPressure },
          ),
    logger,
    failpoints: engine.failpoints,
    explain: (status) => explainExit(engine, container, status),
    onLimitExceeded: () => {
      addEvent(engine, container, OUTPUT_EVENT);
      publish(engine, container, { type: 'output-limit', jobId: job.id });
    },
    isClosing: () => engine.isClosing,
    isGoing: () => container.record.isDestroying,
  });
  container.jobs.set(job.id, managed);
  engine.lastJobId = Math.max(engine.lastJobId, job.id);
  if (!isRecovered) engine.totals.jobsStarted += 1;
  managed.ended.then(
    ({ exitStatus, verdict }) => {
      if (!hadEnded) countEnd(engine, verdict);
      publish(engine, container, { type: 'exit', jobId: job.id, exitStatus, verdict });
      if (note === undefined) return;
      note.exitStatus = exitStatus;
      if (container.record.jobs.has(job.id)) saveRecordSoon(engine, container);
    },
    () => {}, // the next daemon sees the end
  );
  logger.debug?.('job-adopted', { handle, job: job.id, isRecovered });
  return managed;
}

function keepOf(
  { isLive }: InitJob,
  isDiscarded: boolean,
  recovered: Engine['options']['recoveredOutput'],
): 'nothing' | 'live' | 'memory' | 'disk' {
  if (isLive === true) return 'live';
  if (isDiscarded) return 'nothing';
  return recovered === 'remaining' ? 'memory' : 'disk';
}

/** A job that init has handed out. */
export interface AdoptedJob {
  readonly job: InitJob;
  readonly note: JobNote | undefined;
  /** Somebody waits for its end already. */
  readonly isAwaited?: boolean;
  readonly isRecovered?: boolean;
}

/** Where everything of a job lies. */
export function jobDirectory(container: ManagedContainer, id: number): string {
  return container.file(`jobs/${id}`);
}

/** Adds to the container's set of events. */
export function addEvent(engine: Engine, container: ManagedContainer, event: string): void {
  if (container.record.events.has(event)) return;
  container.record.events.add(event);
  if (event === OUT_OF_MEMORY_EVENT) publish(engine, container, { type: 'oom' });
  engine.logger.info('container-event', { handle: container.handle, event });
  trySave(engine, container);
}
