/**
 * The connections of one session.
 *
 * - **home**: carries the creates, stays open until the session is closed. The daemon counts references per
 *   connection, so the containers made here stay referenced however the other connections come and go.
 * - **lanes**: one request at a time each, made when needed, reused while idle, closed after some idle time.
 *   Of each {@link LaneUse} at most `maxConnections`; who comes later waits in order. Urgent requests (those that
 *   end something: stop, destroy, kill) never wait behind the requests they end: they may open a few lanes more.
 *
 * A lane that was the first to name a container not created here is its **keeper**: closing it for idleness
 * would drop the session's reference and start the grace time, so it stays open until the container is
 * destroyed or the session closed.
 */
import { WardenError } from '@warden/interface';
import type { Connection } from './connection.ts';
import { Gate } from './gate.ts';

/** Lanes above the limit that urgent requests may open. */
const URGENT_EXTRA = 8;

/** How a pool behaves. */
export interface PoolOptions {
  /** Opens a connection. */
  readonly open: () => Promise<Connection>;
  /** Largest number of lanes of each use that is limited; at least 1. */
  readonly maxConnections: number;
  /** Milliseconds an idle lane is kept. */
  readonly idleMs: number;
}

/**
 * What a lane is taken for. What waits for a job or for the caller must not keep others from what would end
 * that wait, so it has places of its own:
 *
 * - `answer`: the daemon answers by itself, soon.
 * - `download`, `upload`: goes as fast as the caller takes or gives.
 * - `wait`: until a job ends, prints or reads, or something happens; each is begun for something that is
 *   there, and without limit.
 */
export type LaneUse = 'answer' | 'download' | 'upload' | 'wait';

/** How one lane is asked for. */
export interface LaneRequest {
  /** Container named by the request. */
  readonly handle?: string | undefined;
  readonly isUrgent?: boolean;
  /** Default: `answer`. */
  readonly use?: LaneUse;
  /** Of a stream: the memory of an answer is used again as soon as the next one is asked for. */
  readonly isReused?: boolean;
  /** Leaves the queue with `ABORTED`. */
  readonly signal?: AbortSignal | undefined;
}

interface Lane {
  readonly connection: Connection;
  timer: NodeJS.Timeout | undefined;
}

/** See the file's head. */
export class ConnectionPool {
  readonly #options: PoolOptions;
  readonly #idle: Lane[] = [];
  readonly #open = new Set<Connection>();
  readonly #gates: Readonly<Record<LaneUse, Gate>>;
  readonly #keepers = new Map<string, Connection>();
  #home: Promise<Connection> | undefined;
  /** The home connection once it is open, to be asked synchronously. */
  #homeConnection: Connection | undefined;
  #isClosed = false;

  constructor(options: PoolOptions) {
    this.#options = options;
    const { maxConnections } = options;
    this.#gates = {
      answer: new Gate(maxConnections, URGENT_EXTRA),
      download: new Gate(maxConnections),
      upload: new Gate(maxConnections),
      wait: new Gate(Number.POSITIVE_INFINITY),
    };
  }

  /** Whether the home connection is open. */
  get isHomeAlive(): boolean {
    return this.#homeConnection?.isAlive ?? false;
  }

  /** Open connections, home included. */
  get size(): number {
    return this.#open.size;
  }

  /** The home connection; opened on first use and again after a loss. */
  home(): Promise<Connection> {
    if (this.#isClosed) return Promise.reject(sessionClosed());
    this.#home ??= this.#openHome();
    return this.#home;
  }

  /** Runs `task` with a connection of its own. */
  async use<T>(request: LaneRequest, task: (connection: Connection) => Promise<T>): Promise<T> {
    const lane = await this.acquire(request);
    try {
      return await task(lane.connection);
    } finally {
      lane.release();
    }
  }

  /** Takes a connection out of the pool until `release`, which is idempotent. Errors: `UNAVAILABLE`, `ABORTED`. */
  async acquire(request: LaneRequest): Promise<{ connection: Connection; release(): void }> {
    const gate = this.#gates[request.use ?? 'answer'];
    await gate.enter(request);
    try {
      const connection = await this.#idleOrNew(request.handle);
      if (request.handle !== undefined && !this.#keepers.has(request.handle))
        this.#keepers.set(request.handle, connection);
      let isOut = true;
      const release = (): void => {
        if (isOut) this.#release(connection, gate);
        isOut = false;
      };
      return { connection, release };
    } catch (error) {
      gate.leave();
      throw error;
    }
  }

  /** Home references `handle` from now on (it was created there). */
  keepAtHome(handle: string, home: Connection): void {
    this.#keepers.set(handle, home);
  }

  /** The container is gone: nobody has to keep a reference. */
  forget(handle: string): void {
    const keeper = this.#keepers.get(handle);
    this.#keepers.delete(handle);
    const lane = this.#idle.find((one) => one.connection === keeper);
    if (lane !== undefined) this.#startIdleTimer(lane);
  }

  /** Ends every connection; what waits is rejected with `UNAVAILABLE`. Idempotent. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const gate of Object.values(this.#gates)) gate.close(sessionClosed());
    for (const lane of this.#idle.splice(0)) clearTimeout(lane.timer);
    for (const connection of [...this.#open]) connection.destroy(sessionClosed());
  }

  async #openHome(): Promise<Connection> {
    try {
      const connection = await this.#connect();
      this.#homeConnection = connection;
      return connection;
    } catch (error) {
      this.#home = undefined;
      throw error;
    }
  }

  async #connect(): Promise<Connection> {
    const connection = await this.#options.open();
    if (this.#isClosed) {
      connection.destroy(sessionClosed());
      throw sessionClosed();
    }
    this.#open.add(connection);
    connection.onEnd = () => this.#ended(connection);
    return connection;
  }

  #ended(connection: Connection): void {
    this.#open.delete(connection);
    if (connection === this.#homeConnection) {
      this.#homeConnection = undefined;
      this.#home = undefined;
    }
    for (const [handle, keeper] of this.#keepers) {
      if (keeper === connection) this.#keepers.delete(handle);
    }
    const at = this.#idle.findIndex((lane) => lane.connection === connection);
    if (at >= 0) clearTimeout(this.#idle.splice(at, 1)[0]!.timer);
  }

  async #idleOrNew(handle: string | undefined): Promise<Connection> {
    // The keeper first (its reference is in place), else the one used last: the others get a chance to close.
    const keeper = handle === undefined ? undefined : this.#keepers.get(handle);
    const kept = this.#idle.findIndex((lane) => lane.connection === keeper);
    const [lane] = this.#idle.splice(kept >= 0 ? kept : -1, 1);
    if (lane === undefined) return this.#connect();
    clearTimeout(lane.timer);
    return lane.connection;
  }

  #release(connection: Connection, gate: Gate): void {
    if (connection.isAlive && connection.isIdle && !connection.isSpent && !this.#isClosed) {
      const lane: Lane = { connection, timer: undefined };
      this.#idle.push(lane);
      this.#startIdleTimer(lane);
    } else if (connection.isAlive) {
      connection.destroy(sessionClosed());
    }
    gate.leave();
  }

  #startIdleTimer(lane: Lane): void {
    clearTimeout(lane.timer);
    for (const keeper of this.#keepers.values()) if (keeper === lane.connection) return;
    lane.timer = setTimeout(() => lane.connection.destroy(sessionClosed()), this.#options.idleMs);
    // Neither an idle connection nor its timer may keep the program alive.
    lane.timer.unref();
  }
}

/** Of what was asked for, or waits, when a session is closed. */
export function sessionClosed(): WardenError {
  return new WardenError('UNAVAILABLE', 'the session is closed');
}
