/**
 * Copies between the host and a container, a part of role *init*: whoever started the processes inside can
 * start one more.
 *
 * rsync's meaning of both paths: a source that ends with `/` (or `/.`, `/..`) is the content of that
 * directory, otherwise it is the file or directory itself, which is made *inside* an existing destination
 * directory. Of the destination only the last component is made. Links are copied as links and never followed
 * where they arrive; devices, pipes and sockets are left out; permissions are kept, times and owners are not.
 * A file is replaced as a whole: whatever happens, its name shows the old content or the new.
 */

/** What to copy. Complete and checked: no path is empty or holds a NUL. */
export interface CopySpec {
  /** `in`: from the host into the container. */
  readonly direction: 'in' | 'out';
  /** On the host, as the daemon sees it. */
  readonly hostPath: string;
  /** Inside; a relative one begins at the user's home. No link leads out of the container's root. */
  readonly containerPath: string;
  /** Name of the user inside who reads, or writes and then owns. */
  readonly user: string;
  /**
   * Of what arrives on the host: `USER`, `USER:GROUP`, `:GROUP`, names or numbers; empty: the daemon's user.
   * Nothing else changes its owner.
   */
  readonly owner: string;
  /** Directories of the host, without symlinks, into which nothing may be written. */
  readonly forbidden: readonly string[];
}

/** A copy that has been started. */
export interface RunningCopy {
  /**
   * Settles when nothing of the copy runs any more. Errors: `INVALID_SPEC` (a path or an owner that does not
   * exist), `FORBIDDEN` (what the user may not do inside) or `COMMAND_FAILED`, all with the original's text
   * in front, `command exited with failure: `, and the fields `operation`, `object`, `errno` and `failures`,
   * how many there were: a copy goes on with the next file. What had been copied stays.
   */
  readonly ended: Promise<void>;
  /** Ends it; `ended` then rejects with `ABORTED`, unless it had come to its end. Idempotent. */
  abort(): void;
}
