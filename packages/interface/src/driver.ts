/**
 * What all driver contracts share.
 *
 * ## Vocabulary
 * - **driver**: one mechanism for one role (file system, network, cgroup, quota, init).
 * - **options** belong to the user, **components** to whoever assembles the daemon. A driver is made in two
 *   steps for that reason: `overlayfs(options)` gives a {@link DriverFactory}, the factory takes components.
 * - **id**: the 11-character container id. All kernel objects are named from it alone, so that a driver can find
 *   and remove them without any file. A driver never sees a handle.
 * - **state**: what a driver needs to undo or restore; flat JSON. It is persisted by core *before* the driver
 *   touches the kernel, and handed back unchanged.
 *
 * ## Rules for every driver
 * 1. `probe` has no lasting effect, tries the real thing, and answers `{ ok: false, reason }` instead of throwing.
 * 2. `plan` is pure: it computes the state from the spec. Everything after it can be undone with that state alone.
 * 3. Operations that make or change something may be repeated with the same input (idempotent).
 * 4. `release` succeeds when there is nothing (any more) to release.
 * 5. An operation either completes or undoes its own partial work before it throws.
 * 6. Specs are complete, checked and frozen: a driver does not validate them again.
 * 7. Operations on different ids may run at the same time; the driver serialises what the host shares.
 * 8. Errors are `WardenError`s with `operation`, `object` and `errno` in their fields.
 */
import type { Failpoints } from './failpoints.ts';
import type { Logger } from './logger.ts';

/** Answer of a probe: usable, or not and why, in words for an operator. */
export type ProbeResult =
  | { readonly ok: true; readonly detail?: string }
  | { readonly ok: false; readonly reason: string };

/** 11 characters of base 32 (`0-9a-v`). Names directories, interfaces, cgroups and chains. */
export type ContainerId = string;

/** Tells whether `text` has the form of a {@link ContainerId}. */
export function isContainerId(text: string): text is ContainerId {
  return /^[0-9a-v]{11}$/.test(text);
}

/** What the assembler gives to every driver. */
export interface DriverComponents {
  readonly logger: Logger;
  /** For tests of what happens between a driver's steps; absent: none. Probes pass by none. */
  readonly failpoints?: Failpoints;
}

/** The second step of making a driver. `T` is one of the role interfaces. */
export type DriverFactory<T> = (components: DriverComponents) => T;

/** What core persists on behalf of a driver: flat, JSON, opaque to everyone else. */
export type DriverState = Readonly<Record<string, string | number | boolean | null>>;

/**
 * A part of a container's directory that is the same for each container, and that nothing inside a container
 * can reach: a directory with this mode, a name of this file, or a file with this mode that is written over.
 * Of a container that is destroyed it goes to the next one, since making and removing them is what takes a
 * file system longest. What of it `isOptional` may be missing then.
 */
export type ReusableEntry = { readonly path: string; readonly isOptional?: boolean } & (
  | { readonly mode: number; readonly kind?: 'directory' | 'file' }
  | { readonly inode: bigint }
);
