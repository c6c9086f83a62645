/** The sockets of a driver, and how requests go through them. */
import { isWardenError } from '@warden/interface';
import { NETLINK_NETFILTER, NETLINK_ROUTE, NetlinkSocket } from '@warden/native';
import type { MessageBody } from './netlink-message.ts';
import { messages, NLM_F_ACK } from './netlink-message.ts';
import { transaction } from './nftables-message.ts';

/** Tells whether `error` is the kernel's refusal with one of these error names. */
export function isKernelError(error: unknown, ...names: readonly string[]): boolean {
  return isWardenError(error, 'NATIVE_FAILED') && names.includes(String(error.fields.errno));
}

/**
 * Something that takes several sends of rtnetlink messages: each is yielded, and answered with what the
 * kernel lists, or with its refusal.
 */
export type RouteSteps<T> = Generator<readonly MessageBody[], T, Buffer[]>;

/** Carries nftables changes out in time: all or none. */
export type Commit = (changes: readonly MessageBody[]) => Promise<void>;

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
    return new NetlinkConnection(...openBoth());
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
   * Sends rtnetlink messages in one go. They are carried out one after another; the first failure is thrown,
   * and those behind it have been tried all the same.
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
    if (changes.length > 0) this.#filter.request(...batch(this.#filter, changes));
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

/** For links and for nftables, in the network namespace of the process. */
function openBoth(): [route: NetlinkSocket, filter: NetlinkSocket] {
  const route = NetlinkSocket.open(NETLINK_ROUTE);
  try {
    return [route, NetlinkSocket.open(NETLINK_NETFILTER)];
  } catch (error) {
    route.close();
    throw error;
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
  return [messages(bodies, sequences), sequences];
}

/** Changes as one transaction, and the number that its answer carries. */
function batch(
  socket: NetlinkSocket,
  changes: readonly MessageBody[],
): [request: Buffer, sequences: readonly number[]] {
  // The acknowledgements are sent after the commit, so the one of the last change speaks for all.
  const marked = changes.map((body, i) =>
    i === changes.length - 1 ? { ...body, flags: body.flags | NLM_F_ACK } : body,
  );
  const [request, sequences] = numbered(socket, transaction(marked));
  return [request, sequences.slice(-2, -1)];
}

/**
 * Sockets whose requests wait on a thread. Those for links wait for the host's one lock around all of them,
 * which the end of a namespace holds for tens of milliseconds, and for what a link that goes down waits for;
 * transactions of rules for the kernel's look at the chains of all containers. Of either kind one comes after
 * the other, as the kernel does it anyway.
 */
export class PatientConnection {
  readonly #socket: NetlinkSocket;
  readonly #filter: NetlinkSocket;
  #last: Promise<unknown> = Promise.resolve();
  #lastChange: Promise<unknown> = Promise.resolve();

  private constructor(socket: NetlinkSocket, filter: NetlinkSocket) {
    this.#socket = socket;
    this.#filter = filter;
  }

  /** In the network namespace of the process. */
  static open(): PatientConnection {
    return new PatientConnection(...openBoth());
  }

  /**
   * Calls `change` when all that was asked for before is done. It is given what carries out one transaction
   * after the other (see {@link NetlinkConnection.commit}); until it has settled nobody else's are carried
   * out here, and nobody else's `change` is called.
   */
  inTurn<T>(change: (commit: Commit) => Promise<T>): Promise<T> {
    const done = this.#lastChange.then(() => change((changes) => this.#commit(changes)));
    this.#lastChange = done.catch(() => {});
    return done;
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
    await Promise.all([this.#last, this.#lastChange]);
    this.#socket.close();
    this.#filter.close();
  }

  async #commit(changes: readonly MessageBody[]): Promise<void> {
    if (changes.length > 0) await this.#filter.requestOnThread(...batch(this.#filter, changes));
  }

  #route(bodies: readonly MessageBody[]): Promise<Buffer[]> {
    const answered = this.#last.then(() => this.#socket.requestOnThread(...numbered(this.#socket, bodies)));
    this.#last = answered.catch(() => {});
    return answered;
  }
}
