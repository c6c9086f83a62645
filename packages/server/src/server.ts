/** The server: accepts clients on a unix socket, gives each a session, and ends in one of two ways. */
import net from 'node:net';
import { type Logger, silentLogger, type Warden, WardenError, type WardenHost } from '@warden/interface';
import { encodeFrame, encodeMessage, MessageType } from '@warden/protocol';
import { ByteBudget } from './byte-budget.ts';
import { type RequestObserver, ServerConnection } from './connection.ts';
import { errorResponse } from './error-response.ts';
import { admit, type ClientPolicy, type Peer } from './peer.ts';
import { type KeptSocket, keepListeningAt, listenOn, requireFreePath } from './socket-file.ts';
import { Turns } from './turns.ts';

const DEFAULT_BUFFERED_BYTES = 256 * 1024 * 1024;
/** So many refused clients may take so long to read why. */
const MAX_LINGERING = 16;
const LINGER_MILLISECONDS = 1_000;
/** Refused clients are told of so often at most: they must not fill the log. */
const REFUSAL_LOG_MILLISECONDS = 1_000;

/** Options of {@link wardenServer}. */
export interface WardenServerOptions {
  /** Hands out one session per client. */
  readonly host: WardenHost;
  /** Where to listen. */
  readonly path: string;
  /** Permissions of the socket file; connecting needs write permission. Default 0660. */
  readonly mode?: number;
  /**
   * A listening unix socket that somebody else has opened, as a service manager does. It is used instead of
   * `path`, and nothing in the file system is made, changed or removed: who connects while no server listens
   * waits for the next one.
   */
  readonly descriptor?: number;
  readonly logger?: Logger;
  /** Largest message accepted. Default 64 MiB. */
  readonly maxFrameBytes?: number;
  /** Most clients at a time; whoever comes above it gets one error and is closed. Default: no limit. */
  readonly maxConnections?: number;
  /** Milliseconds a client may leave a frame it has begun unfinished. Default 60000. */
  readonly frameTimeoutMs?: number;
  /**
   * Bytes of requests that all clients together may have waiting; who sends more is told so and closed.
   * Default 256 MiB.
   */
  readonly maxBufferedBytes?: number;
  /**
   * Runs what is done for a request, whose id is unique in this process: for whoever wants to know later what
   * was done for which.
   */
  readonly enclose?: ((requestId: string, action: () => Promise<void>) => Promise<void>) | undefined;
  /** Is told of each request that was answered. */
  readonly observer?: RequestObserver | undefined;
  /**
   * Tells by a connection's descriptor who made it. With it the connections of one process count as one
   * client when turns are given.
   */
  readonly peerOf?: (descriptor: number) => Peer;
  /**
   * Who may stay; asked once for each connection, before anything of it is read. Needs `peerOf`: whom nobody
   * knows is refused.
   */
  readonly policy?: ClientPolicy | undefined;
}

/** A server. All methods are idempotent. */
export interface WardenServer {
  /** Clients connected now. */
  readonly connectionCount: number;
  /** Clients that were not admitted, since the server was made. */
  readonly refusedCount: number;
  /**
   * Starts accepting, also when somebody removes the socket meanwhile. Errors: `ALREADY_EXISTS` naming a path
   * in use, `INVALID_SPEC`, `NATIVE_FAILED`, after which it may be asked again; `BAD_STATE` of a server that has
   * been ended.
   */
  listen(): Promise<void>;
  /**
   * Accepts nobody any more, lets running requests finish but for those that only wait, which are cut off,
   * and answers when the last client is gone, or when `signal` has cut off those that were left. The socket
   * file stays, also after a `close` that follows: whoever connects is refused until the next daemon listens.
   */
  drain(signal?: AbortSignal): Promise<void>;
  /** Ends all connections at once and removes the socket. */
  close(): Promise<void>;
}

/** Makes a server that does not listen yet. */
export function wardenServer(options: WardenServerOptions): WardenServer {
  return new UnixSocketServer(options);
}

class UnixSocketServer implements WardenServer {
  readonly #options: WardenServerOptions;
  readonly #logger: Logger;
  readonly #server: net.Server;
  readonly #connections = new Set<ServerConnection>();
  readonly #turns = new Turns();
  readonly #budget: ByteBudget;
  #refused = 0;
  #refusedInAll = 0;
  #accepted = 0;
  #lingering = 0;
  #refusalsLogged = Number.NEGATIVE_INFINITY;
  #socket: KeptSocket | undefined;
  /** While it begins to listen. */
  #beginning: Promise<void> | undefined;
  #isListening = false;
  #stopped: Promise<void> | undefined;

  constructor(options: WardenServerOptions) {
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    this.#budget = new ByteBudget(options.maxBufferedBytes ?? DEFAULT_BUFFERED_BYTES);
    // the connections end their side themselves: when the client has ended its own, an answer may be on its way
    this.#server = net.createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  get refusedCount(): number {
    return this.#refusedInAll;
  }

  async listen(): Promise<void> {
    if (this.#stopped !== undefined)
      throw new WardenError('BAD_STATE', 'this server has been ended; make another one', {
        fields: { operation: 'listen' },
      });
    if (this.#isListening) return;
    this.#beginning ??= this.#listen().finally(() => {
      this.#beginning = undefined;
    });
    await this.#beginning;
  }

  async #listen(): Promise<void> {
    const { path, mode = 0o660, descriptor } = this.#options;
    if (descriptor === undefined) {
      await requireFreePath(path);
      this.#socket = await keepListeningAt(this.#server, path, { mode, logger: this.#logger });
    } else {
      await listenOn(this.#server, descriptor);
    }
    // running out of descriptors must not end the daemon
    this.#server.on('error', (error) => {
      if (this.#server.listening) this.#logger.error('accept-failed', { error });
    });
    this.#isListening = true;
  }

  async drain(signal?: AbortSignal): Promise<void> {
    // at once, if it can be; whoever has asked it to listen is told what comes of that
    if (this.#beginning !== undefined) await this.#beginning.catch(() => {});
    this.#stopped ??= this.#stop();
    for (const connection of this.#connections) connection.drain();
    const cutOff = (): void => {
      for (const connection of this.#connections) {
        this.#logger.warn('drain-cut-off', { request: connection.runningRequest });
        connection.destroy();
      }
    };
    if (signal?.aborted === true) cutOff();
    signal?.addEventListener('abort', cutOff, { once: true });
    await Promise.all([...this.#connections].map(({ ended }) => ended));
    signal?.removeEventListener('abort', cutOff);
    await this.#stopped;
  }

  async close(): Promise<void> {
    if (this.#beginning !== undefined) await this.#beginning.catch(() => {});
    this.#socket?.remove();
    this.#stopped ??= this.#stop();
    const stopped = this.#stopped;
    const connections = [...this.#connections];
    for (const connection of connections) connection.destroy();
    await Promise.all(connections.map(({ ended }) => ended));
    await stopped;
  }

  #accept(socket: net.Socket): void {
    let peer: Peer | undefined;
    let warden: Warden;
    try {
      peer = admit(socket, this.#options);
      this.#requireRoom();
      warden = this.#options.host.openSession();
    } catch (error) {
      this.#refuse(socket, error);
      return;
    }
    if (peer !== undefined) this.#logger.debug?.('connected', { peer });
    const connection = new ServerConnection({
      socket,
      warden,
      logger: this.#logger,
      maxFrameBytes: this.#options.maxFrameBytes,
      frameTimeoutMs: this.#options.frameTimeoutMs,
      turns: this.#turns,
      client: peer?.pid || socket,
      budget: this.#budget.open(),
      observer: this.#options.observer,
      name: `c${++this.#accepted}`,
      enclose: this.#options.enclose,
    });
    this.#connections.add(connection);
    void connection.ended.then(() => this.#connections.delete(connection));
  }

  #requireRoom(): void {
    const { maxConnections: limit = Number.POSITIVE_INFINITY } = this.#options;
    if (this.#connections.size < limit) return;
    throw new WardenError(
      'UNAVAILABLE',
      `too many connections: ${limit} of ${limit}; close some, or raise server.max_connections`,
      { fields: { operation: 'connect', used: limit, limit } },
    );
  }

  /** Tells a client why it cannot stay. The others, and the descriptors their requests need, are not touched. */
  #refuse(socket: net.Socket, error: unknown): void {
    this.#refused++;
    this.#refusedInAll++;
    const now = performance.now();
    if (now - this.#refusalsLogged >= REFUSAL_LOG_MILLISECONDS) {
      this.#refusalsLogged = now;
      this.#logger.warn('connection-refused', { error, count: this.#refused });
      this.#refused = 0;
    }
    socket.on('error', () => {});
    const answer = encodeFrame(encodeMessage(MessageType.Error, errorResponse(error), 'response'));
    if (this.#lingering >= MAX_LINGERING) {
      // Not even until the next round of the loop: hundreds can come at once, and the descriptors are needed for work.
      socket.write(answer, () => socket.destroy());
      return;
    }
    // Whoever has sent a request already would lose the answer by a reset: what they send is read, and thrown away.
    this.#lingering++;
    const timer = setTimeout(() => socket.destroy(), LINGER_MILLISECONDS);
    socket.once('close', () => {
      clearTimeout(timer);
      this.#lingering--;
    });
    socket.resume();
    socket.end(answer);
  }

  /** Stops accepting; resolves when the last connection is gone. */
  #stop(): Promise<void> {
    this.#socket?.leave();
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
    });
  }
}
