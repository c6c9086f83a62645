/**
 * Create, in order: a prepared container is claimed, or one is made, and then registered. Each step registers
 * its undo before it begins, so that a failure at any place, also in the middle of a step, leaves nothing;
 * the error reported is the first one.
 */
import fs from 'node:fs';
import path from 'node:path';
import {
  type BindMountSpec,
  type CgroupSpec,
  type ContainerId,
  type CreateSpec,
  encodeBytes,
  type ImageBase,
  isWardenError,
  type LaunchedInit,
  WardenError,
} from '@warden/interface';
import { firstIdOf } from './confinement.ts';
import { ManagedContainer, type Reference } from './container.ts';
import {
  closeIntent,
  type Engine,
  networkSpecOf,
  poolUsage,
  publish,
  saveIntent,
  saveRecord,
} from './engine.ts';
import { attachInit } from './init-connection.ts';
import { initSpecOf } from './init-spec.ts';
import { nextTurn } from './next-turn.ts';
import { lookNow, PathLooks } from './path-looks.ts';
import { isPlain } from './plain.ts';
import { blockOf } from './pools.ts';
import { checkedProperties } from './properties.ts';
import type { ContainerRecord } from './record.ts';
import { UndoStack } from './undo-stack.ts';
import type { MadeContainer } from './warm-pool.ts';

/** Any text is a handle (spec behaviour.md 4.1), but each is listed, logged and recorded again and again. */
const MAX_HANDLE_LENGTH = 4_096;

/** Creates a container that `reference` keeps alive. Errors: see `Warden.create`. */
export async function createContainer(
  engine: Engine,
  spec: CreateSpec,
  reference: Reference,
): Promise<ManagedContainer> {
  const undo = new UndoStack();
  try {
    const facts = await factsOfPaths(engine, spec);
    validate(engine, spec, facts);
    if (engine.warm.isInTheWay(spec)) {
      await engine.warm.makeRoom(spec);
      validate(engine, spec, facts); // somebody may have taken the handle meanwhile
    }
    engine.failpoints.passSync('create.validate'); // nobody may take the handle between the look and the reservation
    const made = claim(engine, spec, undo) ?? (await makeContainer(engine, spec, undo));
    await register(engine, made, reference);
    return made.container;
  } catch (error) {
    const failure = await undo.fail(error);
    engine.logger.debug?.('create-undone', poolUsage(engine));
    throw failure;
  }
}

/** Makes a container that nobody can see yet: everything is reserved, recorded as an intent, and runs. */
export async function makeContainer(
  engine: Engine,
  spec: CreateSpec,
  undo: UndoStack,
): Promise<MadeContainer> {
  const { drivers, failpoints } = engine;
  const container = reserve(engine, spec, undo);
  const { record } = container;
  await failpoints.pass('create.reserve');

  undo.push((isIntact, error) => {
    closeIntent(engine, container);
    const { handle, directory } = container;
    // what could not be undone is found by its record, at the next start
    if (isIntact) fs.rmSync(directory, { recursive: true, force: true });
    else engine.logger.error('undo-failed', { handle, directory, error });
  });
  if (!engine.leftovers.take(container.directory)) fs.mkdirSync(container.directory, { mode: 0o755 });
  await failpoints.pass('create.directory');
  saveIntent(engine, container); // from here on a killed daemon leaves enough to undo everything
  await failpoints.pass('create.record');

  undo.push(() => drivers.quota.release(container.quotaSpec, record.drivers.quota));
  await drivers.quota.prepare(container.quotaSpec, record.drivers.quota);
  await failpoints.pass('create.quota');

  undo.push(() => drivers.filesystem.release(container.rootfsSpec, record.drivers.filesystem));
  await drivers.filesystem.prepare(container.rootfsSpec, record.drivers.filesystem);
  await failpoints.pass('create.filesystem');
  await nextTurn(); // files until here, then groups

  const initSpec = Object.freeze(initSpecOf(engine, container));
  const giveUp = drivers.init.begin?.(initSpec); // while groups and files are made
  if (giveUp !== undefined) undo.push(giveUp);

  undo.push(() => drivers.cgroup.release(record.drivers.cgroup));
  const cgroupSpec = cgroupSpecOf(engine, record.id, container.bindMounts);
  const cgroup = await drivers.cgroup.create(cgroupSpec, record.drivers.cgroup);
  if (cgroup !== undefined) record.drivers = { ...record.drivers, cgroup };
  await failpoints.pass('create.cgroup');
  await nextTurn();

  await drivers.init.prepare(initSpec);
  await failpoints.pass('create.prepare');

  const network = networkSpecOf(engine, container);
  undo.push(() => drivers.network.release(network, record.drivers.network));
  await nextTurn(); // files again, then rules
  const launching = drivers.init.launch(initSpec);
  launching.catch(() => undefined); // heard of below
  undo.push(async () => (await launching.catch(() => undefined))?.abort());
  await drivers.network.begin?.(network, record.drivers.network); // while init is being cloned
  const launched = await launching;
  await failpoints.pass('create.launch');

  try {
    await drivers.network.attach(network, record.drivers.network, launched.pid);
  } catch (error) {
    throw await reasonOf(error, launched);
  }
  await failpoints.pass('create.network');

  const init = await launched.proceed();
  undo.push(() => {
    container.isDestroyed = true; // so that the end of init is no news
    return init.kill();
  });
  await failpoints.pass('create.proceed');
  return { container, init, undo };
}

/**
 * Init builds its root meanwhile. Where that failed, its namespace is gone, and why is what the client needs
 * to know.
 */
async function reasonOf(error: unknown, launched: LaunchedInit): Promise<unknown> {
  const isGone = isWardenError(error) && ['ESRCH', 'ENODEV', 'ENOENT'].includes(String(error.fields.errno));
  return (isGone ? await launched.whyDead?.() : undefined) ?? error;
}

/** Makes one for the pool of prepared ones. It has no handle yet: it is in nobody's way. */
export async function prepareContainer(engine: Engine): Promise<MadeContainer> {
  const undo = new UndoStack();
  try {
    const made = await makeContainer(engine, {}, undo);
    const { handle, record } = made.container;
    giveUpHandle(engine, handle, record.id);
    return made;
  } catch (error) {
    throw await undo.fail(error);
  }
}

/** Takes a prepared container and gives it what the request names; nothing when none will do. */
function claim(engine: Engine, spec: CreateSpec, undo: UndoStack): MadeContainer | undefined {
  const made = engine.warm.claim(spec, (handle) => isTaken(engine, handle));
  if (made === undefined) return undefined;
  const { record } = made.container;
  const handle = spec.handle ?? record.id;
  undo.push(async () => {
    const failures = await made.undo.unwind();
    if (failures.length > 0) throw failures[0];
  });
  engine.reserved.set(handle, record.id);
  undo.push(() => forgetHandle(engine, handle, record.id));
  record.handle = handle;
  record.graceTime = spec.graceTime ?? engine.options.graceTime;
  record.properties = checkedProperties(spec.properties ?? {});
  return made;
}

/** From here on it is there, for everybody and for the next daemon. */
async function register(
  engine: Engine,
  { container, init }: MadeContainer,
  reference: Reference,
): Promise<void> {
  const { record } = container;
  container.references.add(reference);
  record.state = 'active';
  record.order = ++engine.lastOrder;
  saveRecord(engine, container);
  await engine.failpoints.pass('create.snapshot');
  giveUpHandle(engine, record.handle, record.id);
  engine.containers.set(record.handle, container);
  engine.totals.created += 1;
  attachInit(engine, container, init);
  publish(engine, container, { type: 'created' });
  await engine.failpoints.pass('create.register');
}

/** What is at the paths that the client names. */
type PathFacts = ReadonlyMap<string, fs.Stats | undefined>;
const NO_FACTS: PathFacts = new Map();
/** For all: the threads are the process's. */
const looks = new PathLooks();

async function factsOfPaths(engine: Engine, { rootfs, bindMounts = [] }: CreateSpec): Promise<PathFacts> {
  if (isPlain(engine) || (rootfs === undefined && bindMounts.length === 0)) return NO_FACTS;
  const facts = new Map<string, fs.Stats | undefined>();
  if (rootfs !== undefined) facts.set(rootfs, await looks.look(rootfs));
  for (const { source } of bindMounts)
    if (path.isAbsolute(source)) facts.set(source, await looks.look(Buffer.from(encodeBytes(source))));
  return facts;
}

/** What can be refused before anything is taken. */
function validate(engine: Engine, spec: CreateSpec, facts: PathFacts): void {
  const { handle, rootfs, image, bindMounts = [] } = spec;
  if (handle !== undefined && handle.length > MAX_HANDLE_LENGTH) {
    throw new WardenError(
      'INVALID_SPEC',
      `the handle has ${handle.length} characters, at most ${MAX_HANDLE_LENGTH} will do`,
      {
        fields: { operation: 'create', length: handle.length, limit: MAX_HANDLE_LENGTH },
      },
    );
  }
  checkedProperties(spec.properties ?? {});
  if (handle !== undefined && isTaken(engine, handle)) {
    throw new WardenError('ALREADY_EXISTS', `container with handle: ${handle} already exists.`, {
      fields: { operation: 'create', handle },
    });
  }
  if (image !== undefined) validateImage(engine, spec);
  if (isPlain(engine)) return; // neither a root nor mounts: both are ignored
  const base = rootfs ?? engine.options.rootfs;
  if ((rootfs === undefined ? lookNow(base) : facts.get(rootfs))?.isDirectory() !== true) {
    throw new WardenError('INVALID_SPEC', `rootfs ${base} not found`, {
      fields: { operation: 'create', object: base, errno: 'ENOENT' },
    });
  }
  for (const { source, target, mode } of bindMounts) {
    const invalid = (message: string, object: string): WardenError =>
      new WardenError('INVALID_SPEC', message, { fields: { operation: 'bind mount', object } });
    if (!path.isAbsolute(source))
      throw invalid(`Source path for bind mount must be absolute: ${source}`, source);
    if (facts.get(source) === undefined)
      throw invalid(`Source path for bind mount does not exist: ${source}`, source);
    if (!path.isAbsolute(target) || path.normalize(`${target}/`) === '/')
      throw invalid(`target path of a bind mount must be absolute and not the root: ${target}`, target);
    if (target.includes('\0')) throw invalid('target path of a bind mount holds a NUL byte', target);
    if (mode !== 'ro' && mode !== 'rw') throw invalid('Unknown mode', source);
  }
}

function validateImage(engine: Engine, { image, rootfs }: CreateSpec): void {
  const fields = { operation: 'create', object: image };
  if (isPlain(engine) || engine.options.images === undefined)
    throw new WardenError('UNSUPPORTED', 'this daemon keeps no images: give a rootfs instead', { fields });
  if (rootfs !== undefined)
    throw new WardenError('INVALID_SPEC', 'a container has either an image or a rootfs, not both', {
      fields,
    });
}

function cgroupSpecOf(
  { options, drivers }: Engine,
  id: ContainerId,
  bindMounts: readonly BindMountSpec[] = [],
): CgroupSpec {
  const { allowNested, pidsLimit, security } = options;
  // a socket can be connected to through a read-only mount, too; one without a path by all who share a network
  const sharesDescriptors = bindMounts.length > 0 || !drivers.network.supports.link;
  return {
    id,
    allowAllDevices: allowNested,
    allowFuse: security.fuse === true,
    pidsLimit,
    ...(sharesDescriptors && { sharesDescriptors }),
  };
}

function forgetHandle(engine: Engine, handle: string, id: ContainerId): void {
  giveUpHandle(engine, handle, id);
  if (engine.containers.get(handle)?.record.id === id) engine.containers.delete(handle);
}

/** Unless it is somebody else's by now, who has chosen the id of a prepared container. */
function giveUpHandle({ reserved }: Engine, handle: string, id: ContainerId): void {
  if (reserved.get(handle) === id) reserved.delete(handle);
}

function isTaken({ containers, reserved }: Engine, handle: string): boolean {
  return containers.has(handle) || reserved.has(handle);
}

/**
 * The store's own note of it comes before anything else of the container, so that nobody removes the image
 * from under it.
 */
function useImage({ options }: Engine, id: ContainerId, name: string, undo: UndoStack): ImageBase {
  undo.push((isIntact) => {
    if (isIntact) options.images!.release(id);
  });
  return options.images!.use(id, name);
}

/**
 * Takes handle, network and uid, and plans what the drivers will do. Touches nothing outside this process but
 * the note of an image.
 */
function reserve(engine: Engine, spec: CreateSpec, undo: UndoStack): ManagedContainer {
  const { drivers, pools, options } = engine;
  let id = engine.ids.next();
  // somebody may have chosen just this as a handle
  while (spec.handle === undefined && isTaken(engine, id)) id = engine.ids.next();
  const handle = spec.handle ?? id;
  engine.reserved.set(handle, id);
  undo.push(() => forgetHandle(engine, handle, id));
  const block = pools.acquireNetwork(spec.network);
  undo.push((isIntact) => {
    if (isIntact) pools.networks.release(block.base);
  });
  const uid = pools.acquireUid();
  undo.push((isIntact) => {
    if (isIntact) pools.uids.release(uid);
  });
  const directory = path.join(options.depot, id);
  const image = spec.image === undefined ? undefined : useImage(engine, id, spec.image, undo);
  const base = image?.layers[0] ?? spec.rootfs ?? options.rootfs;
  const rootfs = isPlain(engine) ? '' : fs.realpathSync.native(base);
  const { hostIp, containerIp } = blockOf(block.base);
  const record: ContainerRecord = {
    id,
    handle,
    network: block.base,
    uid,
    firstId: firstIdOf(options, uid),
    rootfs,
    ...(image && { image }),
    graceTime: spec.graceTime ?? options.graceTime,
    drivers: {
      filesystem: drivers.filesystem.plan({ id, directory, base: rootfs }),
      network: drivers.network.plan({ id, hostIp, containerIp, prefixLength: 30, mtu: options.network.mtu }),
      cgroup: drivers.cgroup.plan(cgroupSpecOf(engine, id, spec.bindMounts)),
      quota: drivers.quota.plan({ id, directory, uid }),
    },
    order: 0,
    unsafe: options.unsafe ?? [],
    state: 'born',
    isDestroying: false,
    events: new Set(),
    jobs: new Map(),
    ports: new Set(),
    mappings: [],
    egress: [],
    memoryLimit: undefined,
    cpuShares: undefined,
    outOfMemoryKills: undefined,
    bandwidth: undefined,
    properties: checkedProperties(spec.properties ?? {}),
    isPaused: false,
  };
  const bindMounts = isPlain(engine) ? [] : [...(spec.bindMounts ?? [])];
  return new ManagedContainer(record, directory, Object.freeze(bindMounts));
}
