/**
 * Statistics of a container while somebody waits for the end of a job there, whose answer they go with:
 * opened while the job runs, so that there is less to do between its end and the answer. They stay open for a
 * moment, since jobs often come one after the other.
 */
import type { OpenStatistics } from '@warden/interface';
import type { ManagedContainer } from './container.ts';
import type { Engine } from './engine.ts';

/** So long they stay open for the next one. */
const KEPT_MS = 1_000;
/** Containers whose statistics stay open without anybody who waits: they take descriptors. */
const MOST_KEPT = 64;

/** All who wait in one container share them. */
interface Shared {
  readonly container: ManagedContainer;
  readonly open: OpenStatistics;
  holders: number;
  /** Runs out unless it is begun again, or somebody holds them. */
  timer: NodeJS.Timeout | undefined;
}

const shared = new WeakMap<ManagedContainer, Shared>();
/** Without holders, the one that has been so for longest first. */
const kept = new Set<Shared>();

/** See the file's head. The answer is to be called once, when nobody waits any more. Never fails. */
export function holdStatistics({ drivers }: Engine, container: ManagedContainer): () => void {
  let held = shared.get(container);
  if (held === undefined) {
    const open = drivers.cgroup.openStatistics?.(container.record.drivers.cgroup);
    if (open === undefined) return () => {};
    held = { container, open, holders: 0, timer: undefined };
    shared.set(container, held);
  }
  const own = held;
  own.holders += 1;
  kept.delete(own);
  return () => letGo(own);
}

/** Those that are open at present; `undefined`: the driver is asked in the usual way. */
export function openedStatistics(container: ManagedContainer): OpenStatistics | undefined {
  return shared.get(container)?.open;
}

/** The container is going away: what nobody holds any more is closed now, the rest when it is released. */
export function closeStatistics(container: ManagedContainer): void {
  const held = shared.get(container);
  if (held?.holders === 0) close(held);
}

function letGo(held: Shared): void {
  held.holders -= 1;
  if (held.holders > 0) return;
  if (held.container.destroying !== undefined) {
    close(held);
    return;
  }
  kept.add(held);
  if (held.timer === undefined) held.timer = setTimeout(() => closeUnheld(held), KEPT_MS).unref();
  else held.timer.refresh();
  const [oldest] = kept;
  if (kept.size > MOST_KEPT && oldest !== undefined) close(oldest);
}

function closeUnheld(held: Shared): void {
  if (held.holders === 0) close(held);
}

function close(held: Shared): void {
  clearTimeout(held.timer);
  kept.delete(held);
  shared.delete(held.container);
  held.open.close();
}
