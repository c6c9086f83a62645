/**
 * Statistics of a container while somebody waits for the end of a job there, whose answer they go with: opened while the job runs, so that there is less to
 * do between its end and the answer.
 */
import type { OpenStatistics } from '@warden/interface';
import type { ManagedContainer } from './container.ts';
import type { Engine } from './engine.ts';

/** All who wait in one container share them: they take descriptors. */
interface Shared {
  readonly open: OpenStatistics;
  holders: number;
}

const shared = new WeakMap<ManagedContainer, Shared>();

/** One who waits. */
export interface HeldStatistics {
  /** `undefined`: the driver is asked in the usual way. */
  readonly open: OpenStatistics | undefined;
  /** To be called once. */
  release(): void;
}

const NOTHING: HeldStatistics = { open: undefined, release: () => {} };

/** See the file's head. Never fails. */
export function holdStatistics({ drivers }: Engine, container: ManagedContainer): HeldStatistics {
  let held = shared.get(container);
  if (held === undefined) {
    const open = drivers.cgroup.openStatistics?.(container.record.drivers.cgroup);
    if (open === undefined) return NOTHING;
    held = { open, holders: 0 };
    shared.set(container, held);
  }
  const { open } = held;
  held.holders += 1;
  return { open, release: () => letGo(container, held) };
}

function letGo(container: ManagedContainer, held: Shared): void {
  held.holders -= 1;
  if (held.holders > 0) return;
  shared.delete(container);
  setImmediate(() => held.open.close()); // behind the answer
}
