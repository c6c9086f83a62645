/** The images of one daemon: what is there, under which names, in which containers, and how images come and go. */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import {
  type CaptureOptions,
  type CaptureSpec,
  type ContainerId,
  type Failpoints,
  type ImageBase,
  type ImageImportSpec,
  type ImageInfo,
  type ImageOptions,
  type ImagePullSpec,
  type ImageRemoval,
  type ImageStore,
  type Logger,
  NO_FAILPOINTS,
  WardenError,
} from '@warden/interface';
import { digestOf } from './digest.ts';
import { Downloads } from './downloads.ts';
import { invalid, isFull, throwIfGivenUp } from './failure.ts';
import { openFileSet } from './file-set.ts';
import {
  checkStorable,
  type ImageIndex,
  readIndex,
  type StoredImage,
  writeIndex,
  writeShrunkIndex,
} from './index-file.ts';
import { feedLayer } from './layer-feed.ts';
import { Layers } from './layers.ts';
import { type FoundImage, findImage, type LayerBlob } from './local-image.ts';
import { ARCHITECTURE, MAX_LAYERS } from './manifest.ts';
import { asName, givenName, imageName } from './reference.ts';
import { type PullOptions, type PullTarget, Registry } from './registry.ts';
import { findImageNamed, namesOf, noSuchImage, stackOf } from './stored-image.ts';
import { Turns } from './turns.ts';
import { startUnpack, type UnpackedSize } from './unpack.ts';
import { Uses } from './uses.ts';

/** More of them would wait for each other's bytes; one alone would wait for a layer of gigabytes. */
const PULLS_PER_REGISTRY = 3;

/** How images are kept. */
export interface ImageStoreOptions {
  /** Absolute. It is made when it is first needed, for root alone, and belongs to one daemon. */
  readonly directory: string;
  /** Path of `warden-unpack`. */
  readonly program: string;
  /**
   * Bytes of all unpacked layers and of what pulls that broke off have left, of which the oldest goes when
   * there is no room. Pulls that run fetch no more, together, than the layers leave, and leftovers give way;
   * what a pull has fetched of a layer comes on top of what is made of it until that is complete.
   */
  readonly maxBytes: number;
  /** Files, directories and links of one layer. */
  readonly maxEntries: number;
  /** The driver of root file systems cannot stack: each image is one directory, too. */
  readonly flatten: boolean;
  /**
   * Called before the directory is made or looked into, and makes sure that it is nobody else's; what it
   * throws is passed on. Absent: it is.
   */
  readonly claim?: () => void;
  readonly registries: PullOptions;
  readonly logger: Logger;
  readonly failpoints?: Failpoints;
}

interface Opened {
  readonly index: ImageIndex;
  readonly layers: Layers;
  /** By the id of the image; only for drivers that cannot stack. */
  readonly flat: Layers;
  readonly uses: Uses;
}

/** What `warden-unpack` is to do. */
interface UnpackWork {
  readonly mode: string;
  readonly tree: string;
  readonly words: readonly string[];
  /** Bytes that the tree has already, and that nobody counts before it has its place. */
  readonly made?: number;
}

/** A store on a directory that is the caller's alone. Nothing is touched yet. */
export function imageStore(options: ImageStoreOptions): ImageStore {
  return new Store(options);
}

class Store implements ImageStore {
  readonly #options: ImageStoreOptions;
  readonly #failpoints: Failpoints;
  readonly #registry: Registry;
  #opened: Opened | undefined;
  #uses: Uses | undefined;
  /** Imports, removals and captures, one after another. */
  readonly #changes = new Turns();
  /** By registry: one that is slow keeps nobody waiting who pulls from another one. */
  readonly #pulls = new Map<string, Turns>();
  readonly #downloads: Downloads;
  /** Of each running pull the layers that it found here, and so does not fetch: nobody removes them. */
  readonly #found = new Set<ReadonlySet<string>>();

  constructor(options: ImageStoreOptions) {
    this.#options = options;
    this.#failpoints = options.failpoints ?? NO_FAILPOINTS;
    this.#registry = new Registry(options.registries);
    this.#downloads = new Downloads(options.directory);
  }

  async recover(containers: ReadonlySet<ContainerId>): Promise<void> {
    const { directory, logger } = this.#options;
    if (!fs.existsSync(directory)) return;
    let opened: Opened;
    try {
      this.#openUses().keep(containers);
      opened = this.#open();
    } catch (error) {
      // containers of images live on: only what concerns images cannot be done
      logger.error('images-not-readable', { directory, error });
      return;
    }
    await opened.layers.clear();
    await opened.flat.clear();
    await this.#removeUnused(opened);
    this.#limitDownloads();
  }

  async list(): Promise<readonly ImageInfo[]> {
    if (!fs.existsSync(this.#options.directory)) return [];
    const opened = this.#open();
    const first = ({ names, id }: ImageInfo): string => names[0] ?? `~${id}`;
    return [...opened.index.images.values()]
      .map((image) => infoOf(opened, image))
      .sort((a, b) => (first(a) < first(b) ? -1 : 1));
  }

  use(id: ContainerId, nameOrId: string): ImageBase {
    const opened = this.#open();
    const image = findImageNamed(opened.index, nameOrId);
    const { flatten } = this.#options;
    if (flatten && opened.flat.get(image.id) === undefined)
      throw invalid(
        `the image ${nameOrId} was imported for another driver of root file systems: import it again`,
        { object: nameOrId },
      );
    opened.uses.add(id, image.id);
    return {
      image: image.id,
      layers: flatten
        ? [opened.flat.tree(image.id)]
        : stackIn(opened, image).map((layer) => opened.layers.tree(layer)),
    };
  }

  release(id: ContainerId): void {
    // without the index: a container must go, too, when that is damaged
    if (this.#uses !== undefined || fs.existsSync(this.#options.directory)) this.#openUses().remove(id);
  }

  async import(spec: ImageImportSpec, options: ImageOptions = {}): Promise<ImageInfo> {
    const name = spec.name === undefined ? undefined : givenName(spec.name);
    return this.#exclusive(async (opened) => {
      const files = await openFileSet(spec.path);
      try {
        const found = await findImage(files, spec.reference);
        return await this.#add(opened, found, {
          ...options,
          name: name ?? givenName(found.name ?? unnamed()),
        });
      } finally {
        await files.close();
      }
    }, options.signal);
  }

  async pull(spec: ImagePullSpec, options: ImageOptions = {}): Promise<ImageInfo> {
    const target = this.#registry.target(spec);
    const name = spec.name === undefined ? imageName(spec.reference) : givenName(spec.name);
    return this.#pullsFrom(target.base.host).take(async () => {
      const found = new Set<string>();
      this.#found.add(found);
      try {
        return await this.#pull(target, name, options, found);
      } finally {
        this.#found.delete(found);
        this.#letGo(found);
        this.#limitDownloads();
      }
    }, options.signal);
  }

  /** There are no more of them than registries that the operator allows. */
  #pullsFrom(registry: string): Turns {
    const turns = this.#pulls.get(registry) ?? new Turns(PULLS_PER_REGISTRY);
    this.#pulls.set(registry, turns);
    return turns;
  }

  async #pull(
    target: PullTarget,
    name: string,
    options: ImageOptions,
    found: Set<string>,
  ): Promise<ImageInfo> {
    this.#open(); // before anything is fetched: whether there can be images
    const pull = await this.#registry.pull(target, {
      ...options,
      hold: (layers) => this.#downloads.hold(layers, target.base.origin, this.#room(this.#open())),
      knows: (diffId) => {
        const isThere = this.#open().layers.get(diffId) !== undefined;
        if (isThere) found.add(diffId);
        return isThere;
      },
    });
    try {
      const add = (opened: Opened): Promise<ImageInfo> => this.#add(opened, pull.image, { ...options, name });
      return await this.#exclusive(add, options.signal);
    } finally {
      // also what turned out to be damaged: the next try fetches it anew
      await pull.forget().catch((error: unknown) => {
        this.#options.logger.warn('downloads-not-removed', { directory: this.#downloads.directory, error });
      });
    }
  }

  /** What a pull alone has kept; nobody waits for that. */
  #letGo(found: ReadonlySet<string>): void {
    const needed = new Set([...(this.#opened?.index.images.values() ?? [])].flatMap(({ layers }) => layers));
    if ([...found].every((layer) => needed.has(layer))) return;
    this.#exclusive((opened) => this.#removeUnused(opened)).catch((error: unknown) => {
      this.#options.logger.warn('layers-not-removed', { error });
    });
  }

  async capture(
    spec: CaptureSpec,
    { signal, whileStill = (action) => action() }: CaptureOptions = {},
  ): Promise<ImageInfo> {
    const name = givenName(spec.name);
    // its turn first: nothing stands still for what is before it
    return this.#exclusive(
      (opened) => whileStill(() => this.#capture(opened, { ...spec, name }, signal)),
      signal,
    );
  }

  async #capture(opened: Opened, spec: CaptureSpec, signal: AbortSignal | undefined): Promise<ImageInfo> {
    throwIfGivenUp(signal);
    const base = opened.index.images.get(spec.base.image) ?? noSuchImage(spec.base.image);
    if (base.layers.length >= MAX_LAYERS)
      throw invalid(`the image would have more than ${MAX_LAYERS} layers`);
    // no archive, no digest of one: a number that nobody else has, in the same form
    const diffId = `sha256:${randomBytes(32).toString('hex')}`;
    const idMap = spec.idMap.map(({ inside, outside, count }) => `${inside}:${outside}:${count}`).join(',');
    const words = [spec.upper, idMap, spec.user.name, String(spec.user.uid), ...spec.base.layers];
    await opened.layers.make(diffId, (tree) => this.#run({ mode: 'capture', tree, words }, signal));
    const layers = [...base.layers, diffId];
    const document = {
      architecture: ARCHITECTURE,
      os: 'linux',
      created: new Date().toISOString(),
      config: base.run,
      rootfs: { type: 'layers', diff_ids: layers },
    };
    const image: StoredImage = {
      id: digestOf(Buffer.from(JSON.stringify(document))),
      created: document.created,
      layers,
      run: base.run,
    };
    return await this.#keep(opened, image, { name: spec.name, signal });
  }

  remove(nameOrId: string): Promise<ImageRemoval> {
    return this.#exclusive(async (opened) => {
      const { index } = opened;
      const image = findImageNamed(index, nameOrId);
      const names = namesOf(index, image.id);
      const isId = nameOrId === image.id || `sha256:${nameOrId}` === image.id;
      const name = isId ? undefined : names.find((one) => one === asName(nameOrId));
      const goes = isId || name === undefined || names.length === 1;
      const usedBy = opened.uses.of(image.id);
      if (goes && usedBy.length > 0) throw inUse(nameOrId, usedBy);
      for (const one of goes ? names : [name!]) index.names.delete(one);
      if (goes) index.images.delete(image.id);
      return { images: goes ? [image.id] : [], bytes: await this.#writeRemoval(opened) };
    });
  }

  collect(): Promise<ImageRemoval> {
    return this.#exclusive(async (opened) => {
      const { index } = opened;
      let bytes = await this.#downloads.clear();
      const images = [...index.images.keys()].filter(
        (id) => namesOf(index, id).length === 0 && opened.uses.of(id).length === 0,
      );
      for (const id of images) index.images.delete(id);
      bytes += images.length > 0 ? await this.#writeRemoval(opened) : await this.#removeUnused(opened);
      return { images, bytes };
    });
  }

  /** Errors: `INVALID_SPEC` when the index cannot be read, `NATIVE_FAILED`. */
  #open(): Opened {
    if (this.#opened !== undefined) return this.#opened;
    const { directory, logger } = this.#options;
    const uses = this.#openUses();
    const index = readIndex(directory);
    const failpoints = this.#failpoints;
    const layers = new Layers(directory, failpoints);
    for (const image of forgetHollow(index, layers, uses)) logger.warn('image-without-layers', { image });
    this.#opened = {
      index,
      layers,
      flat: new Layers(directory, failpoints, 'flat'),
      uses,
    };
    return this.#opened;
  }

  #openUses(): Uses {
    if (this.#uses !== undefined) return this.#uses;
    const { directory, claim } = this.#options;
    claim?.();
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
    fs.chmodSync(directory, 0o700); // set-user-id programs of images are nothing for the host's users
    this.#uses = new Uses(directory, this.#failpoints);
    return this.#uses;
  }

  #exclusive<T>(action: (opened: Opened) => Promise<T>, signal?: AbortSignal | undefined): Promise<T> {
    return this.#changes.take(async () => action(this.#open()), signal);
  }

  /** A write that failed is forgotten: memory is what the disk is. */
  #write(opened: Opened): void {
    try {
      writeIndex(this.#options.directory, opened.index, this.#failpoints);
    } catch (error) {
      this.#opened = undefined;
      throw error;
    }
  }

  /**
   * Makes a removal from the index the disk's, and answers the bytes that were given back. On a full disk the
   * index is written into its spare. Where there is none, as in a directory of an older daemon, something
   * goes before it can be written: the layers that the new one does not have. Nobody uses them, and an image
   * that a daemon finds without its layers is none (see `forgetHollow`), so whoever is killed in between has
   * finished the removal. Errors: as `#write`; of images that are still there none has lost anything.
   */
  async #writeRemoval(opened: Opened): Promise<number> {
    const { directory } = this.#options;
    let bytes = 0;
    try {
      writeIndex(directory, opened.index, this.#failpoints);
    } catch (error) {
      try {
        if (!isFull(error)) throw error;
        if (!writeShrunkIndex(directory, opened.index, this.#failpoints)) {
          bytes = (await this.#removeUnused(opened)) + (await this.#downloads.clear());
          writeIndex(directory, opened.index, this.#failpoints);
        }
      } catch (failure) {
        this.#opened = undefined;
        await this.#removeOfFailed(); // of an index that has got its name, and only that may not be on the disk
        throw failure;
      }
    }
    await this.#failpoints.pass('image-remove.index');
    return bytes + (await this.#removeUnused(opened));
  }

  async #add(
    opened: Opened,
    found: FoundImage,
    options: ImageOptions & { readonly name: string },
  ): Promise<ImageInfo> {
    const { layers, index } = opened;
    const image: StoredImage = {
      id: found.id,
      layers: found.layers.map(({ diffId }) => diffId.text),
      run: found.config.run,
      ...(found.config.created === undefined ? {} : { created: found.config.created }),
    };
    checkStorable(image);
    try {
      for (const blob of found.layers) {
        if (layers.get(blob.diffId.text) === undefined)
          await layers.make(blob.diffId.text, (tree) => this.#unpack(opened, tree, blob, options));
        await blob.drop?.();
      }
      throwIfGivenUp(options.signal); // also when no layer was missing
      return await this.#keep(opened, index.images.get(found.id) ?? image, options);
    } catch (error) {
      await this.#removeOfFailed();
      throw error;
    }
  }

  /** Never rejects: what is to be told is why the import, or the removal, failed. */
  async #removeOfFailed(): Promise<void> {
    try {
      // by what the disk says: memory may have had the image already
      await this.#removeUnused(this.#open());
    } catch (error) {
      this.#options.logger.warn('layers-not-removed', { error });
    }
  }

  /** The last step: from here on it is there. */
  async #keep(
    opened: Opened,
    image: StoredImage,
    { name, signal }: ImageOptions & { readonly name: string },
  ): Promise<ImageInfo> {
    const { index } = opened;
    const before = { isThere: index.images.has(image.id), name: index.names.get(name) };
    try {
      if (this.#options.flatten) await this.#flatten(opened, image, signal);
      index.images.set(image.id, image);
      index.names.set(name, image.id);
      this.#write(opened);
      await this.#failpoints.pass('image-import.index');
      this.#limitDownloads();
    } catch (error) {
      await this.#takeBack(image.id, name, before);
      throw error;
    }
    return infoOf(opened, image);
  }

  async #takeBack(
    id: string,
    name: string,
    before: { readonly isThere: boolean; readonly name: string | undefined },
  ): Promise<void> {
    try {
      // where the write failed, that is read anew from the disk, which mostly is as before: no second write,
      // for which there may be no room
      const opened = this.#open();
      const { images, names } = opened.index;
      if (images.has(id) !== before.isThere || names.get(name) !== before.name) {
        if (!before.isThere) images.delete(id);
        if (before.name === undefined) names.delete(name);
        else names.set(name, before.name);
        this.#write(opened);
      }
      await this.#removeUnused(opened);
    } catch (error) {
      this.#options.logger.error('undo-failed', { image: id, error });
    }
  }

  async #flatten(opened: Opened, image: StoredImage, signal: AbortSignal | undefined): Promise<void> {
    if (opened.flat.get(image.id) !== undefined) return;
    await opened.flat.make(image.id, async (tree) => {
      let size: UnpackedSize = { bytes: 0, entries: 0, skipped: 0 };
      for (const layer of image.layers) {
        const words = [opened.layers.tree(layer)];
        const added = await this.#run({ mode: 'apply', tree, words, made: size.bytes }, signal);
        size = {
          bytes: size.bytes + added.bytes,
          entries: size.entries + added.entries,
          skipped: size.skipped + added.skipped,
        };
      }
      return size;
    });
  }

  #limitDownloads(): void {
    try {
      this.#downloads.keepWithin(this.#room(this.#open()));
    } catch (error) {
      this.#options.logger.warn('downloads-not-removed', { directory: this.#downloads.directory, error });
    }
  }

  /** Leftovers of downloads do not count: they give way. */
  #room(opened: Opened): number {
    return Math.max(0, this.#options.maxBytes - opened.layers.bytes - opened.flat.bytes);
  }

  #start(opened: Opened, { mode, tree, words, made = 0 }: UnpackWork): ReturnType<typeof startUnpack> {
    const limits = [String(Math.max(0, this.#room(opened) - made)), String(this.#options.maxEntries)];
    return startUnpack(this.#options.program, [mode, tree, ...limits, ...words], mode === 'layer');
  }

  async #run(work: UnpackWork, signal: AbortSignal | undefined): Promise<UnpackedSize> {
    throwIfGivenUp(signal);
    const running = this.#start(this.#open(), work);
    signal?.addEventListener('abort', running.kill, { once: true });
    try {
      return await running.result;
    } catch (error) {
      throwIfGivenUp(signal);
      throw error;
    } finally {
      signal?.removeEventListener('abort', running.kill);
    }
  }

  async #unpack(
    opened: Opened,
    tree: string,
    blob: LayerBlob,
    { signal, onProgress }: ImageOptions,
  ): Promise<UnpackedSize> {
    const running = this.#start(opened, { mode: 'layer', tree, words: [] });
    try {
      const object = blob.diffId.text;
      await feedLayer(blob, running, {
        maxBytes: this.#room(opened),
        signal: signal ?? new AbortController().signal,
        onBytes: (done) => onProgress?.({ step: 'unpack', object, done, total: blob.size }),
      });
    } catch (error) {
      running.kill();
      await running.result.catch(() => {});
      throw error;
    }
    return await running.result;
  }

  /** Layers that no image has, and no pull counts on. Answers what was given back. */
  async #removeUnused({ index, layers, flat }: Opened): Promise<number> {
    const needed = new Set([...index.images.values()].flatMap((image) => image.layers));
    for (const found of this.#found) for (const layer of found) needed.add(layer);
    let bytes = 0;
    for (const { diffId } of layers.all()) if (!needed.has(diffId)) bytes += await layers.remove(diffId);
    for (const { diffId } of flat.all()) if (!index.images.has(diffId)) bytes += await flat.remove(diffId);
    return bytes;
  }
}

/**
 * Takes out the images whose layers are not all there, and answers their ids: a removal on a full disk that
 * was cut off, or damage, after which they can be imported again. Those that a container has stay, so that
 * what is there of them is not removed.
 */
function forgetHollow({ images, names }: ImageIndex, layers: Layers, uses: Uses): readonly string[] {
  const hollow = [...images.values()]
    .filter((image) => image.layers.some((layer) => layers.get(layer) === undefined))
    .filter(({ id }) => uses.of(id).length === 0)
    .map(({ id }) => id);
  for (const id of hollow) images.delete(id);
  for (const [name, id] of [...names]) if (hollow.includes(id)) names.delete(name);
  return hollow;
}

function stackIn({ layers }: Opened, image: StoredImage): readonly string[] {
  return stackOf(image, (layer) => layers.get(layer)?.hidesBelow === true);
}

function unnamed(): never {
  throw invalid('the archive gives the image no name: say one');
}

function infoOf({ index, layers, uses }: Opened, image: StoredImage): ImageInfo {
  return {
    id: image.id,
    names: namesOf(index, image.id),
    ...(image.created === undefined ? {} : { created: image.created }),
    bytes: [...new Set(image.layers)].reduce((sum, layer) => sum + (layers.get(layer)?.bytes ?? 0), 0),
    layers: image.layers,
    usedBy: uses.of(image.id),
  };
}

function inUse(name: string, usedBy: readonly ContainerId[]): WardenError {
  return new WardenError(
    'BAD_STATE',
    `the image ${name} is used by ${usedBy.length} container${usedBy.length === 1 ? '' : 's'}`,
    {
      fields: { operation: 'remove image', object: name, containers: usedBy },
    },
  );
}
