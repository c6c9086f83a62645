/**
 * What a starting daemon does with the depot (spec behaviour.md 10): living containers are taken over,
 * half-made and dead ones are removed, what cannot be understood while something lives is set aside and
 * reported. Kernel objects nobody claims go last.
 */
import { type ContainerId, type Init, isWardenError, toWardenError, WardenError } from '@warden/interface';
import { ManagedContainer } from './container.ts';
import { type DepotEntry, idsInDepot, type RecordedEntry, recordOf } from './depot-entries.ts';
import { removeGroupsOf } from './destroy.ts';
import { type Engine, networkSpecOf, poolUsage, trySave } from './engine.ts';
import { connectRecovered } from './frozen.ts';
import { attachInit, forgetStaleJobs } from './init-connection.ts';
import { watchOutOfMemory } from './limits.ts';
import { keepUsersApart } from './living-users.ts';
import { pauseContainer } from './pause.ts';
import { quarantine, setAside } from './quarantine.ts';
import { serializeRecord } from './record.ts';
import { remove, removeUnrecorded } from './removal.ts';
import { stopContainer } from './stop.ts';
import { takeBack } from './take-back.ts';

/**
 * So many are taken over together, while the inits of as many more are asked: each has to wake up for its
 * answer, and on a busy machine that takes a while; and what is asked of a driver for several at once it can
 * do in one go.
 */
const TOGETHER = 32;

/** Recovers everything. Never throws for a single container; errors of the reconciliation pass through. */
export async function recoverContainers(engine: Engine, found: readonly DepotEntry[]): Promise<void> {
  const entries = await takeBack(engine, found);
  await engine.failpoints.pass('recover.read');
  const claims = new Map<ContainerId, DepotEntry[]>();
  for (const entry of entries) {
    engine.ids.avoid(entry.id);
    withdraw(engine, entry);
    if (entry.kind !== 'set-aside') claims.set(entry.id, [...(claims.get(entry.id) ?? []), entry]);
  }
  const queue = [...claims.values()];
  const asked = new Map<DepotEntry, Promise<Init | undefined>>();
  for (let at = 0; at < queue.length; at += TOGETHER) {
    for (const soon of queue.slice(at === 0 ? 0 : at + TOGETHER, at + 2 * TOGETHER)) ask(engine, soon, asked);
    const together = queue.slice(at, at + TOGETHER);
    await Promise.allSettled(together.map(([first]) => asked.get(first!)));
    await Promise.all(together.map((claimants) => recover(engine, claimants, asked)));
  }
  sortByOrder(engine);
  const kept = idsInDepot(engine.options.depot, entries);
  const stay = entries.filter(({ id }) => kept.has(id));
  // what was removed may have named some of it as well
  for (const entry of stay) withdraw(engine, entry);
  // nobody gets a uid before this
  await keepUsersApart(engine, stay);
  await reconcile(engine, kept);
  await engine.options.images?.recover(kept);
  engine.logger.info('recovered', {
    containers: engine.containers.size,
    setAside: setAside(engine.options.depot).length,
    ...poolUsage(engine),
  });
}

/** Never rejects: one that cannot be recovered is set aside. */
async function recover(
  engine: Engine,
  claimants: readonly DepotEntry[],
  asked: ReadonlyMap<DepotEntry, Promise<Init | undefined>>,
): Promise<void> {
  const entry = await rightful(engine, claimants);
  try {
    await recoverOne(engine, entry, asked.get(entry));
  } catch (error) {
    engine.logger.error('recovery-failed', { id: entry.id, error: toWardenError(error) });
    quarantine(engine, entry, entry.kind === 'broken' ? entry.error : error);
  }
}

/** They are found in the order of their ids; they are listed in that of their creation. */
function sortByOrder(engine: Engine): void {
  const { containers } = engine;
  const sorted = [...containers].sort(([, a], [, b]) => a.record.order - b.record.order);
  containers.clear();
  for (const [handle, container] of sorted) {
    containers.set(handle, container);
    engine.lastOrder = container.record.order;
  }
}

/**
 * Several directories with one id: somebody has copied one. The one that lives is the container; what the
 * others are, nobody here can know.
 */
async function rightful(engine: Engine, claimants: readonly DepotEntry[]): Promise<DepotEntry> {
  const [first] = claimants as [DepotEntry];
  if (claimants.length === 1) return first;
  let chosen = claimants.find(({ id, name }) => id === name) ?? first;
  for (const entry of claimants) {
    const init = await engine.drivers.init.connect(entry.directory).catch(() => undefined);
    init?.disconnect();
    if (init) chosen = entry;
  }
  for (const { id, directory } of claimants.filter((entry) => entry !== chosen)) {
    engine.logger.error('copied-container-ignored', {
      id,
      directory,
      advice: 'remove it if it is not needed',
    });
  }
  return chosen;
}

/** Begins to connect. What comes of it, also a failure, is met when it is the container's turn. */
function ask(
  engine: Engine,
  [first, ...others]: readonly DepotEntry[],
  asked: Map<DepotEntry, Promise<Init | undefined>>,
): void {
  if (first === undefined || others.length > 0) return;
  const connecting = connectRecovered(engine, first);
  connecting.catch(() => {});
  asked.set(first, connecting);
}

async function recoverOne(
  engine: Engine,
  entry: DepotEntry,
  asked: Promise<Init | undefined> | undefined,
): Promise<void> {
  const init = await (asked ?? connectRecovered(engine, entry));
  await engine.failpoints.pass('recover.connect');
  if (entry.kind === 'recorded') {
    if (entry.name !== entry.id)
      engine.logger.info('container-moved', { id: entry.id, directory: entry.directory });
    await recoverRecorded(engine, entry, init);
  } else if (entry.kind === 'unrecorded' || (entry.kind === 'broken' && entry.isBlank && !init)) {
    // after a power failure nothing lives, and a record without content was not yet on the disk
    await removeUnrecorded(engine, entry, init);
  } else {
    // a record of another version, or a broken one, may stand for somebody's data
    init?.disconnect();
    quarantine(engine, entry, 'error' in entry ? entry.error : undefined);
  }
}

async function recoverRecorded(
  engine: Engine,
  { record, directory, text }: RecordedEntry,
  init: Init | undefined,
): Promise<void> {
  const container = new ManagedContainer(record, directory);
  const { id, handle } = record;
  if (init === undefined || record.state === 'born' || record.isDestroying) {
    const what = record.isDestroying ? 'half-destroyed' : record.state === 'born' ? 'half-made' : 'dead';
    engine.logger.info(`${what}-container`, { id, handle });
    await remove(engine, container, init);
  } else if (engine.containers.has(handle) || engine.reserved.has(handle)) {
    init.disconnect();
    throw new WardenError('ALREADY_EXISTS', `another container has the handle ${handle}`, {
      fields: { id, handle },
    });
  } else {
    engine.reserved.set(handle, id); // until it is registered: others are taken over meanwhile
    try {
      await takeOver(engine, { container, text }, init);
    } catch (error) {
      engine.logger.error('container-not-continued', { id, handle, error: toWardenError(error) });
      letGo(engine, container, init);
      if (isLinkGone(error) || isWardenError(error, 'UNSUPPORTED'))
        requireOwnNetwork(engine, container, error);
      if (!isLinkGone(error)) throw error;
      await remove(engine, container, await engine.drivers.init.connect(container.directory));
    } finally {
      engine.reserved.delete(handle);
    }
  }
}

/** Without its link it would not be reachable ever again. */
function isLinkGone(error: unknown): boolean {
  return isWardenError(error) && error.fields.errno === 'ENODEV';
}

/**
 * A container that another driver has made lacks nothing: it is reachable as it was as soon as that one is
 * configured again. States of two drivers have no key in common. Errors: `UNSUPPORTED`.
 */
function requireOwnNetwork(engine: Engine, container: ManagedContainer, cause: unknown): void {
  const { network } = engine.drivers;
  const recorded = container.record.drivers.network;
  const planned = Object.keys(network.plan(networkSpecOf(engine, container)));
  const isOther =
    planned.length + Object.keys(recorded).length > 0 && !planned.some((key) => key in recorded);
  if (!isOther) return;
  throw new WardenError(
    'UNSUPPORTED',
    `it was made with another network driver than "${network.name}": ${toWardenError(cause).message}`,
    {
      cause,
      fields: {
        ...{ operation: 'recover', object: container.record.id, driver: network.name },
        advice: OTHER_DRIVER_ADVICE,
      },
    },
  );
}

const OTHER_DRIVER_ADVICE =
  'configure drivers.network as it was when the container was made and restart: it is there again then; or end its init (the pid in run/wshd.pid, if it is still that), umount tmp in the directory if it is mounted, and remove the directory';

/** Whatever of it lives goes on, and nobody here knows it any more. */
function letGo(engine: Engine, container: ManagedContainer, init: Init): void {
  container.outOfMemoryWatch?.close();
  container.isDestroyed = true; // so that the end of the connection is no news
  clearTimeout(container.saveTimer);
  clearTimeout(container.graceTimer);
  if (engine.containers.get(container.handle) === container) engine.containers.delete(container.handle);
  init.disconnect();
}

/** What is set aside, or cannot be read, may still live: its addresses are not to be given to anybody else. */
function withdraw(engine: Engine, entry: DepotEntry): void {
  withdrawAll(engine, {
    network: 'network' in entry ? entry.network : undefined,
    uid: 'uid' in entry ? entry.uid : undefined,
    ...recordOf(entry),
  });
}

function withdrawAll({ pools }: Engine, { network, uid, ports }: Holdings): void {
  if (network !== undefined) pools.networks.withdraw(network);
  if (uid !== undefined) pools.uids.withdraw(uid);
  for (const port of ports ?? []) pools.ports.withdraw(port);
}

/** What of the pools somebody has, as far as it is known. */
interface Holdings {
  readonly network: number | undefined;
  readonly uid: number | undefined;
  readonly ports?: Iterable<number>;
}

async function takeOver(
  engine: Engine,
  { container, text }: { readonly container: ManagedContainer; readonly text: string },
  init: Init,
): Promise<void> {
  const { drivers, failpoints } = engine;
  const { record } = container;
  await drivers.network.restore(networkSpecOf(engine, container), record.drivers.network, {
    mappings: record.mappings,
    egress: record.egress,
    ...(record.bandwidth ? { bandwidth: record.bandwidth } : {}),
  });
  await failpoints.pass('recover.network');
  await applyLimits(engine, container);
  await failpoints.pass('recover.limits');
  engine.containers.set(record.handle, container);
  await failpoints.pass('recover.register');
  forgetStaleJobs(engine, container, init);
  attachInit(engine, container, init);
  await failpoints.pass('recover.jobs');
  // mostly it says all of this already; a full disk is no reason to give a living container up
  if (serializeRecord(record) !== text) trySave(engine, container);
  await failpoints.pass('recover.record');
  // last: a kill while no daemon was there stops the container now
  if (record.memoryLimit !== undefined) await watchAgain(engine, container);
  await failpoints.pass('recover.watch');
  if (record.isPaused) await pauseAgain(engine, container);
  if (record.state === 'stopped') finishStop(engine, container);
  engine.logger.info('container-recovered', {
    id: record.id,
    handle: record.handle,
    jobs: container.jobs.size,
  });
}

/** The limit holds without it; what is missing is that the first kill stops the container. */
async function watchAgain(engine: Engine, container: ManagedContainer): Promise<void> {
  try {
    await watchOutOfMemory(engine, container);
  } catch (error) {
    engine.logger.error('out-of-memory-not-watched', { handle: container.handle, error });
  }
}

/** One that cannot be paused again goes on. */
async function pauseAgain(engine: Engine, container: ManagedContainer): Promise<void> {
  container.record.isPaused = false;
  if (container.record.state !== 'active') return;
  try {
    await pauseContainer(engine, container);
  } catch (error) {
    engine.logger.error('not-paused-again', { handle: container.handle, error });
  }
}

/** An earlier daemon may have died between the intent and the last process. Nobody waits for it. */
function finishStop(engine: Engine, container: ManagedContainer): void {
  stopContainer(engine, container, { kill: false }).catch((error: unknown) => {
    engine.logger.warn('stop-not-finished', { handle: container.handle, error });
  });
}

/**
 * Puts the recorded limits in force. They are, unless a daemon died in the middle of a change or somebody
 * else has changed them; one that the kernel refuses (memory below what is used) is no reason to end a
 * container.
 */
async function applyLimits(engine: Engine, { record, handle }: ManagedContainer): Promise<void> {
  const { cgroup } = engine.drivers;
  try {
    if (record.cpuShares !== undefined) await cgroup.setCpuShares(record.drivers.cgroup, record.cpuShares);
    if (record.memoryLimit !== undefined)
      await cgroup.setMemoryLimit(record.drivers.cgroup, record.memoryLimit);
  } catch (error) {
    engine.logger.error('limit-not-applied', { handle, error: toWardenError(error) });
  }
}

/** Kernel objects that carry our names but belong to no container: left by a daemon that died between two steps. */
async function reconcile(engine: Engine, inDepot: ReadonlySet<ContainerId>): Promise<void> {
  const { drivers } = engine;
  const keep = new Set([...engine.containers.values()].map(({ record }) => record.id));
  for (const id of inDepot) keep.add(id);
  const strays = (await drivers.cgroup.list()).filter((id) => !keep.has(id));
  for (const id of await drivers.network.sweep(keep)) engine.logger.info('network-swept', { id });
  await engine.failpoints.pass('recover.network-swept');
  await Promise.all(strays.map((id) => sweepGroups(engine, id))); // emptying one can take the kernel 100 ms
  await engine.failpoints.pass('recover.cgroups-swept');
}

async function sweepGroups(engine: Engine, id: ContainerId): Promise<void> {
  await removeGroupsOf(engine, id);
  engine.logger.info('cgroup-swept', { id });
}
