/**
 * Files of a container as its own processes see them. A program of ours inside, in the container's namespaces
 * and as one of its users, opens them; the daemon passes bytes on and opens nothing. Paths are absolute
 * inside, at most 4095 bytes. What comes out of a container is what its programs made of it: names and
 * content are not to be trusted.
 *
 * (All an extension: the original's daemon has only copies from and to its host.)
 */

/** What a name stands for. */
export type FileType =
  | 'file'
  | 'directory'
  | 'symlink'
  | 'fifo'
  | 'socket'
  | 'character-device'
  | 'block-device';

/** Facts about one name. Links are not followed. */
export interface FileStat {
  readonly type: FileType;
  /** Permissions with set-user-id, set-group-id and sticky bits, 0 to 0o7777. */
  readonly mode: number;
  /** As a number inside. */
  readonly uid: number;
  /** As a number inside. */
  readonly gid: number;
  readonly size: bigint;
  /** Nanoseconds since 1970. */
  readonly modifiedNs: bigint;
  /** Of a symlink. */
  readonly linkTarget?: string;
}

/** An entry of a directory. */
export interface DirectoryEntry extends FileStat {
  /** One component, any bytes but `/` and NUL. */
  readonly name: string;
}

/** Who opens it, and how long the caller waits. */
export interface FileOptions {
  /** As root *inside* the container instead of the unprivileged user. */
  readonly privileged?: boolean | undefined;
  /** Aborted: whatever runs inside for this call ends, and the call fails with `ABORTED`. */
  readonly signal?: AbortSignal | undefined;
}

/** Which part of a file. */
export interface ReadOptions extends FileOptions {
  /** First byte; default 0. */
  readonly offset?: bigint | undefined;
  /** Most bytes; default: to the end. */
  readonly length?: bigint | undefined;
}

/**
 * Mode bits that cross with a file, which gets another owner: not those that let a program run with its
 * owner's rights.
 */
export const FILE_MODES = 0o1777;

/** How a file is written. */
export interface WriteOptions extends FileOptions {
  /**
   * Permissions, 0 to 0o1777. Default: those of the file that is replaced, else 0o644. Set-user-id and
   * set-group-id bits are not among them, and the file that is replaced does not hand them on: what comes
   * from outside gets them inside, by a job that wants them.
   */
  readonly mode?: number | undefined;
}

/**
 * What a watch tells. `overflow`: the kernel has dropped some; look for yourself. `watching`: it stands (only
 * drivers tell that).
 */
export interface FileChange {
  readonly kind: 'watching' | 'created' | 'modified' | 'written' | 'attributes' | 'removed' | 'overflow';
  /** In a watched directory, the entry's name; absent when it is about the watched thing itself. */
  readonly name?: string;
}

/** Bytes in pieces of any size. */
export type ByteStream = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/**
 * See the file's head. Errors of all: `UNKNOWN_HANDLE`, `BAD_STATE`, `INVALID_SPEC` (the path; `errno`
 * ENOENT, ENOTDIR, ELOOP, EISDIR ...), `FORBIDDEN` (EACCES, EPERM), `NATIVE_FAILED` (ENOSPC, EDQUOT ...),
 * `ABORTED`, `POOL_EXHAUSTED` (too many at a time in one container), `UNSUPPORTED`.
 */
export interface ContainerFiles {
  /** Facts about a name. */
  stat(path: string, options?: FileOptions): Promise<FileStat>;
  /** Entries of a directory, in no order, without `.` and `..`. */
  list(path: string, options?: FileOptions): AsyncIterable<DirectoryEntry>;
  /** Content of a regular file, which is followed to through links. Leaving the loop early ends it. */
  read(path: string, options?: ReadOptions): AsyncIterable<Uint8Array>;
  /**
   * Replaces the file as a whole, or makes it; its directory has to exist. Whatever fails, also when
   * `content` throws, the name shows the old content or the new, never a part. A link at that name is
   * replaced, not followed.
   */
  write(path: string, content: Uint8Array | ByteStream, options?: WriteOptions): Promise<void>;
  /**
   * Changes of a file or of a directory's entries (not of what is deeper) from now on: the watch stands when
   * this resolves. Endless; the watched thing's own removal is the last change. What {@link write} puts there
   * is `created`, also when it replaces a file. Ends with `return()` of the iterator, or the signal. Who
   * reads too slowly gets `overflow`.
   */
  watch(
    path: string,
    options?: FileOptions,
  ): Promise<AsyncIterableIterator<FileChange, undefined, undefined>>;
  /**
   * A directory's content, or one file, as a tar archive (POSIX pax). Links are links; devices, pipes and
   * sockets are left out, and so are set-user-id and set-group-id bits (the sticky bit is kept). Owners are
   * numbers inside.
   */
  readTar(path: string, options?: FileOptions): AsyncIterable<Uint8Array>;
  /**
   * Unpacks a tar archive (ustar, pax, GNU long names) below an existing directory. Names that lead out of it
   * fail, links on the way are never followed, devices and pipes are refused, owners become the user's, and
   * so set-user-id and set-group-id bits are left out (the sticky bit is kept). Each file is replaced as a
   * whole. What came before a failure stays.
   */
  writeTar(path: string, archive: Uint8Array | ByteStream, options?: FileOptions): Promise<void>;
}
