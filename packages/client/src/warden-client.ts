/** One session with a daemon over its socket. */
import type { CreateSpec, Warden } from '@warden/interface';
import {
  type CreateResponse,
  type EchoResponse,
  type ListResponse,
  MessageType,
  type StreamResponse,
} from '@warden/protocol';
import { isStreamEnd } from './answer-values.ts';
import { ClientContainer } from './client-container.ts';
import { Connection } from './connection.ts';
import { ConnectionPool } from './connection-pool.ts';
import { type DialOptions, dial } from './dial.ts';
import { Session } from './session.ts';
import { createRequest } from './spec-messages.ts';

/** How to reach a daemon. */
export interface ConnectOptions extends DialOptions {
  /**
   * Largest number of connections for concurrent requests, besides the one that holds the session; default
   * 32.
   */
  readonly maxConnections?: number;
  /** Milliseconds an idle connection is kept; default 10000. */
  readonly idleTimeoutMs?: number;
}

const DEFAULT_MAX_CONNECTIONS = 32;
const DEFAULT_IDLE_TIMEOUT_MS = 10_000;

/**
 * Connects to a daemon. Errors: `UNAVAILABLE` (nobody listens), `TIMEOUT`, `ABORTED` (the signal ends only
 * the attempt to connect).
 *
 * @example
 * await using warden = await connect({ path: '/tmp/warden.sock' });
 * await using box = await warden.create();
 * const { stdoutText } = await box.run('echo hello', { timeoutMs: 5000 });
 */
export async function connect(options: ConnectOptions): Promise<WardenClient> {
  const { maxConnections = DEFAULT_MAX_CONNECTIONS, idleTimeoutMs = DEFAULT_IDLE_TIMEOUT_MS } = options;
  if (!(maxConnections >= 1)) throw new TypeError(`maxConnections must be at least 1, got ${maxConnections}`);
  // The signal belongs to this call; connections opened later are bounded by their time limit alone.
  let signal = options.signal;
  const open = async (): Promise<Connection> => new Connection(await dial({ ...options, signal }));
  const pool = new ConnectionPool({ open, maxConnections, idleMs: idleTimeoutMs });
  await pool.home();
  signal = undefined;
  return new WardenClient(new Session(pool));
}

/**
 * The {@link Warden} of a remote daemon. Lost connections reject what waits on them with `UNAVAILABLE`; the
 * next request dials again. Made by {@link connect}.
 */
export class WardenClient implements Warden {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Whether the connection that holds the session's references is open. */
  get isConnected(): boolean {
    return this.#session.pool.isHomeAlive;
  }

  // Questions about the daemon itself use the session's own connection: each further one would reference every
  // container that exists when it is opened (the daemon's rule), and asking for a list must keep none alive.

  /** See {@link Warden.ping}. */
  async ping(): Promise<void> {
    await this.request(MessageType.Ping, {});
  }

  /** See {@link Warden.echo}. */
  async echo(message: Uint8Array): Promise<Uint8Array> {
    return ((await this.request(MessageType.Echo, { message })) as EchoResponse).message;
  }

  /** See {@link Warden.list}. */
  async list(): Promise<readonly string[]> {
    return ((await this.request(MessageType.List, {})) as ListResponse).handles ?? [];
  }

  /** See {@link Warden.create}. Creates of one session are worked off one after another by the daemon. */
  async create(spec: CreateSpec = {}): Promise<ClientContainer> {
    const home = await this.#session.pool.home();
    const { handle } = await home.request<CreateResponse>(MessageType.Create, createRequest(spec));
    this.#session.pool.keepAtHome(handle, home);
    return this.container(handle);
  }

  /** See {@link Warden.container}. */
  container(handle: string): ClientContainer {
    return new ClientContainer(this.#session, handle);
  }

  /**
   * Low level: sends one message on the session's own connection, strictly in order with the others sent this
   * way, and gives the answer's message (property names as on the wire). For tools that are generated from
   * the protocol tables. An aborted `signal` gives the connection up, and with it the session's references.
   */
  async request(type: number, value: object, signal?: AbortSignal): Promise<object> {
    const home = await this.#session.pool.home();
    return home.request(type, value, signal);
  }

  /** Low level: as {@link request} for a Stream request; the final answer is the return value. */
  async *requestStream(
    value: object,
    signal?: AbortSignal,
  ): AsyncGenerator<StreamResponse, StreamResponse, undefined> {
    const home = await this.#session.pool.home();
    return yield* home.stream<StreamResponse>(MessageType.Stream, value, isStreamEnd, signal);
  }

  /** See {@link Warden.close}. What still waits is rejected with `UNAVAILABLE`; the daemon finishes it. */
  async close(): Promise<void> {
    this.#session.pool.close();
  }

  /** As {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
