/** Images of a remote daemon. */
import type {
  ImageImportSpec,
  ImageInfo,
  ImageOptions,
  ImagePullSpec,
  ImageRemoval,
  Images,
} from '@warden/interface';
import {
  type Image,
  type ImageListResponse,
  type ImageProgressResponse,
  type ImageRemoveResponse,
  MessageType,
  type SnapshotResponse,
} from '@warden/protocol';
import * as args from './arguments.ts';
import { demand } from './check.ts';
import type { LaneRequest } from './connection-pool.ts';
import { requireFeature } from './features.ts';
import { present } from './spec-messages.ts';
import type { Transport } from './transport.ts';

/**
 * The {@link Images} of a session's daemon. Each long operation has a connection of its own: others go on
 * meanwhile, and aborting it ends it there.
 */
export class ClientImages implements Images {
  readonly #session: Transport;

  constructor(session: Transport) {
    this.#session = session;
  }

  /** See {@link Images.list}. */
  async list(): Promise<readonly ImageInfo[]> {
    const { images = [] } = await this.#request<ImageListResponse>(MessageType.ImageList, {});
    return images.map(infoOf);
  }

  /** See {@link Images.import}. */
  async import(spec: ImageImportSpec, options: ImageOptions = {}): Promise<ImageInfo> {
    demand('import', 'spec', args.imageImportSpec, spec);
    return this.#watch(
      MessageType.ImageImport,
      present({ path: spec.path, name: spec.name, reference: spec.reference }),
      options,
    );
  }

  /** See {@link Images.pull}. */
  async pull(spec: ImagePullSpec, options: ImageOptions = {}): Promise<ImageInfo> {
    demand('pull', 'spec', args.imagePullSpec, spec);
    const { reference, name, user, password } = spec;
    return this.#watch(MessageType.ImagePull, present({ reference, name, user, password }), options);
  }

  /** See {@link Images.snapshot}. */
  async snapshot(
    handle: string,
    name: string,
    options: Pick<ImageOptions, 'signal'> = {},
  ): Promise<ImageInfo> {
    demand('snapshot', 'options', args.signalOption, options);
    const request = { signal: options.signal, use: 'download' } as const;
    const { image } = await this.#request<SnapshotResponse>(MessageType.Snapshot, { handle, name }, request);
    return infoOf(image);
  }

  /** See {@link Images.remove}. */
  async remove(nameOrId: string): Promise<ImageRemoval> {
    return removalOf(await this.#request<ImageRemoveResponse>(MessageType.ImageRemove, { image: nameOrId }));
  }

  /** See {@link Images.collect}. */
  async collect(): Promise<ImageRemoval> {
    return removalOf(await this.#request<ImageRemoveResponse>(MessageType.ImageCollect, {}));
  }

  async #request<T extends object>(type: number, value: object, request: LaneRequest = {}): Promise<T> {
    await requireFeature(this.#session, 'images', 'images');
    return this.#session.call<T>(type, value, request);
  }

  async #watch(type: number, value: object, options: ImageOptions): Promise<ImageInfo> {
    demand('images', 'options', args.imageOptions, options);
    const { signal, onProgress } = options;
    await requireFeature(this.#session, 'images', 'images');
    const isLast = ({ image }: ImageProgressResponse): boolean => image !== undefined;
    const answers = this.#session.stream<ImageProgressResponse>(
      type,
      { ...value, progress: onProgress !== undefined },
      isLast,
      { signal, use: 'download' },
    );
    try {
      for (;;) {
        const { done, value: answer } = await answers.next();
        if (done) return infoOf(answer.image!);
        onProgress?.({
          step: answer.step === 'download' ? 'download' : 'unpack',
          object: answer.object ?? '',
          done: Number(answer.done ?? 0n),
          total: Number(answer.total ?? 0n),
        });
      }
    } finally {
      // what `onProgress` throws must give the connection back; after the end this does nothing
      await answers.return({});
    }
  }
}

function infoOf({ id, names = [], created, bytes, layers = [], used_by = [] }: Image): ImageInfo {
  return {
    id,
    names,
    ...(created === undefined ? {} : { created }),
    bytes: Number(bytes),
    layers,
    usedBy: used_by,
  };
}

function removalOf({ images = [], bytes }: ImageRemoveResponse): ImageRemoval {
  return { images, bytes: Number(bytes) };
}
