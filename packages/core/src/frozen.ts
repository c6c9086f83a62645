/**
 * Containers that somebody has frozen, by the freezer of their control group: no signal reaches what is in
 * there, not even SIGKILL on v1.
 */
import type { Init } from '@warden/interface';
import type { ManagedContainer } from './container.ts';
import type { Engine } from './engine.ts';

/** Lets it go on, so that it can end. Never throws: what cannot be thawed is met when it does not end. */
export async function thaw(engine: Engine, { record, handle }: ManagedContainer): Promise<void> {
  const { cgroup } = engine.drivers;
  if (!cgroup.supports.freezer) return;
  const state = record.drivers.cgroup;
  try {
    if (!(await cgroup.isFrozen(state))) return;
    engine.logger.warn('frozen-container-thawed', { handle });
    await cgroup.thaw(state);
  } catch (error) {
    engine.logger.debug?.('not-thawed', { handle, error });
  }
}

/** Kills init, and with it everything in the container, also where it is frozen. Errors: `TIMEOUT`. */
export async function killInit(
  engine: Engine,
  container: ManagedContainer,
  init: Init | undefined,
): Promise<void> {
  if (init === undefined) return;
  await thaw(engine, container);
  await init.kill();
}
