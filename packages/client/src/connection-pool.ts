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
 * destroyed or the session closed. What is left or given up ends its connection, so a keeper serves only
 * requests that nobody leaves.
 */
import { WardenError } from '@warden/interface';
import { MessageType } from '@warden/protocol';
import type { Connection } from './connection.ts';
import { Gate } from './gate.ts';

/** Lanes above the limit that urgent requests may open. */
const URGENT_EXTRA = 8;
/**
 * Files of one container that are read at a time, and that are written: a daemon refuses more than 24, those that
 * are watched included.
 */
const FILES_AT_ONCE = 10;
/**
 * Handles of which it is remembered that home references them. Of one that is forgotten the next lane that names
 * it becomes the keeper, which is no harm; somebody else may have destroyed it long since.
 */
const MOST_AT_HOME = 10_000;

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
  /** Of containers whose files are read or written now. */
  readonly #fileGates = new Map<string, Gate>();
  /** By handle; and the same by connection, of those that keep something. */
  readonly #keepers = new Map<string, Connection>();
  readonly #kept = new Map<Connection, Set<string>>();
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
  async home(): Promise<Connection> {
    if (this.#isClosed) throw sessionClosed();
    this.#home ??= this.#openHome();
    const home = await this.#home;
    if (!home.isSpent) return home;
    // behind a frame that it could not read a daemon closes; behind a message that it did not understand it goes on
    await home.request(MessageType.Ping, {}).then(
      () => {
        home.isSpent = false;
      },
      (error) => home.destroy(error),
    );
    return this.home();
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
    const leave = await this.#enterFiles(request);
    try {
      const { connection, release } = await this.#acquire(request);
      return {
        connection,
        release: () => {
          release();
          leave();
        },
      };
    } catch (error) {
      leave();
      throw error;
    }
  }

  /** Waits for a place among those who read, or write, files of the same container. Answers how to leave, once. */
  async #enterFiles({ handle, use, signal }: LaneRequest): Promise<() => void> {
    if (handle === undefined || (use !== 'download' && use !== 'upload')) return () => {};
    const key = `${use} ${handle}`;
    const gate = this.#fileGates.get(key) ?? new Gate(FILES_AT_ONCE);
    this.#fileGates.set(key, gate);
    const tidy = (): void => {
      if (gate.isEmpty && this.#fileGates.get(key) === gate) this.#fileGates.delete(key);
    };
    try {
      const leave = await gate.enter({ signal });
      return () => {
        leave();
        tidy();
      };
    } catch (error) {
      tidy();
      throw error;
    }
  }

  async #acquire(request: LaneRequest): Promise<{ connection: Connection; release(): void }> {
    const leave = await this.#gates[request.use ?? 'answer'].enter(request);
    try {
      const connection = await this.#idleOrNew(request);
      if (request.handle !== undefined && !this.#keepers.has(request.handle))
        this.#keep(request.handle, connection);
      // who is let in by that looks for a lane a turn later
      const release = (): void => {
        if (leave()) this.#release(connection);
      };
      return { connection, release };
    } catch (error) {
      leave();
      throw error;
    }
  }

  /** Home references `handle` from now on (it was created there). */
  keepAtHome(handle: string, home: Connection): void {
    this.#letGo(handle);
    if (!home.isAlive) return;
    const kept = this.#keep(handle, home);
    const [oldest] = kept;
    if (kept.size > MOST_AT_HOME) this.#letGo(oldest!);
  }

  /** The container is gone: nobody has to keep a reference. */
  forget(handle: string): void {
    const keeper = this.#letGo(handle);
    const lane = this.#idle.find((one) => one.connection === keeper);
    if (lane !== undefined) this.#startIdleTimer(lane);
  }

  /** Ends every connection; what waits is rejected with `UNAVAILABLE`. Idempotent. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const gate of [...this.#fileGates.values(), ...Object.values(this.#gates)])
      gate.close(sessionClosed());
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
    for (const handle of this.#kept.get(connection) ?? []) this.#keepers.delete(handle);
    this.#kept.delete(connection);
    const at = this.#idle.findIndex((lane) => lane.connection === connection);
    if (at >= 0) clearTimeout(this.#idle.splice(at, 1)[0]!.timer);
  }

  /**
   * Of those that nobody leaves: the keeper first (its reference is in place). Else the one used last: the others
   * get a chance to close.
   */
  async #idleOrNew({ handle, use = 'answer' }: LaneRequest): Promise<Connection> {
    const keeper = handle === undefined ? undefined : this.#keepers.get(handle);
    const isFit =
      use === 'answer'
        ? ({ connection }: Lane) => connection === keeper
        : ({ connection }: Lane) => !this.#kept.has(connection);
    const fit = this.#idle.findLastIndex(isFit);
    if (fit < 0 && use !== 'answer') return this.#connect();
    const [lane] = this.#idle.splice(fit, 1);
    if (lane === undefined) return this.#connect();
    clearTimeout(lane.timer);
    return lane.connection;
  }

  /** Answers all that it keeps. */
  #keep(handle: string, connection: Connection): ReadonlySet<string> {
    const kept = this.#kept.get(connection) ?? new Set();
    this.#kept.set(connection, kept);
    this.#keepers.set(handle, connection);
    return kept.add(handle);
  }

  /** Answers who has kept it. */
  #letGo(handle: string): Connection | undefined {
    const keeper = this.#keepers.get(handle);
    if (keeper === undefined) return undefined;
    this.#keepers.delete(handle);
    const kept = this.#kept.get(keeper);
    kept?.delete(handle);
    if (kept?.size === 0) this.#kept.delete(keeper);
    return keeper;
  }

  #release(connection: Connection): void {
    if (connection.isAlive && connection.isIdle && !connection.isSpent && !this.#isClosed) {
      const lane: Lane = { connection, timer: undefined };
      this.#idle.push(lane);
      this.#startIdleTimer(lane);
    } else if (connection.isAlive) {
      connection.destroy(sessionClosed());
    }
  }

  #startIdleTimer(lane: Lane): void {
    clearTimeout(lane.timer);
    if (this.#kept.has(lane.connection)) return;
    lane.timer = setTimeout(() => lane.connection.destroy(sessionClosed()), this.#options.idleMs);
    // Neither an idle connection nor its timer may keep the program alive.
    lane.timer.unref();
  }
}

/** Of what was asked for, or waits, when a session is closed. */
export function sessionClosed(): WardenError {
  return new WardenError('UNAVAILABLE', 'the session is closed');
}
