/**
 * Role *file system*: a private writable root on top of a shared read-only base.
 *
 * A file-system driver mounts nothing. It prepares directories and answers with {@link Mount}s as data; init
 * performs them inside the new container's own mount namespace, so nothing ever shows in the host's mount table
 * and nothing has to be unmounted: the mounts die with the namespace.
 *
 * ## Lifecycle
 * `probe` → (per container) `plan` → *core persists the state* → `prepare` → `mounts` → … → `release`.
 * After a restart of the daemon `plan`'s state is all that exists; `release` works from it.
 *
 * ## Content contract
 * The container sees the base's paths, owners and modes; writes never reach the base; deletions are visible only
 * inside; what the container wrote is found on the host below `<directory>/tmp/rootfs`, and by root alone:
 * `<directory>/tmp` has the mode 0700, since a container may make set-user-id programs.
 */
import type { ContainerId, DriverState, ProbeResult, ReusableEntry } from './driver.ts';

/**
 * One mount to perform, in the terms of fstab(5) and mount(2).
 *
 * `target` is absolute *inside the new root* (`/`, `/etc`). `source` is a host path, a device, or the
 * conventional name of the type. `options` are mount(8) words: flags (`ro nosuid nodev noexec bind rbind`)
 * and data for the file system.
 */
export interface Mount {
  readonly type: string;
  readonly source: string;
  readonly target: string;
  readonly options: readonly string[];
}

/**
 * Facts about one root file system. All paths are absolute with symlinks resolved; `directory` is the
 * container's in the depot.
 */
export interface RootfsSpec {
  readonly id: ContainerId;
  readonly directory: string;
  /** The read-only base. */
  readonly base: string;
  /**
   * Further read-only layers below it, the uppermost first, for drivers that stack them; what a layer deletes
   * is marked as overlayfs marks it. Absent: none.
   */
  readonly below?: readonly string[];
}

/** What a file-system driver can do; the only thing that excludes a compliance test. */
export interface FilesystemSupports {
  /** Every directory of the root is writable (false: only `/dev /etc /home /sbin /var /tmp`). */
  readonly wholeRootWritable: boolean;
  /** Creating costs the same for any size of base. */
  readonly constantTimeCreate: boolean;
  /** A container's writable layer may itself lie on this driver's file system (a warden in a warden). */
  readonly nestable: boolean;
  /** Takes `RootfsSpec.below`, and its writable layer is in the form of overlayfs. Absent: no. */
  readonly stacksLayers?: boolean;
  /**
   * What `prepare` makes are files below the container's directory and nothing else: whoever has removed that
   * has released it. Absent: no.
   */
  readonly isInDirectory?: boolean;
}

/** A file-system driver. See the module text for lifecycle and content contract. */
export interface FilesystemDriver {
  readonly role: 'filesystem';
  /** Name of the mechanism as configured: `overlayfs`, `aufs`, `bind`. */
  readonly name: string;
  readonly supports: FilesystemSupports;

  /**
   * Tries the real operation with writable layers below `depot`, in a throw-away mount namespace, and removes
   * all traces. Callable at any time. Never throws.
   */
  probe(depot: string): Promise<ProbeResult>;

  /** Computes the state. Pure: touches nothing. */
  plan(spec: RootfsSpec): DriverState;

  /**
   * Makes the directories the mounts need (`tmp/rootfs`, work directory …) and copies what has to be copied.
   * Idempotent: an existing writable layer is kept.
   * Errors: `INVALID_SPEC` base is not a directory; `NATIVE_FAILED` with errno (`ENOSPC`, `EROFS` …).
   */
  prepare(spec: RootfsSpec, state: DriverState): Promise<void>;

  /**
   * The mounts that assemble the root, in order; the first one has target `/`. Changes nothing, and may look
   * at base and layers; callable after `prepare`, any number of times, also after a restart.
   * Errors: `NATIVE_FAILED` with errno when the base cannot be read any more.
   */
  mounts(spec: RootfsSpec, state: DriverState): readonly Mount[];

  /**
   * What `prepare` finds in the directory of a container that was made from another's, by path in it, each
   * behind what it lies in; optional.
   */
  readonly reusable?: readonly ReusableEntry[];

  /** Absolute path of the writable layer. There for drivers that stack layers. Pure. */
  writableLayer?(spec: RootfsSpec, state: DriverState): string;

  /**
   * Removes what `prepare` made. Idempotent, also on a half-made thing. The container's namespaces are gone
   * when this is called. Errors: `NATIVE_FAILED` when something cannot be removed (it names what remains).
   */
  release(spec: RootfsSpec, state: DriverState): Promise<void>;
}
