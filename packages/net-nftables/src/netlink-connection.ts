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

/** Something that takes several sends of rtnetlink messages: each is yielded, and answered with what the kernel lists, or with its refusal. */
export type RouteSteps<T> = Generator<readonly MessageBody[], T, Buffer[]>;

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

  /** {@link route} for each step. */
  carryOut<T>(steps: RouteSteps<T>): T {
    let step = steps.next();
    while (step.done !== true) {
      let received: Buffer[];
      try {
        received = this.route(...step.value);
      } catch (error) {
        step = steps.throw(error);
        continue;
      }
      step = steps.next(received);
    }
    return step.value;
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
  return socket.request(...numbered(socket, bodies));
}

/** One request, and the numbers that its answers carry. */
function numbered(
  socket: NetlinkSocket,
  bodies: readonly MessageBody[],
): [request: Buffer, sequences: readonly number[]] {
  const sequences = bodies.map(() => socket.nextSequence());
  const requests = bodies.map((body, i) => message(body, sequences[i] ?? 0));
  return [Buffer.concat(requests), sequences];
}

/**
 * A socket for links whose requests wait on a thread: for the host's one lock around all links, which the end of a namespace holds for tens of
 * milliseconds, and for what a link that goes down waits for. One after the other, as the kernel does it anyway.
 */
export class PatientConnection {
  readonly #socket: NetlinkSocket;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  /** In the network namespace of the process. */
  static open(): PatientConnection {
    return new PatientConnection(NetlinkSocket.open(NETLINK_ROUTE));
  }

  /** As {@link NetlinkConnection.carryOut}; what others want comes between two steps. */
  async carryOut<T>(steps: RouteSteps<T>): Promise<T> {
    let step = steps.next();
    while (step.done !== true) {
      let received: Buffer[];
      try {
        received = await this.#route(step.value);
      } catch (error) {
        step = steps.throw(error);
        continue;
      }
      step = steps.next(received);
    }
    return step.value;
  }

  /** Behind what is under way. */
  async close(): Promise<void> {
    await this.#last;
    this.#socket.close();
  }

  #route(bodies: readonly MessageBody[]): Promise<Buffer[]> {
    const answered = this.#last.then(() => this.#socket.requestOnThread(...numbered(this.#socket, bodies)));
    this.#last = answered.catch(() => {});
    return answered;
  }
}
