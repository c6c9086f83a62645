/**
 * Images: named root file systems, as stacks of shared, read-only layers. They come from archives of this
 * host or from registries. Everything in them is checked by its digest, and unpacked where it can change
 * nothing else. A container that is made from an image uses it until it is destroyed.
 */
import type { ContainerId } from './driver.ts';
import type { IdRange } from './init.ts';

/** An image of this host. */
export interface ImageInfo {
  /** Digest of its configuration: the same content has the same id everywhere. */
  readonly id: string;
  /** `[registry/]path:tag`; empty: another image has taken its name. */
  readonly names: readonly string[];
  /** When it was made, as the image itself says, RFC 3339. */
  readonly created?: string;
  /** Bytes of all its layers; a layer that several images share counts in each. */
  readonly bytes: number;
  /** Digests of the layers, the lowest first. */
  readonly layers: readonly string[];
  /** Containers that were made from it: to clients their handles, to the owner of an {@link ImageStore} their ids. */
  readonly usedBy: readonly string[];
}

/** The progress of an import or a pull. */
export interface ImageProgress {
  readonly step: 'download' | 'unpack';
  /** Digest of the layer or blob. */
  readonly object: string;
  /** Bytes, of what is transferred or stored. */
  readonly done: number;
  readonly total: number;
}

/** Options of operations that may take long. Aborting `signal` ends them with `ABORTED`. */
export interface ImageOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: ImageProgress) => void) | undefined;
}

/** Where an image is to come from. */
export interface ImageImportSpec {
  /** Absolute, on the daemon's host: an OCI layout (directory or tar archive) or a docker-archive. */
  readonly path: string;
  /** The name it gets here; absent: the one that the archive gives it. */
  readonly name?: string | undefined;
  /** Which image, if the archive has several. */
  readonly reference?: string | undefined;
}

/** What to fetch. */
export interface ImagePullSpec {
  /** `registry/path[:tag][@digest]`. */
  readonly reference: string;
  /** The name it gets here; absent: that of the reference. */
  readonly name?: string | undefined;
  /** Credentials, for registries that ask for them. */
  readonly user?: string | undefined;
  readonly password?: string | undefined;
}

/** What was removed. */
export interface ImageRemoval {
  /** Ids of images. */
  readonly images: readonly string[];
  /** Bytes of disk space that were freed. */
  readonly bytes: number;
}

/** The images of a host. Errors of all: `UNSUPPORTED` where the host keeps none. */
export interface Images {
  /** In the order of their first names. */
  list(): Promise<readonly ImageInfo[]>;
  /**
   * Imports an image from an archive. Nothing is left of an import that fails. Errors: `INVALID_SPEC` (not an
   * image, damaged, hostile), `UNSUPPORTED`, `POOL_EXHAUSTED` (the store is full), `ABORTED`.
   */
  import(spec: ImageImportSpec, options?: ImageOptions): Promise<ImageInfo>;
  /**
   * Pulls an image from a registry. What a pull that fails has downloaded is kept for the next try. Errors:
   * as `import`, `FORBIDDEN` (the operator does not allow the registry), `UNAVAILABLE` (the registry does not
   * answer).
   */
  pull(spec: ImagePullSpec, options?: ImageOptions): Promise<ImageInfo>;
  /**
   * Makes an image of what a container has changed, on top of the image that the container was made from. The
   * container is paused while its changes are copied, but not while this operation waits for its turn.
   * Errors: `UNKNOWN_HANDLE`, `BAD_STATE`, `INVALID_SPEC` (it was not made from an image), `UNSUPPORTED`,
   * `POOL_EXHAUSTED`, `ABORTED`.
   */
  snapshot(handle: string, name: string, options?: Pick<ImageOptions, 'signal'>): Promise<ImageInfo>;
  /**
   * Removes a name and, with the last one, the image; given an id, the image. Errors: `INVALID_SPEC` (no such
   * image), `BAD_STATE` (containers use it).
   */
  remove(nameOrId: string): Promise<ImageRemoval>;
  /** Removes images without a name that no container uses, layers that no image has, and unfinished downloads. */
  collect(): Promise<ImageRemoval>;
}

/** The image of a container. */
export interface ImageBase {
  readonly image: string;
  /** Directories, the uppermost first. */
  readonly layers: readonly string[];
}

/** A container's writable layer, to be captured as an image. */
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

/** Options of a capture. */
export interface CaptureOptions extends ImageOptions {
  /**
   * Called when it is the capture's turn. It keeps others from writing to `upper`, calls `action`, and lets
   * them write again. What it throws is passed on. Absent: nobody writes there anyway.
   */
  readonly whileStill?: (action: () => Promise<ImageInfo>) => Promise<ImageInfo>;
}

/**
 * The store of images behind an engine. It notes itself which container uses which image, before the
 * container is made.
 */
export interface ImageStore extends Omit<Images, 'snapshot'> {
  /**
   * Notes that the container uses the image from now on. Synchronous. Errors: `INVALID_SPEC` (no such image),
   * `NATIVE_FAILED`.
   */
  use(id: ContainerId, nameOrId: string): ImageBase;
  /** The container is gone. Idempotent; does nothing for a container without an image. */
  release(id: ContainerId): void;
  /** Called at the start, with all containers that exist: removes the notes about others, and half-made images. */
  recover(containers: ReadonlySet<ContainerId>): Promise<void>;
  /** Nothing may write to `upper` within `whileStill`. Errors: see `Images.snapshot`. */
  capture(spec: CaptureSpec, options?: CaptureOptions): Promise<ImageInfo>;
}
