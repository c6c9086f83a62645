/**
 * Pause: everything in the container stands still, its init too. What needs an answer from inside is refused
 * meanwhile, instead of waiting for it; what ends the container lets it go on first, because a process that
 * stands still cannot die.
 */
import { WardenError } from '@warden/interface';
import { isUnsupported, type ManagedContainer } from './container.ts';
import { type Engine, publish, saveRecord, trySave } from './engine.ts';
import { endPreparedShell } from './prepared-shell.ts';

/** For all processes to come to a place where they can be stopped. */
const FREEZE_TIMEOUT_MS = 5_000;

/** Idempotent. Errors: `BAD_STATE`, `UNSUPPORTED`, `TIMEOUT` (it goes on then), `NATIVE_FAILED`. */
export function pauseContainer(engine: Engine, container: ManagedContainer): Promise<void> {
  container.requireState('active');
  return container.exclusive(async () => {
    container.requireState('active');
    const { record } = container;
    if (record.isPaused) return;
    await endPreparedShell(container); // whoever has to end it later would wait for an init that stands still
    container.init?.excuse?.(true);
    record.isPaused = true; // first: a daemon that finds it frozen must know that it has to thaw it before it asks its init
    try {
      saveRecord(engine, container);
      await engine.failpoints.pass('pause.record');
      await engine.drivers.cgroup.freeze(record.drivers.cgroup, FREEZE_TIMEOUT_MS);
      await engine.failpoints.pass('pause.freeze');
    } catch (error) {
      await thawQuietly(engine, container);
      container.init?.excuse?.(false);
      record.isPaused = false;
      trySave(engine, container);
      throw error;
    }
    publish(engine, container, { type: 'paused' });
  });
}

/** Idempotent. Errors: `BAD_STATE`, `NATIVE_FAILED`. */
export function resumeContainer(engine: Engine, container: ManagedContainer): Promise<void> {
  container.requireState('active');
  return container.exclusive(() => goOn(engine, container));
}

/** As {@link resumeContainer}, by whoever has the container's turn. A full disk keeps nothing standing. */
export async function goOn(engine: Engine, container: ManagedContainer): Promise<void> {
  const { record } = container;
  if (!record.isPaused) return;
  await engine.drivers.cgroup.thaw(record.drivers.cgroup);
  container.init?.excuse?.(false);
  await engine.failpoints.pass('resume.thaw');
  record.isPaused = false;
  trySave(engine, container);
  await engine.failpoints.pass('resume.record');
  publish(engine, container, { type: 'resumed' });
}

/** Errors: `BAD_STATE`. */
export function requireRunning(container: ManagedContainer, operation: string): void {
  if (!container.record.isPaused) return;
  throw new WardenError('BAD_STATE', 'the container is paused; resume it first', {
    fields: { operation, handle: container.handle, paused: true },
  });
}

async function thawQuietly(engine: Engine, container: ManagedContainer): Promise<void> {
  try {
    await engine.drivers.cgroup.thaw(container.record.drivers.cgroup);
  } catch (error) {
    if (!isUnsupported(error)) engine.logger.error('thaw-failed', { handle: container.handle, error });
  }
}
