/** Grace time: how long a container lives after the last session that referenced it (spec behaviour.md 8). */
import type { ManagedContainer, Reference } from './container.ts';
import { destroyContainer } from './destroy.ts';
import type { Engine } from './engine.ts';

/** Longest delay of a timer in Node; longer ones fire at once. */
const MAX_TIMER_MS = 2_147_483_647;
/** A destruction that failed is tried again; what stood in its way may be gone. */
const RETRY_MS = 30_000;

/** `reference` keeps the container alive from now on. */
export function addReference(container: ManagedContainer, reference: Reference): void {
  container.references.add(reference);
  clearTimeout(container.graceTimer);
  container.graceTimer = undefined;
}

/** Ends a reference; the last one starts the grace time. */
export function dropReference(engine: Engine, container: ManagedContainer, reference: Reference): void {
  if (container.references.delete(reference) && container.references.size === 0)
    armGraceTime(engine, container);
}

/** Starts the grace time of a container nobody references. */
export function armGraceTime(engine: Engine, container: ManagedContainer): void {
  const { graceTime } = container.record;
  clearTimeout(container.graceTimer);
  if (graceTime === undefined || container.isDestroyed || engine.isClosing) return;
  wait(engine, container, graceTime * 1_000);
}

/** Of one that was taken over. Without a grace time it goes at once: nobody can come back in time for it. */
export function beginGraceTime(engine: Engine, container: ManagedContainer): void {
  if (container.record.graceTime === 0) expire(engine, container);
  else armGraceTime(engine, container);
}

function wait(engine: Engine, container: ManagedContainer, remainingMs: number): void {
  const step = Math.min(remainingMs, MAX_TIMER_MS);
  const timer = setTimeout(() => {
    if (remainingMs > step) return wait(engine, container, remainingMs - step);
    // behind the look for what has come meanwhile: of a process that stood still, timers are the first to hear
    setImmediate(() => {
      if (container.graceTimer === timer) expire(engine, container);
    });
  }, step);
  container.graceTimer = timer;
  // an idle daemon is kept by its socket, not by this
  timer.unref();
}

function expire(engine: Engine, container: ManagedContainer): void {
  if (engine.isClosing || container.references.size > 0) return;
  engine.logger.info('grace-time-over', { handle: container.handle });
  destroyContainer(engine, container).catch((error: unknown) => {
    engine.logger.warn('grace-time-destroy-failed', { handle: container.handle, error });
    if (container.references.size === 0 && !engine.isClosing) wait(engine, container, RETRY_MS);
  });
}
