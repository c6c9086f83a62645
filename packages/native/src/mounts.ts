import { checkBytes, checkPath, checkString, checkUint32 } from './argument-checks.ts';
import { callOnThread, type NativeLibrary, native } from './load-library.ts';
import { checked, errnoName, nativeFailure } from './native-failure.ts';

/** Flags of mount(2). */
export const MS: {
  readonly RDONLY: 1;
  readonly NOSUID: 2;
  readonly NODEV: 4;
  readonly NOEXEC: 8;
  readonly REMOUNT: 32;
  readonly NOATIME: 1024;
  readonly BIND: 4096;
  readonly REC: 16384;
  readonly PRIVATE: 262144;
} = {
  RDONLY: 1,
  NOSUID: 2,
  NODEV: 4,
  NOEXEC: 8,
  REMOUNT: 32,
  NOATIME: 1024,
  BIND: 4096,
  REC: 16384,
  PRIVATE: 262144,
};

/** The options of a mount are one page at most. */
const MAX_DATA_BYTES = 4095;

/** The five arguments of mount(2). Empty `type`, `source` or `data` stand for none. */
export interface MountCall {
  readonly type: string;
  readonly source: string;
  readonly target: string;
  /** Flags of {@link MS}, or-ed. */
  readonly flags: number;
  readonly data: string;
}

interface MountArguments {
  readonly type: Buffer;
  readonly source: Buffer;
  readonly target: Buffer;
  readonly data: Buffer;
}

function checkCall(call: MountCall): MountArguments {
  checkUint32(call.flags, 'flags');
  const data = checkString(call.data, 'data');
  checkBytes(data, 'data', MAX_DATA_BYTES + 1);
  return {
    type: checkString(call.type, 'type'),
    source: call.source === '' ? checkString('', 'source') : checkPath(call.source, 'source'),
    target: checkPath(call.target, 'target'),
    data,
  };
}

/** mount(2) in the mount namespace of the process. */
export function mountFilesystem(call: MountCall): void {
  const { type, source, target, data } = checkCall(call);
  checked(native().warden_mount(type, source, target, call.flags, data), 'mount', call.target);
}

/**
 * Unmounts what is topmost at `target`; a symbolic link is not followed. `detach` takes it from the tree at
 * once and ends it when nobody uses it any more; without, a mount in use throws with `EBUSY`. Answers false
 * when nothing is mounted there.
 */
export function unmount(target: string, options: { detach?: boolean } = {}): boolean {
  const result = native().warden_unmount(checkPath(target, 'target'), options.detach === true ? 1 : 0);
  if (result >= 0) return true;
  const errno = errnoName(-result);
  if (errno === 'EINVAL' || errno === 'ENOENT') return false;
  throw nativeFailure('unmount', target, result);
}

/**
 * Ends the file system mounted at `path` (ext4, xfs, f2fs): what was written and has not reached its device
 * never will, and whoever still uses it gets `EIO`. For a file system that nobody needs any more, whose
 * unmount would wait for the disk otherwise. Idempotent. Errors: `NATIVE_FAILED`; `ENOTTY` from a file system
 * that has no such request.
 */
export function shutDownFilesystem(path: string): void {
  checked(native().warden_shutdown_filesystem(checkPath(path)), 'shut down file system', path);
}

/**
 * Opens a file as a mount of its own that is seen nowhere, read-only and without devices: whatever runs from
 * it cannot be written through its `/proc/<pid>/exe`, not even by root. Answers a descriptor, which keeps the
 * mount alive. Errors: `NATIVE_FAILED`; `ENOSYS` before Linux 5.12.
 */
export function openReadOnly(path: string): number {
  return checked(native().warden_open_read_only(checkPath(path)), 'open read-only', path);
}

/** `enum warden_try_mount_step` in words. */
const STEPS = ['', 'namespace', 'mount', 'create', 'write', 'rename', 'unlink', 'unmount'] as const;

/** What came of a trial. */
export type MountTrial =
  | { readonly ok: true }
  | { readonly ok: false; readonly errno: string; readonly step: string };

/**
 * Tries a mount in a child process with a private mount namespace of its own; nothing of it remains. With check `write`
 * also makes, renames and removes a file and a directory below `target`. The answer tells which step failed.
 */
export function tryMount(call: MountCall, check?: 'write'): MountTrial {
  const { parameters, step } = trialOf(call, check);
  return trialResult(native().warden_try_mount(...parameters), step);
}

/** The same while the caller's thread goes on: for a start that has more to do than to wait for a child. */
export async function tryMountBeside(call: MountCall, check?: 'write'): Promise<MountTrial> {
  const { parameters, step } = trialOf(call, check);
  return trialResult(await callOnThread('warden_try_mount', ...parameters), step);
}

function trialOf(
  call: MountCall,
  check: 'write' | undefined,
): { readonly parameters: Parameters<NativeLibrary['warden_try_mount']>; readonly step: Int32Array } {
  const { type, source, target, data } = checkCall(call);
  if (check !== undefined && check !== 'write')
    throw new TypeError(`check must be 'write', not ${String(check)}`);
  const step = new Int32Array(1);
  return { parameters: [type, source, target, call.flags, data, check === 'write' ? 1 : 0, step], step };
}

function trialResult(result: number, step: Int32Array): MountTrial {
  if (result >= 0) return { ok: true };
  return { ok: false, errno: errnoName(-result), step: STEPS[step[0]!] ?? 'namespace' };
}
