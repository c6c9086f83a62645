/** The server: accepts clients on a unix socket, gives each a session, and ends in one of two ways. */
import fs from 'node:fs';
import net from 'node:net';
import { type Logger, silentLogger, type WardenHost } from '@warden/interface';
import { ServerConnection } from './connection.ts';
import { listenAt, removeSocket, requireFreePath } from './socket-file.ts';

/** Options of {@link wardenServer}. */
export interface WardenServerOptions {
  /** Hands out one session per client. */
  readonly host: WardenHost;
  /** Where to listen. */
  readonly path: string;
  /** Permissions of the socket file; connecting needs write permission. Default 0660. */
  readonly mode?: number;
  readonly logger?: Logger;
  /** Largest message accepted. Default 64 MiB. */
  readonly maxFrameBytes?: number;
}

/** A server. All methods are idempotent. */
export interface WardenServer {
  /** Clients connected now. */
  readonly connectionCount: number;
  /** Starts accepting. Errors: `ALREADY_EXISTS` naming a path in use, `INVALID_SPEC`, `NATIVE_FAILED`. */
  listen(): Promise<void>;
  /**
   * Accepts nobody any more, lets running requests finish, and answers when the last client is gone, or when `signal` has cut off those
   * that were left. The socket file stays, also after a `close` that follows: whoever connects is refused until the next daemon listens.
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
  #inode: number | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: WardenServerOptions) {
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    this.#server = net.createServer((socket) => this.#accept(socket));
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  async listen(): Promise<void> {
    const { path, mode = 0o660 } = this.#options;
    await requireFreePath(path);
    await listenAt(this.#server, path, mode);
    this.#inode = fs.lstatSync(path).ino;
    // running out of descriptors must not end the daemon
    this.#server.on('error', (error) => this.#logger.error('accept-failed', { error }));
  }

  async drain(signal?: AbortSignal): Promise<void> {
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
    if (!this.#stopped) removeSocket(this.#options.path, this.#inode);
    this.#stopped ??= this.#stop();
    const stopped = this.#stopped;
    const connections = [...this.#connections];
    for (const connection of connections) connection.destroy();
    await Promise.all(connections.map(({ ended }) => ended));
    await stopped;
  }

  #accept(socket: net.Socket): void {
    const connection = new ServerConnection({
      socket,
      warden: this.#options.host.openSession(),
      logger: this.#logger,
      maxFrameBytes: this.#options.maxFrameBytes,
    });
    this.#connections.add(connection);
    void connection.ended.then(() => this.#connections.delete(connection));
  }

  /** Stops accepting; resolves when the last connection is gone. */
  #stop(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
    });
  }
}
