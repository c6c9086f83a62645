import type { WardenError } from '@warden/interface';
import { checkBytes, checkPid, checkString, checkUint32 } from './argument-checks.ts';
import { closeDescriptor } from './descriptors.ts';
import { callOnThread, native } from './load-library.ts';
import { checked, errnoName, nativeFailure } from './native-failure.ts';
import { NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR, readVerdict, splitMessages } from './netlink-messages.ts';
import { type PollWatch, watchDescriptor } from './watch.ts';

/** Links, addresses, routes. */
export const NETLINK_ROUTE = 0 as const;
/** What sockets there are. */
export const NETLINK_SOCK_DIAG = 4 as const;
/** nftables and the other packet filter subsystems. */
export const NETLINK_NETFILTER = 12 as const;

const PROTOCOL_NAMES: Readonly<Record<number, string>> = {
  [NETLINK_ROUTE]: 'route',
  [NETLINK_SOCK_DIAG]: 'sock-diag',
  [NETLINK_NETFILTER]: 'netfilter',
};
/**
 * The kernel answers within the send; only a dump goes on later. So this bounds a broken kernel module,
 * nothing else.
 */
const ANSWER_TIMEOUT_MS = 5000;
/** A dump's datagram is at most 32 KiB; an acknowledgement may echo more. */
const RECEIVE_BYTES = 256 * 1024;
/** Below the send buffer, of which the kernel takes twice the 4 MiB asked for. */
const MAX_REQUEST_BYTES = 6 * 1024 * 1024;
const MAX_INTERRUPTED_DUMPS = 16;
const ETIMEDOUT = 110;
const EINTR = 4;
const EBADMSG = 74;

const datagram = Buffer.alloc(RECEIVE_BYTES);

/** What was collected of one request. */
interface Answer {
  readonly open: Set<number>;
  readonly own: ReadonlySet<number>;
  readonly payload: Buffer[];
  failure?: WardenError;
  isInterrupted: boolean;
}

/**
 * A netlink socket: bound, close-on-exec, with extended acknowledgements and large buffers. Not subscribed to
 * any group.
 */
export class NetlinkSocket {
  readonly #protocol: string;
  #fd: number;
  #sequence = 0;

  private constructor(fd: number, protocol: number) {
    this.#fd = fd;
    this.#protocol = PROTOCOL_NAMES[protocol] ?? `protocol ${protocol}`;
  }

  /** Opens a socket in the network namespace of the process. */
  static open(protocol: number): NetlinkSocket {
    checkProtocol(protocol);
    return new NetlinkSocket(
      checked(native().warden_netlink_open(protocol), 'netlink-open', String(protocol)),
      protocol,
    );
  }

  /**
   * Opens one socket per protocol, all in one fresh network namespace. It has no process and lives as long as
   * one of the sockets. Needs CAP_SYS_ADMIN.
   */
  static openInNewNamespace(protocols: readonly number[]): NetlinkSocket[] {
    return NetlinkSocket.#openElsewhere(0, protocols);
  }

  /**
   * Opens one socket per protocol in the network namespace of a process. Needs CAP_SYS_ADMIN there. Errors:
   * `ENOENT`, `ESRCH` when it has ended.
   */
  static openInNamespaceOf(pid: number, protocols: readonly number[]): NetlinkSocket[] {
    return NetlinkSocket.#openElsewhere(checkPid(pid), protocols);
  }

  static #openElsewhere(pid: number, protocols: readonly number[]): NetlinkSocket[] {
    if (!Array.isArray(protocols) || protocols.length === 0)
      throw new TypeError('protocols must be an array of at least one');
    const numbers = Int32Array.from(protocols, checkProtocol);
    const fds = new Int32Array(numbers.length);
    checked(
      native().warden_netlink_open_elsewhere(pid, numbers, numbers.length, fds),
      'netlink-open',
      pid === 0 ? 'new namespace' : `namespace of process ${pid}`,
    );
    return Array.from(fds, (fd, i) => new NetlinkSocket(fd, numbers[i]!));
  }

  /** A sequence number that no open request of this socket uses. Never 0, which the kernel uses for notifications. */
  nextSequence(): number {
    this.#sequence = this.#sequence >= 0xffff_ffff ? 1 : this.#sequence + 1;
    return this.#sequence;
  }

  /**
   * Sends `request` (whole messages; nothing is filled in) and receives until each sequence number in `acks`
   * was answered by an NLMSG_ERROR or NLMSG_DONE. Answers the payload messages, header included, in order. A
   * dump that changed while it was made is repeated.
   *
   * Errors: `NATIVE_FAILED` of the first refused message, with the kernel's extended acknowledgement in
   * `fields.detail` and `fields.offset` and the message's number in `fields.sequence`; everything the kernel
   * still had to say has been read then. `ENOBUFS` when acknowledgements were lost: the request has been
   * carried out to an unknown extent.
   */
  request(request: Uint8Array, acks: readonly number[]): Buffer[] {
    for (let attempt = 0; attempt < MAX_INTERRUPTED_DUMPS; attempt++) {
      const answer = this.#expect(request, acks);
      checkedSend(native().warden_netlink_send(this.#fd, request, request.byteLength), this.#protocol);
      this.#receive(answer);
      if (answer.failure !== undefined) throw answer.failure;
      if (!answer.isInterrupted) return answer.payload;
    }
    throw nativeFailure('netlink', this.#protocol, -EINTR, { detail: 'the dump kept changing' });
  }

  /**
   * As `request`, for what is no dump and may keep the kernel busy: it does everything while it takes the
   * request, and that happens on a thread of Node's pool. Until this settles the socket may be used for
   * nothing else.
   */
  async requestOnThread(request: Uint8Array, acks: readonly number[]): Promise<Buffer[]> {
    const answer = this.#expect(request, acks);
    const sent = await callOnThread('warden_netlink_send', this.#fd, request, request.byteLength);
    checkedSend(sent, this.#protocol);
    this.#receive(answer);
    if (answer.failure !== undefined) throw answer.failure;
    return answer.payload;
  }

  /**
   * What the kernel has sent by itself: whole messages, header included, of at most `datagrams` datagrams;
   * empty when there is nothing. Does not wait. For a socket that has asked for such messages and has no
   * request under way. When the kernel had to drop some, what is left is answered all the same.
   */
  drain(datagrams: number): Buffer[] {
    if (this.#fd < 0) throw new TypeError('the netlink socket is closed');
    const payload: Buffer[] = [];
    for (let count = 0; count < datagrams; count++) {
      const length = native().warden_netlink_receive(this.#fd, datagram, datagram.length, 0);
      if (length < 0) {
        if (['ENOBUFS', 'EMSGSIZE'].includes(errnoName(-length))) continue; // lost something; the rest is readable
        if (errnoName(-length) !== 'EAGAIN') throw nativeFailure('netlink', this.#protocol, length);
        return payload;
      }
      try {
        for (const { bytes } of splitMessages(datagram.subarray(0, length))) payload.push(Buffer.from(bytes));
      } catch (cause) {
        if (!(cause instanceof RangeError)) throw cause;
        throw nativeFailure('netlink', this.#protocol, -EBADMSG, { detail: cause.message });
      }
    }
    return payload;
  }

  /**
   * Calls `listener` while something that the kernel has sent waits to be {@link drain}ed: see
   * {@link watchDescriptor}, whose promises hold. To be closed before the socket.
   */
  watch(listener: () => void): PollWatch {
    if (this.#fd < 0) throw new TypeError('the netlink socket is closed');
    return watchDescriptor(this.#fd, { readable: true }, () => listener());
  }

  /** Closes the socket. Idempotent. */
  close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    closeDescriptor(fd);
  }

  #expect(request: Uint8Array, acks: readonly number[]): Answer {
    if (this.#fd < 0) throw new TypeError('the netlink socket is closed');
    const own = requestSequences(request);
    if (!Array.isArray(acks)) throw new TypeError('acks must be an array');
    for (const ack of acks) {
      if (!own.has(ack))
        throw new TypeError(`acks names ${String(ack)}, which no message of the request has`);
    }
    return { open: new Set(acks), own, payload: [], isInterrupted: false };
  }

  #receive(answer: Answer): void {
    const deadline = performance.now() + ANSWER_TIMEOUT_MS;
    while (answer.open.size > 0 || answer.failure !== undefined) {
      // After a failure the rest may never be acknowledged (an aborted batch): read what is there, and do not wait.
      const wait = answer.failure === undefined ? Math.max(0, Math.ceil(deadline - performance.now())) : 0;
      const length = native().warden_netlink_receive(this.#fd, datagram, datagram.length, wait);
      if (length >= 0) {
        this.#take(datagram.subarray(0, length), answer);
        continue;
      }
      const isEmpty = errnoName(-length) === 'EAGAIN';
      if (isEmpty && answer.failure !== undefined) return;
      answer.failure ??= nativeFailure('netlink', this.#protocol, isEmpty ? -ETIMEDOUT : length);
      // ENOBUFS and EMSGSIZE lose a datagram and leave the rest readable; after anything else the socket is of no use.
      if (isEmpty || !['ENOBUFS', 'EMSGSIZE'].includes(errnoName(-length))) return;
    }
  }

  #take(bytes: Buffer, answer: Answer): void {
    try {
      for (const message of splitMessages(bytes)) {
        // What a request that failed earlier left behind carries another number.
        if (!answer.own.has(message.sequence)) continue;
        if ((message.flags & NLM_F_DUMP_INTR) !== 0) answer.isInterrupted = true;
        if (message.type !== NLMSG_ERROR && message.type !== NLMSG_DONE) {
          answer.payload.push(Buffer.from(message.bytes)); // a copy: the datagram's buffer is used again
          continue;
        }
        const { error, ...extended } = readVerdict(message);
        if (error < 0) {
          const fields = { sequence: message.sequence, ...extended };
          answer.failure ??= nativeFailure('netlink', this.#protocol, error, fields);
        }
        answer.open.delete(message.sequence);
      }
    } catch (cause) {
      if (!(cause instanceof RangeError)) throw cause;
      answer.failure ??= nativeFailure('netlink', this.#protocol, -EBADMSG, { detail: cause.message });
    }
  }
}

function checkProtocol(protocol: unknown): number {
  if (checkUint32(protocol, 'protocol') > 31) throw new TypeError('protocol must be at most 31');
  return protocol as number;
}

function checkedSend(result: number, protocol: string): void {
  checked(result, 'netlink-send', protocol);
}

function requestSequences(request: Uint8Array): ReadonlySet<number> {
  checkBytes(request, 'request', MAX_REQUEST_BYTES);
  if (request.byteLength === 0) throw new TypeError('request must not be empty');
  try {
    const messages = splitMessages(Buffer.from(request.buffer, request.byteOffset, request.byteLength));
    return new Set(messages.map((message) => message.sequence));
  } catch (cause) {
    throw new TypeError(`request: ${(cause as Error).message}`, { cause });
  }
}

/** The index of a network interface in the namespace of the process; 0 when there is none of this name. */
export function interfaceIndex(name: string): number {
  const bytes = checkString(name, 'name');
  if (bytes.length === 1 || bytes.length > 16) throw new TypeError('name must have 1 to 15 bytes');
  return checked(native().warden_interface_index(bytes), 'interface-index', name);
}
