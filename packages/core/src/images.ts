/** Images as a session sees them: those of the store, and snapshots, which need a container that stands still. */
import { type ImageInfo, type ImageStore, type Images, isWardenError, WardenError } from '@warden/interface';
import { firstIdOf, idMapOf } from './confinement.ts';
import type { ManagedContainer } from './container.ts';
import { type Engine, saveRecord, trySave } from './engine.ts';
import { USER_NAME } from './init-spec.ts';
import { isPlain } from './plain.ts';

const FREEZE_TIMEOUT_MS = 10_000;

/** `find` looks a container up and references it. */
export function imagesOf(engine: Engine, find: (handle: string) => ManagedContainer): Images {
  const store = (): ImageStore => {
    const { images } = engine.options;
    if (images !== undefined && !isPlain(engine)) return images;
    throw new WardenError('UNSUPPORTED', 'this daemon keeps no images', { fields: { operation: 'images' } });
  };
  const told = (image: ImageInfo, handles = handlesById(engine)): ImageInfo => ({
    ...image,
    usedBy: handlesOf(handles, image.usedBy),
  });
  return {
    list: async () => {
      const images = await store().list();
      const handles = handlesById(engine);
      return images.map((image) => told(image, handles));
    },
    import: async (spec, options) => told(await store().import(spec, options)),
    pull: async (spec, options) => told(await store().pull(spec, options)),
    remove: async (name) => {
      try {
        return await store().remove(name);
      } catch (error) {
        throw withHandles(engine, error);
      }
    },
    collect: async () => store().collect(),
    snapshot: async (handle, name, options) =>
      told(await snapshot(engine, store(), find(handle), name, options?.signal)),
  };
}

/** What clients call containers, by their ids. */
function handlesById({ containers }: Engine): ReadonlyMap<string, string> {
  return new Map([...containers.values()].map(({ record: { id }, handle }) => [id, handle]));
}

/** One that is being made, or was set aside, has no name for clients: its id is kept. */
function handlesOf(handles: ReadonlyMap<string, string>, ids: readonly string[]): readonly string[] {
  return ids.map((id) => handles.get(id) ?? id);
}

const MOST_NAMED = 20;

/** The store knows the containers that an image stands in the way of by their ids. */
function withHandles(engine: Engine, error: unknown): unknown {
  if (!isWardenError(error, 'BAD_STATE') || !Array.isArray(error.fields.containers)) return error;
  const containers = handlesOf(handlesById(engine), error.fields.containers);
  const named = containers.slice(0, MOST_NAMED).join(', ');
  return new WardenError('BAD_STATE', `${error.message}: ${named}; destroy them first`, {
    cause: error,
    fields: { ...error.fields, containers },
  });
}

/**
 * Keeps what the container has written, as a layer upon those of its image. Nothing of it runs while that is
 * copied. It is neither frozen nor kept from anything while the store is busy with other images.
 */
async function snapshot(
  engine: Engine,
  store: ImageStore,
  container: ManagedContainer,
  name: string,
  signal: AbortSignal | undefined,
): Promise<ImageInfo> {
  container.requireState('active', 'stopped');
  const { image, id, drivers: states, uid, firstId = firstIdOf(engine.options, uid) } = container.record;
  const { filesystem } = engine.drivers;
  if (image === undefined)
    throw new WardenError(
      'INVALID_SPEC',
      'the container was not made from an image: only upon one can its changes be kept',
      {
        fields: { operation: 'snapshot', handle: container.handle },
      },
    );
  const upper = filesystem.writableLayer?.(container.rootfsSpec, states.filesystem);
  if (upper === undefined || filesystem.supports.stacksLayers !== true)
    throw new WardenError(
      'UNSUPPORTED',
      `the driver ${filesystem.name} keeps no layer that could be part of an image: use overlayfs`,
      {
        fields: { operation: 'snapshot', driver: filesystem.name },
      },
    );
  const idMap = idMapOf(firstId, uid);
  const ending = new AbortController();
  const inTurn = async <T>(action: () => Promise<T>): Promise<T> => {
    container.giveUpSnapshot = () => ending.abort();
    try {
      return await container.exclusive(async () => {
        ending.signal.throwIfAborted();
        container.requireState('active', 'stopped'); // it may have been destroyed since
        return whileStill(engine, container, action);
      });
    } finally {
      container.giveUpSnapshot = undefined;
    }
  };
  try {
    return await store.capture(
      { name, id, base: image, upper, idMap, user: { name: USER_NAME, uid } },
      {
        signal: signal === undefined ? ending.signal : AbortSignal.any([signal, ending.signal]),
        whileStill: inTurn,
      },
    );
  } catch (cause) {
    if (!ending.signal.aborted) throw cause;
    throw new WardenError(
      'BAD_STATE',
      'the snapshot was given up: the container is being stopped or destroyed',
      {
        cause,
        fields: { operation: 'snapshot', handle: container.handle },
      },
    );
  }
}

async function whileStill<T>(
  engine: Engine,
  container: ManagedContainer,
  action: () => Promise<T>,
): Promise<T> {
  const { cgroup } = engine.drivers;
  const { failpoints } = engine;
  const state = container.record.drivers.cgroup;
  // one that is stopped by its state alone has not come to its end
  const isStill = container.isEmptied || container.isInitLost;
  if (isStill || (cgroup.supports.freezer && (await cgroup.isFrozen(state)))) return action();
  if (!cgroup.supports.freezer)
    throw new WardenError('UNSUPPORTED', 'this host cannot make a container stand still: stop it first', {
      fields: { operation: 'snapshot', handle: container.handle },
    });
  container.init?.excuse?.(true); // a layer of gigabytes takes longer than it may be silent
  container.record.isHeld = true; // first: a later daemon thaws it before it asks its init
  let result: T;
  try {
    saveRecord(engine, container);
    await cgroup.freeze(state, FREEZE_TIMEOUT_MS);
    await failpoints.pass('snapshot.freeze');
    result = await action();
    await failpoints.pass('snapshot.capture');
  } catch (error) {
    await endHold(engine, container).catch((suppressed: unknown) => {
      engine.logger.error('thaw-failed', { handle: container.handle, error: suppressed });
    });
    throw error;
  }
  await endHold(engine, container);
  return result;
}

/** What was held for a snapshot goes on. Errors: `NATIVE_FAILED`. */
async function endHold(engine: Engine, container: ManagedContainer): Promise<void> {
  const { record, init } = container;
  await engine.drivers.cgroup.thaw(record.drivers.cgroup);
  init?.excuse?.(false);
  record.isHeld = false;
  trySave(engine, container);
  await engine.failpoints.pass('snapshot.thaw');
}
