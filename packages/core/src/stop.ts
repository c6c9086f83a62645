/** Stop: ends all processes of a container and keeps everything else (spec behaviour.md 5, linux-container.md 19). */
import { type Init, isWardenError, WardenError } from '@warden/interface';
import type { ManagedContainer } from './container.ts';
import { type Engine, publish, saveRecord, trySave } from './engine.ts';
import { checkOutOfMemory } from './exit-verdict.ts';
import { killInit, thaw } from './frozen.ts';
import { goOn } from './pause.ts';

const SIGTERM = 15;
const SIGKILL = 9;
/** So often they are asked. */
const TERM_INTERVAL_MS = 1_000;
/** What processes get to end by themselves. */
const PATIENCE_MS = 10_000;
/**
 * Of processes: half of the limit `nproc` that jobs have by default; what a small container may have without
 * being a bomb.
 */
const MASSES = 512;
const FEW = 64;
/** After SIGKILL only the kernel's own work is left. */
const KILL_TIMEOUT_MS = 30_000;

/** How soon a kill is noticed while a graceful stop waits. */
const SLICE_MS = 100;
/** Init does at once what it is told. One that has not by then is stopped or hangs, and is killed itself. */
const SILENCE_MS = 5_000;

/**
 * Stops a container, behind a snapshot of it. A second stop waits for the first; with `kill` neither waits any
 * longer, nor for the snapshot.
 * Errors: `BAD_STATE`, `TIMEOUT`, `NATIVE_FAILED` (the record could not be written; the processes have ended then).
 */
export function stopContainer(
  engine: Engine,
  container: ManagedContainer,
  options: { readonly kill: boolean },
): Promise<void> {
  container.requireState('active', 'stopped');
  if (options.kill) {
    container.isKillWanted = true;
    container.giveUpSnapshot?.();
  }
  if (container.stopping) return container.stopping;
  if (container.isEmptied) return Promise.resolve();
  container.record.state = 'stopped'; // before the first signal: nothing new may start
  container.stopping = container
    .exclusive(() => stop(engine, container))
    .finally(() => {
      container.stopping = undefined;
      container.isKillWanted = false;
    });
  return container.stopping;
}

async function stop(engine: Engine, container: ManagedContainer): Promise<void> {
  // the intent, so that the next daemon ends what this one began; a full disk must not keep anything running.
  // A destruction has recorded its own
  const isRecorded = container.record.isDestroying;
  if (!isRecorded) trySave(engine, container);
  await engine.failpoints.pass('stop.record');
  checkOutOfMemory(engine, container); // what the kernel has done already is not lost
  container.outOfMemoryWatch?.close();
  container.outOfMemoryWatch = undefined;
  await goOn(engine, container).catch((error: unknown) => {
    engine.logger.error('thaw-failed', { handle: container.handle, error });
  });
  await endProcesses(engine, container);
  await engine.failpoints.pass('stop.empty');
  await Promise.allSettled([...container.jobs.values()].map(({ ended }) => ended));
  await engine.failpoints.pass('stop.jobs');
  if (!isRecorded) saveRecord(engine, container); // again: what the jobs left is part of it
  await engine.failpoints.pass('stop.done');
  container.isEmptied = true;
  publish(engine, container, { type: 'stopped' });
}

async function endProcesses(engine: Engine, container: ManagedContainer): Promise<void> {
  const { failpoints } = engine;
  const { init } = container;
  if (!init || container.isInitLost) return; // dead, and everything inside with it
  await thaw(engine, container);
  try {
    const patience = performance.now() + PATIENCE_MS;
    const deadline = patience + KILL_TIMEOUT_MS;
    const begun = performance.now();
    let nextTerm = begun;
    for (;;) {
      const now = performance.now();
      if (now >= nextTerm && nextTerm > begun && (await isBomb(engine, container)))
        container.isKillWanted = true;
      // again and again: one round may miss what was forking at that moment
      const isKill = container.isKillWanted || now >= patience;
      const isDue = isKill || now >= nextTerm;
      const told = isDue ? init.signalAll(isKill ? SIGKILL : SIGTERM) : undefined;
      // right behind it: init wakes up once for both
      const emptied = init.waitEmpty(SLICE_MS);
      emptied.catch(() => {}); // met below, or too late to matter
      if (told !== undefined) {
        if (!(await isDone(container, told, patience))) return await killSilent(engine, container, init);
        await failpoints.pass(isKill ? 'stop.kill' : 'stop.signal');
        if (!isKill) nextTerm += TERM_INTERVAL_MS;
      }
      if (await emptied) return;
      if (performance.now() > deadline) throw unkillable(container);
    }
  } catch (error) {
    if (!isWardenError(error, 'UNAVAILABLE')) throw error;
  }
}

/**
 * Whether a container that is being destroyed still has masses of processes when they are to be told for the
 * second time or later. Nobody waits for those: a shell that cannot fork sleeps over the signal that would
 * end it, and tries again [SECURITY R01].
 */
async function isBomb({ drivers }: Engine, { record }: ManagedContainer): Promise<boolean> {
  if (!record.isDestroying) return false;
  const count = await drivers.cgroup.processCount?.(record.drivers.cgroup).catch(() => undefined);
  return count !== undefined && count.used >= Math.max(FEW, Math.min(MASSES, (count.limit ?? MASSES) / 2));
}

/**
 * Whether init has done what it was told; false when it keeps silent beyond what the processes get, or for
 * some time once a kill is wanted.
 */
async function isDone(container: ManagedContainer, told: Promise<void>, patience: number): Promise<boolean> {
  const done = told.then(() => true);
  done.catch(() => {}); // met below, or too late to matter
  let deadline: number | undefined;
  for (;;) {
    let timer: NodeJS.Timeout | undefined;
    const slice = new Promise<false>((resolve) => {
      timer = setTimeout(() => resolve(false), SLICE_MS);
    });
    const isOver = await Promise.race([done, slice]);
    clearTimeout(timer);
    if (isOver) return true;
    const now = performance.now();
    if (container.isKillWanted || now >= patience) deadline ??= now + SILENCE_MS;
    if (deadline !== undefined && now >= deadline) return false;
  }
}

/** With it ends everything inside. */
async function killSilent(engine: Engine, container: ManagedContainer, init: Init): Promise<void> {
  engine.logger.warn('silent-init-killed', { handle: container.handle, pid: init.pid });
  await killInit(engine, container, init);
}

function unkillable(container: ManagedContainer): WardenError {
  return new WardenError(
    'TIMEOUT',
    `processes of the container do not die within ${KILL_TIMEOUT_MS / 1_000} s of SIGKILL; destroy it later`,
    {
      fields: { operation: 'stop', handle: container.handle },
    },
  );
}
