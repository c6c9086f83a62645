/**
 * Images: root file systems as stacks of shared, read-only layers, under names. They come from archives of this host or from registries, everything in them is
 * checked by its digest, and what they hold is unpacked where it can change nothing else. A container that is made from one has it until it is destroyed.
 */
import type { ContainerId } from './driver.ts';
import type { IdRange } from './init.ts';

/** An image as it is kept. */
export interface ImageInfo {
  /** Digest of its configuration: the same content has the same id everywhere. */
  readonly id: string;
  /** `[registry/]path:tag`; empty: another image has taken its name. */
  readonly names: readonly string[];
  /** As the image says it, RFC 3339. */
  readonly created?: string;
  /** Of all its layers; those it shares with others count in each. */
  readonly bytes: number;
  /** Digests of the layers, the lowest first. */
  readonly layers: readonly string[];
  /** Containers that were made from it. */
  readonly usedBy: readonly ContainerId[];
}

/** How far something is. */
export interface ImageProgress {
  readonly step: 'download' | 'unpack';
  /** Digest of the layer or blob. */
  readonly object: string;
  /** Bytes, of what is transferred or stored. */
  readonly done: number;
  readonly total: number;
}

/** What goes with each operation that may take long. */
export interface ImageOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: ImageProgress) => void) | undefined;
}

/** Where an image is to come from. */
export interface ImageImportSpec {
  /** Absolute, on the daemon's host: an OCI layout (directory or tar archive) or a docker-archive. */
  readonly path: string;
  /** Its name here; absent: the one that the archive gives it. */
  readonly name?: string | undefined;
  /** Which of several images of the archive. */
  readonly reference?: string | undefined;
}

/** What to fetch. */
export interface ImagePullSpec {
  /** `registry/path[:tag][@digest]`. */
  readonly reference: string;
  /** Its name here; absent: the reference's. */
  readonly name?: string | undefined;
  /** For registries that ask. */
  readonly user?: string | undefined;
  readonly password?: string | undefined;
}

/** What was removed. */
export interface ImageRemoval {
  /** Ids of images. */
  readonly images: readonly string[];
  /** Given back. */
  readonly bytes: number;
}

/** The images of a host. Errors of all: `UNSUPPORTED` where the host keeps none. */
export interface Images {
  /** In the order of their first names. */
  list(): Promise<readonly ImageInfo[]>;
  /** Errors: `INVALID_SPEC` (no image, damaged, hostile), `UNSUPPORTED`, `POOL_EXHAUSTED` (the store is full), `ABORTED`. Nothing is left of a failed one. */
  import(spec: ImageImportSpec, options?: ImageOptions): Promise<ImageInfo>;
  /** Errors: as `import`, and `FORBIDDEN` (registry), `UNAVAILABLE` (registry does not answer). What was downloaded is kept for the next try. */
  pull(spec: ImagePullSpec, options?: ImageOptions): Promise<ImageInfo>;
  /**
   * Makes an image of what a container has changed, upon the image it was made from; it stands still while that is copied, and not while others are before it.
   * Errors: `UNKNOWN_HANDLE`, `BAD_STATE`, `INVALID_SPEC` (it was not made from an image), `UNSUPPORTED`, `POOL_EXHAUSTED`, `ABORTED`.
   */
  snapshot(handle: string, name: string, options?: Pick<ImageOptions, 'signal'>): Promise<ImageInfo>;
  /** Takes a name away and, with the last one, the image; by id: the image. Errors: `INVALID_SPEC` (none), `BAD_STATE` (containers use it). */
  remove(nameOrId: string): Promise<ImageRemoval>;
  /** Removes images without a name that no container uses, layers that no image has, and unfinished downloads. */
  collect(): Promise<ImageRemoval>;
}

/** What a container stands on. */
export interface ImageBase {
  readonly image: string;
  /** Directories, the uppermost first. */
  readonly layers: readonly string[];
}

/** A container's writable layer, to be kept. */
export interface CaptureSpec {
  readonly name: string;
  readonly id: ContainerId;
  readonly base: ImageBase;
  /** Directory of the writable layer, in the form of overlayfs. */
  readonly upper: string;
  readonly idMap: readonly IdRange[];
  /** The account whose number is another one in each container. */
  readonly user: { readonly name: string; readonly uid: number };
}

/** What goes with a capture. */
export interface CaptureOptions extends ImageOptions {
  /**
   * Called when nothing is before the capture any more. It does what keeps others from writing to `upper`, then `action`, and undoes the former; what it throws is
   * passed on. Absent: nothing writes there.
   */
  readonly whileStill?: (action: () => Promise<ImageInfo>) => Promise<ImageInfo>;
}

/** What an engine asks of a store of images. Which container uses what is written down before the container is made, in the store itself. */
export interface ImageStore extends Omit<Images, 'snapshot'> {
  /** From now on the container has the image. Synchronous. Errors: `INVALID_SPEC` (no such image), `NATIVE_FAILED`. */
  use(id: ContainerId, nameOrId: string): ImageBase;
  /** It is gone. Idempotent; of a container without an image nothing happens. */
  release(id: ContainerId): void;
  /** At the start: only these containers exist. Half-made images are removed. */
  recover(containers: ReadonlySet<ContainerId>): Promise<void>;
  /** Nothing may write to `upper` within `whileStill`. Errors: see `Images.snapshot`. */
  capture(spec: CaptureSpec, options?: CaptureOptions): Promise<ImageInfo>;
}
