/** Requests about images. */
import {
  type ImageInfo,
  type ImageProgress,
  type ImageRemoval,
  type Images,
  WardenError,
} from '@warden/interface';
import {
  type ImageImportRequest,
  type Image as ImageMessage,
  type ImageProgressResponse,
  type ImagePullRequest,
  type ImageRemoveRequest,
  type ImageRemoveResponse,
  MessageType,
  type SnapshotRequest,
} from '@warden/protocol';
import type { RequestContext } from './handler.ts';

/** Nobody wants to be told more often. */
const PROGRESS_MS = 100;

/** By type number. */
export const IMAGE_HANDLERS: Readonly<
  Record<number, (context: RequestContext, request: never) => Promise<object>>
> = {
  [MessageType.ImageList]: async (context) => ({
    images: (await imagesOf(context).list()).map(imageMessage),
  }),
  [MessageType.ImageImport]: async (context, { path, name, reference, progress }: ImageImportRequest) =>
    answered(
      await imagesOf(context).import(
        { path, name, reference },
        { signal: context.signal, onProgress: teller(context, progress) },
      ),
    ),
  [MessageType.ImagePull]: async (context, { reference, name, user, password, progress }: ImagePullRequest) =>
    answered(
      await imagesOf(context).pull(
        { reference, name, user, password },
        { signal: context.signal, onProgress: teller(context, progress) },
      ),
    ),
  [MessageType.ImageRemove]: async (context, { image }: ImageRemoveRequest) =>
    removed(await imagesOf(context).remove(image)),
  [MessageType.ImageCollect]: async (context) => removed(await imagesOf(context).collect()),
  [MessageType.Snapshot]: async (context, { handle, name }: SnapshotRequest) => ({
    image: imageMessage(await imagesOf(context).snapshot(handle, name, { signal: context.signal })),
  }),
};

function imagesOf({ warden }: RequestContext): Images {
  if (warden.images !== undefined) return warden.images;
  throw new WardenError('UNSUPPORTED', 'this daemon keeps no images', { fields: { operation: 'images' } });
}

/** Only to those who asked for it, and one at a time: who does not read is not waited for, and misses some. */
function teller({ send }: RequestContext, isWanted = false): ((progress: ImageProgress) => void) | undefined {
  if (!isWanted) return undefined;
  let isBusy = false;
  let last = 0;
  return ({ step, object, done, total }) => {
    const now = performance.now();
    if (isBusy || now - last < PROGRESS_MS) return;
    [isBusy, last] = [true, now];
    const free = (): void => {
      isBusy = false;
    };
    send({ step, object, done: BigInt(done), total: BigInt(total) } satisfies ImageProgressResponse).then(
      free,
      free,
    );
  };
}

function imageMessage({ id, names, created, bytes, layers, usedBy }: ImageInfo): ImageMessage {
  return { id, names, created, bytes: BigInt(bytes), layers, used_by: usedBy };
}

function answered(info: ImageInfo): ImageProgressResponse {
  return { image: imageMessage(info) };
}

function removed({ images, bytes }: ImageRemoval): ImageRemoveResponse {
  return { images, bytes: BigInt(bytes) };
}
