/** Stop: ends all processes of a container and keeps everything else (spec behaviour.md 5, linux-container.md 19). */
import { isWardenError, WardenError } from '@warden/interface';
import type { ManagedContainer } from './container.ts';
import { type Engine, saveRecord } from './engine.ts';

const SIGTERM = 15;
const SIGKILL = 9;
/** What processes get to end by themselves. */
const PATIENCE_MS = 10_000;
/** After SIGKILL only the kernel's own work is left. */
const KILL_TIMEOUT_MS = 30_000;

/**
 * Stops a container. A second stop waits for the first; with `kill` it does not let that one wait any longer.
 * Errors: `BAD_STATE`, `UNAVAILABLE` (init is gone, so is everything inside), `TIMEOUT`.
 */
export function stopContainer(
  engine: Engine,
  container: ManagedContainer,
  options: { readonly kill: boolean },
): Promise<void> {
  container.requireState('active', 'stopped');
  if (container.stopping) {
    if (options.kill) signal(container, SIGKILL);
    return container.stopping;
  }
  if (container.record.state === 'stopped') return Promise.resolve();
  container.record.state = 'stopped'; // before the first signal: nothing new may start
  container.stopping = container
    .exclusive(() => endProcesses(engine, container, options.kill ? 0 : PATIENCE_MS))
    .finally(() => {
      container.stopping = undefined;
    });
  return container.stopping;
}

async function endProcesses(engine: Engine, container: ManagedContainer, patienceMs: number): Promise<void> {
  saveRecord(engine, container);
  container.outOfMemoryWatch?.close();
  container.outOfMemoryWatch = undefined;
  const { init } = container;
  if (!init) return; // dead already
  try {
    let isEmpty = false;
    if (patienceMs > 0) {
      await init.signalAll(SIGTERM);
      isEmpty = await init.waitEmpty(patienceMs);
    }
    const deadline = performance.now() + KILL_TIMEOUT_MS;
    while (!isEmpty) {
      if (performance.now() > deadline) throw unkillable(container);
      await init.signalAll(SIGKILL);
      // one round may miss what was forking at that moment
      isEmpty = await init.waitEmpty(100);
    }
  } catch (error) {
    if (!isWardenError(error, 'UNAVAILABLE')) throw error;
  }
  await Promise.all([...container.jobs.values()].map(({ ended }) => ended));
}

function signal(container: ManagedContainer, number: number): void {
  container.init?.signalAll(number).catch(() => {}); // the stop in progress meets the same failure
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
