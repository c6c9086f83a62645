import { checkDescriptor, checkPath, checkUint32, checkUint64 } from './argument-checks.ts';
import { callOnThread, native } from './load-library.ts';
import { checked, errnoName, nativeFailure } from './native-failure.ts';

/**
 * Opens (or makes, mode 0600) the file at `path` and locks it. Answers the descriptor that holds the lock,
 * undefined when somebody else does. The lock ends with the descriptor, also when the process is killed.
 */
export function lockFile(path: string): number | undefined {
  const result = native().warden_lock_file(checkPath(path));
  if (result >= 0) return result;
  if (errnoName(-result) === 'EAGAIN') return undefined;
  throw nativeFailure('lock', path, result);
}

/** Makes the names in a directory survive a power cut: creations, renames and removals made before. */
export function syncDirectory(path: string): void {
  checked(native().warden_sync_directory(checkPath(path)), 'sync-directory', path);
}

/**
 * Tells the file system that the directories made in this one from now on have nothing to do with each other,
 * so that they need not lie close together (`chattr +T`). Answers false where it takes no such hint. Errors:
 * `NATIVE_FAILED`, as for a directory of somebody else.
 */
export function spreadDirectories(path: string): boolean {
  const result = native().warden_spread_directories(checkPath(path));
  if (result < 0 && ['ENOTTY', 'EOPNOTSUPP', 'EINVAL', 'ENOSYS'].includes(errnoName(-result))) return false;
  checked(result, 'spread-directories', path);
  return true;
}

/**
 * Opens a regular file for reading. `path` and all links on the way are resolved as in a process whose root
 * is `root`, so that nothing outside is ever opened. Answers undefined when there is no such file. Errors:
 * `NATIVE_FAILED` (`EINVAL`: it is no regular file).
 */
export function openInside(root: string, path: string): number | undefined {
  const result = native().warden_open_inside(checkPath(root, 'root'), checkPath(path));
  if (result >= 0) return result;
  if (['ENOENT', 'ENOTDIR', 'ELOOP'].includes(errnoName(-result))) return undefined;
  throw nativeFailure('open-inside', path, result);
}

/**
 * Has the kernel forget what it holds of a file in memory, as far as nobody maps or has written it, and read
 * it again on a thread: the memory then counts for this process, and is in large pieces. Answers the file's
 * bytes. Errors: `NATIVE_FAILED`.
 */
export async function rereadFile(fd: number): Promise<number> {
  return checked(await callOnThread('warden_reread_file', checkDescriptor(fd)), 'reread', `fd ${fd}`);
}

/** Sets the process's file mode mask and answers the one before. */
export function umask(mask: number): number {
  if (checkUint32(mask, 'mask') > 0o777) throw new TypeError('mask must be at most 0o777');
  return native().warden_umask(mask);
}

/**
 * Copies `source` to the new file `target` (mode 0600) without writing its holes: by shared extents where the
 * file system can, else data extent by data extent. Errors: `EEXIST`, `ENOSPC`; no target is left then.
 */
export function copySparseFile(source: string, target: string): void {
  checked(
    native().warden_copy_sparse(checkPath(source, 'source'), checkPath(target, 'target')),
    'copy',
    target,
  );
}

/** As {@link copySparseFile}, on a thread: for files of any size. */
export async function copySparseFileOnThread(source: string, target: string): Promise<void> {
  const paths = [checkPath(source, 'source'), checkPath(target, 'target')] as const;
  checked(await callOnThread('warden_copy_sparse', ...paths), 'copy', target);
}

/**
 * Gives the file at `path` (made with mode 0600 if absent) exactly `bytes` of allocated space; nothing is
 * written into it. On failure it keeps the size it had. Errors: `ENOSPC`, `EOPNOTSUPP`.
 */
export function allocateFile(path: string, bytes: bigint): void {
  checked(native().warden_allocate_file(checkPath(path), checkUint64(bytes, 'bytes')), 'allocate', path);
}
