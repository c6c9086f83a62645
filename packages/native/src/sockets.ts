import { checkBytes, checkChoice, checkDescriptor, checkPath, checkUint32 } from './argument-checks.ts';
import { native } from './load-library.ts';
import { checked, errnoName, nativeFailure, orWouldBlock } from './native-failure.ts';

/** SOCK_STREAM and SOCK_SEQPACKET. */
const SOCKET_TYPES = { stream: 1, seqpacket: 5 } as const;
const EMSGSIZE = 90;
/** SCM_MAX_FD of the kernel. */
const MAX_PASSED_FDS = 253;
const NO_FDS = new Int32Array(0);

/** Two connected, blocking, close-on-exec unix sockets. */
export function makeSocketPair(type: 'seqpacket' | 'stream'): [number, number] {
  const ends = new Int32Array(2);
  checked(native().warden_socketpair(checkChoice(type, 'type', SOCKET_TYPES), ends), 'socketpair', type);
  return [ends[0]!, ends[1]!];
}

/** Why nobody answers at a path: no such file, or nobody listens any more. */
export type ConnectFailure = 'ENOENT' | 'ECONNREFUSED';

/**
 * Connects to the unix socket at `path`; the descriptor is non-blocking and close-on-exec. The path may be
 * longer than the 107 bytes of the address as long as its last component is not. A full backlog throws with
 * `EAGAIN`.
 */
export function connectUnix(path: string, type: 'seqpacket' | 'stream'): number | ConnectFailure {
  const result = native().warden_connect_unix(checkPath(path), checkChoice(type, 'type', SOCKET_TYPES));
  if (result >= 0) return result;
  const errno = errnoName(-result);
  if (errno === 'ENOENT' || errno === 'ECONNREFUSED') return errno;
  throw nativeFailure('connect', path, result);
}

/**
 * Sends `bytes` (not empty) with `fds` as one message. Answers false when it would block; nothing was sent
 * then. On a stream socket the kernel may take a part only: that throws with `EMSGSIZE`, for the receiver can
 * no longer find the borders. A closed peer throws with `EPIPE`.
 */
export function sendMessage(fd: number, bytes: Uint8Array, fds: readonly number[] = []): boolean {
  checkDescriptor(fd);
  if (checkBytes(bytes, 'bytes').byteLength === 0) throw new TypeError('bytes must not be empty');
  if (!Array.isArray(fds) || fds.length > MAX_PASSED_FDS)
    throw new TypeError(`fds must be an array of at most ${MAX_PASSED_FDS}`);
  const passed =
    fds.length === 0 ? NO_FDS : Int32Array.from(fds, (passedFd) => checkDescriptor(passedFd, 'fds[]'));
  const result = native().warden_send(fd, bytes, bytes.byteLength, passed, passed.length);
  if (result === bytes.byteLength) return true;
  if (result >= 0)
    throw nativeFailure('send', `fd ${fd}`, -EMSGSIZE, { sent: result, size: bytes.byteLength });
  if (errnoName(-result) === 'EAGAIN') return false;
  throw nativeFailure('send', `fd ${fd}`, result);
}

/**
 * Sends what a stream socket takes of `bytes` (not empty) without waiting. Answers how many that were, -1
 * when it would block. A closed peer throws with `EPIPE`.
 */
export function sendPart(fd: number, bytes: Uint8Array): number {
  checkDescriptor(fd);
  if (checkBytes(bytes, 'bytes').byteLength === 0) throw new TypeError('bytes must not be empty');
  return orWouldBlock(native().warden_send(fd, bytes, bytes.byteLength, NO_FDS, 0), 'send', fd);
}

/** One message. `length` 0 without fds is the end of the file. */
export interface ReceivedMessage {
  readonly length: number;
  /** Close-on-exec; they belong to the caller now. */
  readonly fds: readonly number[];
  /** It had descriptors, and this process has as many open as it may: they are closed, and `fds` is empty. */
  readonly hasLostFds?: true;
}

const receivedFds = new Int32Array(MAX_PASSED_FDS);
const receivedCount = new Int32Array(1);

/**
 * Receives one message into `buffer`; undefined when it would block. A message whose bytes did not fit is
 * lost: its descriptors are closed and `EMSGSIZE` is thrown.
 */
export function receiveMessage(fd: number, buffer: Uint8Array): ReceivedMessage | undefined {
  checkDescriptor(fd);
  if (checkBytes(buffer, 'buffer').byteLength === 0) throw new TypeError('buffer must not be empty');
  const length = native().warden_receive(fd, buffer, buffer.byteLength, receivedFds, receivedCount);
  if (length >= 0) {
    const count = receivedCount[0]!;
    if (count < 0) return { length, fds: [], hasLostFds: true };
    return { length, fds: count === 0 ? [] : Array.from(receivedFds.subarray(0, count)) };
  }
  if (errnoName(-length) === 'EAGAIN') return undefined;
  throw nativeFailure('receive', `fd ${fd}`, length);
}

/** Who connected: the peer's identity at the time of its connect(2) or socketpair(2), as the kernel saw it. */
export function peerCredentials(fd: number): { pid: number; uid: number; gid: number } {
  const result = new Int32Array(3);
  checked(native().warden_peer_credentials(checkDescriptor(fd), result), 'peer-credentials', `fd ${fd}`);
  return { pid: result[0]!, uid: result[1]! >>> 0, gid: result[2]! >>> 0 };
}

/**
 * Lets the kernel hold `bytes` of what was sent by the socket and not read yet, or as many as it allows;
 * never fewer than before.
 */
export function growSendBuffer(fd: number, bytes: number): void {
  const result = native().warden_grow_send_buffer(checkDescriptor(fd), checkUint32(bytes, 'bytes'));
  checked(result, 'grow send buffer', `fd ${fd}`);
}

/** An unbound, non-blocking unix datagram socket. */
export function makeDatagramSocket(): number {
  return checked(native().warden_datagram_socket(), 'datagram-socket');
}

/**
 * Sends one datagram to whoever is bound to `path` (`@name`: a name of the abstract name space), without ever
 * waiting. Answers `undefined` when it was taken, else the errno's name: `ENOENT` or `ECONNREFUSED` (nobody
 * there), `EAGAIN` (its queue is full), `EMSGSIZE`, and the like.
 */
export function sendDatagram(fd: number, path: string, bytes: Uint8Array): string | undefined {
  checkDescriptor(fd);
  checkBytes(bytes, 'bytes');
  const result = native().warden_send_datagram(fd, checkPath(path), bytes, bytes.byteLength);
  return result < 0 ? errnoName(-result) : undefined;
}
