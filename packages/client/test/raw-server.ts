/** A scripted daemon that speaks frames over a unix socket, for tests. */
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { decodeMessage, encodeFrame, encodeMessage, FrameDecoder, MessageType } from '@warden/protocol';

/** A request as it arrived. */
export interface Arrived {
  readonly type: number;
  readonly payload: Record<string, unknown>;
  /** Number of the connection, from 1. */
  readonly connection: number;
  readonly socket: net.Socket;
  /** Answers with the request's own type. */
  reply(value?: object): void;
  /** Answers with an error. */
  refuse(message: string, data?: object | string): void;
}

export type Handler = (request: Arrived) => void | Promise<void>;

export class RawServer implements AsyncDisposable {
  readonly path: string;
  readonly requests: Arrived[] = [];
  readonly sockets = new Map<number, net.Socket>();
  /** Bytes per write of an answer. */
  chunk = Number.POSITIVE_INFINITY;
  accepted = 0;
  readonly #directory: string;
  readonly #server: net.Server;
  handler: Handler;

  private constructor(handler: Handler) {
    this.handler = handler;
    this.#directory = mkdtempSync(path.join(os.tmpdir(), 'warden-client-'));
    this.path = path.join(this.#directory, 'sock');
    this.#server = net.createServer((socket) => this.#accept(socket));
  }

  static async start(handler: Handler): Promise<RawServer> {
    const server = new RawServer(handler);
    await new Promise<void>((resolve) => server.#server.listen(server.path, resolve));
    return server;
  }

  get open(): number {
    return this.sockets.size;
  }

  count(type: number): number {
    return this.requests.filter((request) => request.type === type).length;
  }

  dropAll(): void {
    for (const socket of this.sockets.values()) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.dropAll();
    await new Promise((resolve) => this.#server.close(resolve));
    rmSync(this.#directory, { recursive: true });
  }

  #accept(socket: net.Socket): void {
    this.accepted += 1;
    const connection = this.accepted;
    this.sockets.set(connection, socket);
    socket.on('close', () => this.sockets.delete(connection));
    socket.on('error', () => undefined);
    const decoder = new FrameDecoder();
    // As the real one: a connection's requests strictly one after another.
    let last: Promise<void> = Promise.resolve();
    socket.on('data', (data) => {
      for (const frame of decoder.push(data)) {
        const arrived = this.#arrived(frame, connection, socket);
        this.requests.push(arrived);
        last = last.then(() => this.handler(arrived));
      }
    });
  }

  #arrived(frame: Uint8Array, connection: number, socket: net.Socket): Arrived {
    const { type, payload } = decodeMessage(frame, 'request');
    return {
      type,
      payload: payload as Record<string, unknown>,
      connection,
      socket,
      reply: (value = {}) => this.#write(socket, type, value),
      refuse: (message, data) => {
        const text = typeof data === 'object' ? JSON.stringify(data) : data;
        this.#write(socket, MessageType.Error, text === undefined ? { message } : { message, data: text });
      },
    };
  }

  #write(socket: net.Socket, type: number, value: object): void {
    const frame = encodeFrame(encodeMessage(type, value, 'response'));
    for (let at = 0; at < frame.length; at += this.chunk) socket.write(frame.subarray(at, at + this.chunk));
  }
}

/** Waits until `condition` holds. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`timed out waiting until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
