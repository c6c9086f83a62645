/**
 * What daemons have left of containers, for an operator who wants it gone and no daemon in its place. The depot is the caller's alone. What is
 * looked at belongs to this depot and to these drivers' names; everything else is nobody's business here.
 */
import { type ContainerId, toWardenError } from '@warden/interface';
import { ManagedContainer } from './container.ts';
import { makeEngine } from './core.ts';
import { type DepotEntry, readDepot } from './depot-entries.ts';
import { KILL_TIMEOUT_MS } from './destroy.ts';
import type { Engine } from './engine.ts';
import type { CoreOptions } from './options.ts';
import { QUARANTINE_ADVICE } from './quarantine.ts';
import { remove, removeUnrecorded } from './recovery.ts';

/** One thing that is there. */
export interface Leftover {
  readonly kind: 'container' | 'network' | 'cgroup' | 'host' | 'file';
  /** What it is called: an id, an object of the kernel, a path. */
  readonly name: string;
  readonly handle?: string;
  /** `removed`, or what would be done. */
  readonly fate: 'remove' | 'keep' | 'removed' | 'failed';
  readonly why: string;
}

/** Options of {@link cleanUp}. */
export interface CleanUpOptions {
  /** Change nothing. */
  readonly dryRun: boolean;
  /** Living containers too, with their jobs. */
  readonly all: boolean;
}

/**
 * Removes, or with `dryRun` only tells, what is left: dead and half-made containers and what the kernel holds of them; with `all` the living
 * ones too; and what the drivers keep on the host once no container is left. What cannot be understood is kept. A failure is told with its
 * thing and does not keep the others.
 */
export async function cleanUp(options: CoreOptions, wanted: CleanUpOptions): Promise<readonly Leftover[]> {
  const engine = makeEngine(options);
  const found: Leftover[] = [];
  const kept = new Set<ContainerId>();
  for (const entry of readDepot(options.depot)) {
    const leftover = await cleanEntry(engine, entry, wanted);
    found.push(leftover);
    if (leftover.fate === 'keep' || leftover.fate === 'failed' || wanted.dryRun) kept.add(entry.id);
  }
  found.push(...(await cleanStrays(engine, kept, wanted)), ...(await cleanRemoved(engine, wanted)));
  const isEmpty = found.every(({ fate }) => fate === 'remove' || fate === 'removed');
  for (const driver of [engine.drivers.network, engine.drivers.cgroup]) {
    for (const name of (await driver.standing?.()) ?? []) {
      const why = isEmpty ? 'no container is left' : 'containers that are kept need it';
      found.push({ kind: 'host', name, why, fate: isEmpty ? 'remove' : 'keep' });
    }
  }
  if (!isEmpty || wanted.dryRun) return found;
  return await dismantle(engine, found);
}

async function cleanEntry(engine: Engine, entry: DepotEntry, wanted: CleanUpOptions): Promise<Leftover> {
  const handle = 'record' in entry ? entry.record?.handle : undefined;
  const thing = { kind: 'container', name: entry.id, ...(handle !== undefined && { handle }) } as const;
  if (entry.kind === 'set-aside')
    return { ...thing, fate: 'keep', why: `set aside in ${entry.directory}: ${QUARANTINE_ADVICE}` };
  try {
    const init = await engine.drivers.init.connect(entry.directory);
    // whoever only looks lets it go at once; it was not told that anything of it is taken over
    const why = reasonFor(entry, init !== undefined);
    const isKept = why.isKept && !(why.isAlive && wanted.all);
    if (isKept || wanted.dryRun) {
      init?.disconnect();
      return {
        ...thing,
        fate: isKept ? 'keep' : 'remove',
        why: isKept ? why.text : (why.removal ?? why.text),
      };
    }
    if (entry.kind === 'recorded')
      await remove(engine, new ManagedContainer(entry.record, entry.directory), init);
    else await removeUnrecorded(engine, entry as Extract<DepotEntry, { kind: 'unrecorded' }>, init);
    return { ...thing, fate: 'removed', why: why.removal ?? why.text };
  } catch (error) {
    return { ...thing, fate: 'failed', why: toWardenError(error).message };
  }
}

interface Reason {
  readonly isKept: boolean;
  readonly isAlive: boolean;
  readonly text: string;
  /** What is said when it goes all the same. */
  readonly removal?: string;
}

function reasonFor(entry: DepotEntry, isAlive: boolean): Reason {
  const gone = (text: string): Reason => ({ isKept: false, isAlive, text });
  if (entry.kind === 'unrecorded') return gone('it has no record');
  if (entry.kind === 'broken') {
    if (entry.isBlank && !isAlive) return gone('its record is blank, and nothing of it lives');
    return { isKept: true, isAlive: false, text: 'its record cannot be read; the next daemon sets it aside' };
  }
  if (entry.kind === 'recorded' && entry.record.isDestroying) return gone('half destroyed');
  if (entry.kind === 'recorded' && entry.record.state === 'born') return gone('half made');
  if (!isAlive) return gone('dead');
  return {
    isKept: true,
    isAlive,
    text: 'it lives, and the next daemon takes it over; --all ends it with its jobs',
    removal: 'it lived',
  };
}

/** Kernel objects whose containers have no directory. */
async function cleanStrays(
  { drivers }: Engine,
  kept: ReadonlySet<ContainerId>,
  { dryRun }: CleanUpOptions,
): Promise<Leftover[]> {
  const why = 'its container has no directory';
  const found: Leftover[] = [];
  const strays = ((await drivers.network.list?.()) ?? []).filter((id) => !kept.has(id));
  let told = { fate: dryRun ? 'remove' : 'removed', why } as Pick<Leftover, 'fate' | 'why'>;
  try {
    if (strays.length > 0 && !dryRun) await drivers.network.sweep(kept);
  } catch (error) {
    told = { fate: 'failed', why: toWardenError(error).message };
  }
  for (const id of strays) found.push({ kind: 'network', name: id, ...told });
  for (const id of await drivers.cgroup.list()) {
    if (kept.has(id)) continue;
    const state = drivers.cgroup.plan({ id, allowAllDevices: false, pidsLimit: undefined });
    const thing = { kind: 'cgroup', name: id } as const;
    try {
      if (!dryRun) {
        await drivers.cgroup.killAll(state, KILL_TIMEOUT_MS);
        await drivers.cgroup.release(state);
      }
      found.push({ ...thing, fate: dryRun ? 'remove' : 'removed', why });
    } catch (error) {
      found.push({ ...thing, fate: 'failed', why: toWardenError(error).message });
    }
  }
  return found;
}

/** Files of containers that were destroyed before. */
async function cleanRemoved({ leftovers }: Engine, { dryRun }: CleanUpOptions): Promise<readonly Leftover[]> {
  const found: Leftover[] = [];
  for (const name of leftovers.list()) {
    const thing = { kind: 'file', name, why: 'a destroyed container has left it' } as const;
    try {
      if (!dryRun) await leftovers.remove(name);
      found.push({ ...thing, fate: dryRun ? 'remove' : 'removed' });
    } catch (error) {
      found.push({ ...thing, fate: 'failed', why: toWardenError(error).message });
    }
  }
  return found;
}

async function dismantle({ drivers }: Engine, found: readonly Leftover[]): Promise<readonly Leftover[]> {
  const failures = new Map<string, string>();
  for (const driver of [drivers.network, drivers.cgroup]) {
    try {
      await driver.dismantle?.();
    } catch (error) {
      for (const name of (await driver.standing?.()) ?? []) failures.set(name, toWardenError(error).message);
    }
  }
  return found.map((one) => {
    if (one.kind !== 'host') return one;
    const failure = failures.get(one.name);
    return failure === undefined ? { ...one, fate: 'removed' } : { ...one, fate: 'failed', why: failure };
  });
}
