/** Ties a connected init to its container: jobs it hands over, and what happens when it dies. */
import type { Init, InitJob } from '@warden/interface';
import type { ManagedContainer } from './container.ts';
import { type Engine, saveRecord } from './engine.ts';
import { ManagedJob } from './job.ts';

/** The original's event texts. */
export const OUTPUT_EVENT = 'command exceeded maximum output';
export const OUT_OF_MEMORY_EVENT = 'out of memory';

/** Takes `init` into use. */
export function attachInit(engine: Engine, container: ManagedContainer, init: Init): void {
  container.init = init;
  for (const job of init.recoveredJobs) adoptJob(engine, container, init, job);
  void init.closed.then(() => {
    if (container.init !== init) return;
    container.isInitLost = true;
    if (engine.isClosing || container.destroying || container.isDestroyed) return;
    // gone, or speaking nonsense: everything inside ends with it, and what is left can be looked at and destroyed
    engine.logger.warn('init-lost', { handle: container.handle, pid: init.pid });
    container.record.state = 'stopped';
    trySave(engine, container);
    init.kill().catch((error: unknown) => {
      engine.logger.error('lost-init-kill-failed', { handle: container.handle, error });
    });
  });
}

/** Starts collecting a job's output. */
export function adoptJob(engine: Engine, container: ManagedContainer, init: Init, job: InitJob): ManagedJob {
  const managed = new ManagedJob({
    init,
    job,
    outputLimit: engine.options.jobOutputLimit,
    logger: engine.logger,
    onLimitExceeded: () => addEvent(engine, container, OUTPUT_EVENT),
    isClosing: () => engine.isClosing,
  });
  container.jobs.set(job.id, managed);
  return managed;
}

/** Adds to the container's set of events. */
export function addEvent(engine: Engine, container: ManagedContainer, event: string): void {
  if (container.record.events.has(event)) return;
  container.record.events.add(event);
  engine.logger.info('container-event', { handle: container.handle, event });
  trySave(engine, container);
}

/** For changes that happened by themselves: nobody waits for an error. */
export function trySave(engine: Engine, container: ManagedContainer): void {
  try {
    saveRecord(engine, container);
  } catch (error) {
    engine.logger.error('record-failed', { handle: container.handle, error });
  }
}
