/**
 * What daemons have left of containers, for an operator who wants it gone and no daemon in its place. The
 * depot is the caller's alone. What is looked at belongs to this depot and to these drivers' names;
 * everything else is nobody's business here.
 */
import { type CgroupDriver, type ContainerId, type NetworkDriver, toWardenError } from '@warden/interface';
import { ManagedContainer } from './container.ts';
import { makeEngine } from './core.ts';
import { type DepotEntry, readDepot, recordOf } from './depot-entries.ts';
import { removeGroupsOf } from './destroy.ts';
import { type Engine, groupsById } from './engine.ts';
import { connectRecovered, isFrozen, standsStill } from './frozen.ts';
import { livingStrays } from './living.ts';
import type { CoreOptions } from './options.ts';
import { adviceIn } from './quarantine.ts';
import { remove, removeUnrecorded } from './removal.ts';

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

/** A driver that keeps something on the host whether there are containers or not. */
type HostDriver = NetworkDriver | CgroupDriver;

/** Options of {@link cleanUp}. */
export interface CleanUpOptions {
  /** Change nothing. */
  readonly dryRun: boolean;
  /** Living containers too, with their jobs. */
  readonly all: boolean;
}

/**
 * Removes, or with `dryRun` only tells, what is left: dead and half-made containers and what the kernel holds
 * of them; with `all` the living ones too; and what the drivers keep on the host once no container is left.
 * What cannot be understood is kept. Each thing is tried on its own and told with its own reason.
 */
export async function cleanUp(options: CoreOptions, wanted: CleanUpOptions): Promise<readonly Leftover[]> {
  const engine = makeEngine(options);
  const found: Leftover[] = [];
  const kept = new Set<ContainerId>();
  const deadAside = new Set<ContainerId>();
  for (const entry of readDepot(options.depot)) {
    const leftover = await cleanEntry(engine, entry, wanted);
    found.push(leftover);
    if (entry.kind === 'set-aside' && !(await livesAside(engine, entry))) deadAside.add(entry.id);
    else if (leftover.fate === 'keep' || leftover.fate === 'failed' || wanted.dryRun) kept.add(entry.id);
  }
  // where they cannot be listed, that is told when it is their turn
  const living = await livingStrays(engine, kept).catch(() => []);
  if (!wanted.all) {
    for (const name of living) {
      kept.add(name);
      found.push({ kind: 'container', name, fate: 'keep', why: LIVES_ELSEWHERE });
    }
  }
  const why = (id: string): string => {
    if (deadAside.has(id)) return DEAD_ASIDE;
    return living.some((one) => one === id) ? LIVING_STRAY : STRAY;
  };
  found.push(...(await cleanNetworks(engine, { kept, why, ...wanted })));
  found.push(...(await cleanCgroups(engine, { kept, why, ...wanted })));
  found.push(...(await cleanRemoved(engine, wanted)));
  for (const driver of [engine.drivers.network, engine.drivers.cgroup])
    found.push(...(await cleanHost(driver, reasonToStay(driver, found), wanted)));
  return found;
}

async function cleanEntry(engine: Engine, entry: DepotEntry, wanted: CleanUpOptions): Promise<Leftover> {
  const handle = recordOf(entry)?.handle;
  const thing = { kind: 'container', name: entry.id, ...(handle !== undefined && { handle }) } as const;
  if (entry.kind === 'set-aside')
    return { ...thing, fate: 'keep', why: `set aside in ${entry.directory}: ${adviceIn(entry.directory)}` };
  try {
    const why = reasonFor(entry, await isAlive(engine, entry));
    const isKept = why.isKept && !(why.isAlive && wanted.all);
    if (isKept || wanted.dryRun) {
      return {
        ...thing,
        fate: isKept ? 'keep' : 'remove',
        why: isKept ? why.text : (why.removal ?? why.text),
      };
    }
    const init = await connectRecovered(engine, entry);
    if (entry.kind === 'recorded')
      await remove(engine, new ManagedContainer(entry.record, entry.directory), init);
    else await removeUnrecorded(engine, entry, init);
    return { ...thing, fate: 'removed', why: why.removal ?? why.text };
  } catch (error) {
    return failed(thing, error);
  }
}

/** Looked at without a change. What stands still answers nobody, and is not to go on for a look. */
async function isAlive(engine: Engine, entry: DepotEntry): Promise<boolean> {
  const isStill =
    entry.kind === 'recorded' ? await standsStill(engine, entry.record) : await isFrozen(engine, entry);
  return isStill || (await hasInit(engine, entry));
}

async function hasInit(engine: Engine, entry: DepotEntry): Promise<boolean> {
  const init = await engine.drivers.init.connect(entry.directory);
  // it was not told that anything of it is taken over
  init?.disconnect();
  return init !== undefined;
}

/** Whoever does not live is not taken back (`take-back.ts`): only the files may be of use to somebody. */
async function livesAside(engine: Engine, entry: DepotEntry): Promise<boolean> {
  try {
    const pids = await engine.drivers.cgroup.pids(groupsById(engine, entry.id));
    return pids.length > 0 || (await hasInit(engine, entry));
  } catch {
    return true; // as far as anybody knows
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

const STRAY = 'its container has no directory';
const DEAD_ASIDE = 'its container is set aside, and nothing of it lives';
const LIVING_STRAY = 'its container has no directory here, and lived';
const LIVES_ELSEWHERE =
  'it lives, and has no directory here: it is of another depot, or has lost it; --all ends it with its jobs';

/** What is to become of the kernel's objects, which have the ids of their containers. */
interface Sweep extends CleanUpOptions {
  /** Whose stay. */
  readonly kept: ReadonlySet<ContainerId>;
  /** Why the others' go. */
  readonly why: (id: string) => string;
}

/** Networks that no container has. They go all at once. */
async function cleanNetworks(
  { drivers: { network } }: Engine,
  { kept, why, dryRun }: Sweep,
): Promise<Leftover[]> {
  let strays: readonly string[] = [whatHolds(network)]; // when they cannot even be listed
  try {
    strays = ((await network.list?.()) ?? []).filter((id) => !kept.has(id));
    if (strays.length > 0 && !dryRun) await network.sweep(kept);
    const fate = dryRun ? 'remove' : 'removed';
    return strays.map((name) => ({ kind: 'network', name, fate, why: why(name) }));
  } catch (error) {
    return strays.map((name) => failed({ kind: 'network', name }, error));
  }
}

/** Groups that no container has. */
async function cleanCgroups(engine: Engine, { kept, why, ...wanted }: Sweep): Promise<Leftover[]> {
  const { cgroup } = engine.drivers;
  let strays: readonly ContainerId[];
  try {
    strays = (await cgroup.list()).filter((id) => !kept.has(id));
  } catch (error) {
    return [failed({ kind: 'cgroup', name: whatHolds(cgroup) }, error)];
  }
  return eachAlone(strays, { kind: 'cgroup', why, ...wanted }, (id) => removeGroupsOf(engine, id));
}

/** Files of containers that were destroyed before. */
async function cleanRemoved({ leftovers }: Engine, wanted: CleanUpOptions): Promise<Leftover[]> {
  let names: readonly string[];
  try {
    names = leftovers.list();
  } catch (error) {
    return [failed({ kind: 'file', name: leftovers.directory }, error)];
  }
  const why = (): string => 'a destroyed container has left it';
  return eachAlone(names, { kind: 'file', why, ...wanted }, (name) => leftovers.remove(name));
}

/** Tries one after the other. */
async function eachAlone<N extends string>(
  names: readonly N[],
  { kind, why, dryRun }: Pick<Leftover, 'kind'> & { readonly why: (name: N) => string } & CleanUpOptions,
  remove: (name: N) => Promise<void>,
): Promise<Leftover[]> {
  const found: Leftover[] = [];
  for (const name of names) {
    try {
      if (!dryRun) await remove(name);
      found.push({ kind, name, why: why(name), fate: dryRun ? 'remove' : 'removed' });
    } catch (error) {
      found.push(failed({ kind, name }, error));
    }
  }
  return found;
}

/** Why what a driver keeps on the host has to stay, if it has to. Files need neither table nor groups. */
function reasonToStay({ role }: HostDriver, found: readonly Leftover[]): string | undefined {
  if (found.some(({ kind, fate }) => kind === 'container' && fate === 'keep'))
    return 'containers that are kept need it';
  const obstacle = found.find(
    ({ kind, fate }) => (kind === 'container' || kind === role) && fate === 'failed',
  );
  return obstacle && `${obstacle.name} needs it, which could not be removed`;
}

/** What a driver keeps on the host. */
async function cleanHost(
  driver: HostDriver,
  stays: string | undefined,
  { dryRun }: CleanUpOptions,
): Promise<Leftover[]> {
  let names: readonly string[];
  try {
    names = (await driver.standing?.()) ?? [];
  } catch (error) {
    return [failed({ kind: 'host', name: whatHolds(driver) }, error)];
  }
  const told = (name: string, fate: Leftover['fate'], why = 'no container is left'): Leftover => ({
    kind: 'host',
    name,
    fate,
    why,
  });
  if (stays !== undefined) return names.map((name) => told(name, 'keep', stays));
  if (dryRun) return names.map((name) => told(name, 'remove'));
  try {
    await driver.dismantle?.();
    return names.map((name) => told(name, 'removed'));
  } catch (error) {
    // some of it may have gone
    const left = await Promise.resolve(driver.standing?.()).catch(() => names);
    return names.map((name) =>
      left?.includes(name) ? failed({ kind: 'host', name }, error) : told(name, 'removed'),
    );
  }
}

/** Stands for what could not even be listed. */
function whatHolds({ role, name }: HostDriver): string {
  return `what the ${role} driver ${name} holds`;
}

function failed(thing: Pick<Leftover, 'kind' | 'name' | 'handle'>, error: unknown): Leftover {
  return { ...thing, fate: 'failed', why: toWardenError(error).message };
}
