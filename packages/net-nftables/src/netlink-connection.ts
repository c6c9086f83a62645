/** The two sockets of a driver, and how requests go through them. */
import { isWardenError } from '@warden/interface';
import { NETLINK_NETFILTER, NETLINK_ROUTE, NetlinkSocket } from '@warden/native';
import type { MessageBody } from './netlink-message.ts';
import { message, NLM_F_ACK } from './netlink-message.ts';
import { transaction } from './nftables-message.ts';

/** Tells whether `error` is the kernel's refusal with one of these error names. */
export function isKernelError(error: unknown, ...names: readonly string[]): boolean {
  return isWardenError(error, 'NATIVE_FAILED') && names.includes(String(error.fields.errno));
}

/** Sockets for links and for nftables, both in one network namespace. */
export class NetlinkConnection {
  readonly #route: NetlinkSocket;
  readonly #filter: NetlinkSocket;

  private constructor(route: NetlinkSocket, filter: NetlinkSocket) {
    this.#route = route;
    this.#filter = filter;
  }

  /** In the network namespace of the process. */
  static open(): NetlinkConnection {
    const route = NetlinkSocket.open(NETLINK_ROUTE);
    try {
      return new NetlinkConnection(route, NetlinkSocket.open(NETLINK_NETFILTER));
    } catch (error) {
      route.close();
      throw error;
    }
  }

  /** In a fresh network namespace, which ends with `close`. */
  static openInNewNamespace(): NetlinkConnection {
    const [route, filter] = NetlinkSocket.openInNewNamespace([NETLINK_ROUTE, NETLINK_NETFILTER]);
    if (route === undefined || filter === undefined) throw new TypeError('two sockets were asked for');
    return new NetlinkConnection(route, filter);
  }

  /** In the network namespace of a process. ESRCH or ENOENT when it has ended. */
  static openInNamespaceOf(pid: number): NetlinkConnection {
    const [route, filter] = NetlinkSocket.openInNamespaceOf(pid, [NETLINK_ROUTE, NETLINK_NETFILTER]);
    if (route === undefined || filter === undefined) throw new TypeError('two sockets were asked for');
    return new NetlinkConnection(route, filter);
  }

  /**
   * Sends rtnetlink messages in one go. They are carried out one after another; the first failure is thrown, and those behind
   * it have been tried all the same.
   */
  route(...bodies: readonly MessageBody[]): Buffer[] {
    return sendAll(this.#route, bodies);
  }

  /** Carries nftables changes out: all or none. */
  commit(changes: readonly MessageBody[]): void {
    if (changes.length === 0) return;
    // The acknowledgements are sent after the commit, so the one of the last change speaks for all.
    const marked = changes.map((body, i) =>
      i === changes.length - 1 ? { ...body, flags: body.flags | NLM_F_ACK } : body,
    );
    const sequences = transaction(marked).map((body) => ({ body, sequence: this.#filter.nextSequence() }));
    const acknowledged = sequences.at(-2);
    this.#filter.request(
      Buffer.concat(sequences.map(({ body, sequence }) => message(body, sequence))),
      acknowledged === undefined ? [] : [acknowledged.sequence],
    );
  }

  /** Sends one message to a packet filter subsystem on its own, outside any transaction; answers what it lists. */
  dump(body: MessageBody): Buffer[] {
    return sendAll(this.#filter, [body]);
  }

  /** Closes both sockets. Idempotent. */
  close(): void {
    this.#route.close();
    this.#filter.close();
  }
}

function sendAll(socket: NetlinkSocket, bodies: readonly MessageBody[]): Buffer[] {
  const sequences = bodies.map(() => socket.nextSequence());
  const requests = bodies.map((body, i) => message(body, sequences[i] ?? 0));
  return socket.request(Buffer.concat(requests), sequences);
}
