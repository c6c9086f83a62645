import type { PieceFrame } from '@warden/interface';
import { checkBytes, checkDescriptor, checkString, checkUint32 } from './argument-checks.ts';
import { callOnThread, native } from './load-library.ts';
import { checked, errnoName, nativeFailure, orWouldBlock } from './native-failure.ts';

/** Closes `fd`. A number that is not open is a `TypeError`: closing it twice may close somebody else's descriptor. */
export function closeDescriptor(fd: number): void {
  const result = native().warden_close(checkDescriptor(fd));
  if (result >= 0) return;
  if (errnoName(-result) === 'EBADF') throw new TypeError(`descriptor ${fd} is not open`);
  throw nativeFailure('close', `fd ${fd}`, result);
}

/** Another descriptor of the same open file, close-on-exec, which stays when `fd` is closed. */
export function duplicateDescriptor(fd: number): number {
  return checked(native().warden_duplicate(checkDescriptor(fd)), 'duplicate', `fd ${fd}`);
}

/** Fills `buffer` from `fd`. Answers the bytes read, 0 at the end of the file, -1 when it would block. */
export function readDescriptor(fd: number, buffer: Uint8Array): number {
  checkDescriptor(fd);
  // An empty buffer would answer 0, which means end of file.
  if (checkBytes(buffer, 'buffer').byteLength === 0) throw new TypeError('buffer must not be empty');
  return orWouldBlock(native().warden_read(fd, buffer, buffer.byteLength), 'read', fd);
}

/**
 * Writes `bytes` to `fd`. Answers how many were taken, -1 when it would block. Node ignores SIGPIPE: a closed
 * pipe throws `EPIPE`.
 */
export function writeDescriptor(fd: number, bytes: Uint8Array): number {
  checkDescriptor(fd);
  checkBytes(bytes, 'bytes');
  return orWouldBlock(native().warden_write(fd, bytes, bytes.byteLength), 'write', fd);
}

/**
 * Moves what is in the pipe to `offset` of a file, `limit` bytes at most: a process that is killed at any
 * moment leaves each byte in one of the two. Answers how many were moved, 0 at the end of the pipe, -1 when
 * it is empty. Errors are the file's (`ENOSPC`, `EDQUOT`, …) and leave what was not moved in the pipe.
 */
export function moveToFile(
  pipe: number,
  target: { readonly file: number; readonly offset: number; readonly limit: number },
): number {
  checkDescriptor(pipe, 'pipe');
  const { file, offset, limit } = target;
  if (!Number.isSafeInteger(offset) || offset < 0) throw new TypeError('offset must be a safe integer >= 0');
  checkUint32(limit, 'limit');
  return orWouldBlock(
    native().warden_splice(pipe, checkDescriptor(file, 'file'), BigInt(offset), limit),
    'splice',
    pipe,
  );
}

/** How far {@link movePieces} has come with a piece that the socket had no room for. Starts with zeros. */
export type PieceProgress = Uint32Array;

/**
 * Moves whole pieces from a pipe to a non-blocking socket, at most `most`, each between its head and its
 * tail, without the bytes passing through memory. Answers false when the pipe holds less than a piece, or
 * `most` were moved; true when the socket takes no more at present: call it again with the same `progress`
 * when it does, for half a piece may be on its way. Nobody else may read the pipe, nor write to the socket in
 * the middle of a piece.
 */
export function movePieces(
  ends: { readonly pipe: number; readonly socket: number },
  { head, size, tail }: PieceFrame,
  progress: PieceProgress,
  most: number,
): boolean {
  const result = native().warden_move_pieces(
    checkDescriptor(ends.pipe, 'pipe'),
    checkDescriptor(ends.socket, 'socket'),
    checkBytes(head, 'head'),
    head.byteLength,
    checkUint32(size, 'size'),
    checkBytes(tail, 'tail'),
    tail.byteLength,
    checkUint32(most, 'most'),
    progress,
  );
  return orWouldBlock(result, 'send', ends.socket) < 0;
}

/** Sets `O_NONBLOCK` on the open file, which all its duplicates share. Idempotent. */
export function setNonBlocking(fd: number): void {
  checked(native().warden_set_nonblocking(checkDescriptor(fd)), 'set-nonblocking', `fd ${fd}`);
}

/**
 * Lets a pipe hold `bytes`. Answers what it holds now, which is as before where the kernel refuses (its owner
 * has much in pipes already).
 */
export function growPipe(fd: number, bytes: number): number {
  const size = native().warden_grow_pipe(checkDescriptor(fd), checkUint32(bytes, 'bytes'));
  return checked(size, 'grow pipe', `fd ${fd}`);
}

/** A blocking, close-on-exec pipe. */
export function makePipe(): { read: number; write: number } {
  const ends = new Int32Array(2);
  checked(native().warden_pipe(ends), 'pipe');
  return { read: ends[0]!, write: ends[1]! };
}

/** A non-blocking, close-on-exec event counter at 0. */
export function makeEventFd(): number {
  return checked(native().warden_eventfd(), 'eventfd');
}

/**
 * An anonymous file with `content`, sealed against writing, growing, shrinking and further seals; its offset
 * is 0. `name` (at most 249 bytes) only shows in /proc.
 */
export function makeSealedMemfd(name: string, content: Uint8Array): number {
  const nameBytes = checkString(name, 'name');
  checkBytes(content, 'content');
  return checked(native().warden_sealed_memfd(nameBytes, content, content.byteLength), 'memfd', name);
}

/** The same on a thread: the kernel has to find memory for all of it first. `content` must stay as it is until then. */
export async function makeSealedMemfdOnThread(name: string, content: Uint8Array): Promise<number> {
  const nameBytes = checkString(name, 'name');
  checkBytes(content, 'content');
  return checked(
    await callOnThread('warden_sealed_memfd', nameBytes, content, content.byteLength),
    'memfd',
    name,
  );
}
