/** Spawn, link, stream, kill: what sessions do with jobs (spec behaviour.md 5 and 6). */
import {
  encodeBytes,
  type InitJob,
  type JobEnd,
  type JobResult,
  type OutputChunk,
  type SpawnOptions,
  WardenError,
} from '@warden/interface';
import type { ManagedContainer } from './container.ts';
import type { Engine } from './engine.ts';
import { infoAtEnd } from './info.ts';
import { adoptJob } from './init-connection.ts';
import { type ManagedJob, noSuchJob } from './job.ts';
import { effectiveLimits } from './rlimits.ts';

/** Starts a job. Errors: `BAD_STATE`, `INVALID_SPEC`, `NATIVE_FAILED` with text `iomux-spawn failed: …`, `UNAVAILABLE`. */
export async function spawnJob(
  engine: Engine,
  container: ManagedContainer,
  script: string | Uint8Array,
  options: SpawnOptions,
): Promise<ManagedJob> {
  container.requireState('active');
  const rlimits = effectiveLimits(options.rlimits ?? {}, engine.options.rlimits);
  const id = engine.nextJobId();
  if (options.logTag !== undefined)
    engine.logger.warn('log-tag-ignored', { handle: container.handle, job: id, logTag: options.logTag });
  return container.exclusive(async () => {
    container.requireState('active'); // a stop may have come first
    const init = container.requireInit();
    let job: InitJob;
    try {
      job = await init.spawn({
        id,
        argv: ['/bin/bash'],
        user: options.privileged === true ? 'root' : 'vcap',
        stdin: typeof script === 'string' ? encodeBytes(script) : script,
        environment: { LANG: engine.options.lang },
        rlimits,
        discardOutput: options.discardOutput === true,
        trackTree: options.trackTree === true,
      });
    } catch (cause) {
      const { code, message, fields } = cause as WardenError;
      throw new WardenError(code ?? 'INTERNAL', `iomux-spawn failed: ${message}`, {
        cause,
        fields: { ...fields, operation: 'spawn', handle: container.handle },
      });
    }
    return adoptJob(engine, container, init, job);
  });
}

/** Errors: `UNKNOWN_JOB`. */
export function findJob(container: ManagedContainer, id: number): ManagedJob {
  const job = container.jobs.get(id);
  if (job) return job;
  throw noSuchJob(container.handle, id);
}

/** Waits for the end and takes the result; whoever gives up leaves it. Errors: `UNKNOWN_JOB`, `ABORTED`. */
export async function linkJob(
  engine: Engine,
  container: ManagedContainer,
  id: number,
  signal?: AbortSignal,
): Promise<JobResult> {
  const job = findJob(container, id);
  const exitStatus = await unlessAborted(job.ended, signal, container, id);
  const info = await unlessAborted(endInfo(engine, container), signal, container, id);
  removeJob(container, job);
  return { exitStatus, info, stdout: job.output.collect('stdout'), stderr: job.output.collect('stderr') };
}

/** All output from the beginning, then the end. Errors: `UNKNOWN_JOB` and `ABORTED`, at the step in progress. */
export async function* streamJob(
  engine: Engine,
  container: ManagedContainer,
  id: number,
  signal?: AbortSignal,
): AsyncGenerator<OutputChunk, JobEnd, undefined> {
  const job = findJob(container, id);
  yield* job.output.read(signal);
  const exitStatus = await unlessAborted(job.ended, signal, container, id);
  const info = await unlessAborted(endInfo(engine, container), signal, container, id);
  removeJob(container, job);
  return { exitStatus, info };
}

/** Whoever asks why a job died finds the reason among the events: the kernel's notification of a kill may still be on its way. */
function endInfo(engine: Engine, container: ManagedContainer): Promise<JobEnd['info']> {
  try {
    container.outOfMemoryWatch?.check();
  } catch (error) {
    engine.logger.warn('out-of-memory-check-failed', { handle: container.handle, error });
  }
  return infoAtEnd(engine, container);
}

function removeJob(container: ManagedContainer, job: ManagedJob): void {
  if (container.jobs.delete(job.id)) job.forget();
}

function unlessAborted<T>(
  value: Promise<T>,
  signal: AbortSignal | undefined,
  container: ManagedContainer,
  job: number,
): Promise<T> {
  if (!signal) return value;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      reject(
        new WardenError('ABORTED', 'the caller gave up waiting for the job', {
          cause: signal.reason,
          fields: { handle: container.handle, job },
        }),
      );
    };
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    value.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
