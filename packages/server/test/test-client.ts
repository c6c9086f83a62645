/** A server on a socket of its own in a fresh directory, and a client that sees every byte. */
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import type { WardenHost } from '@warden/interface';
import { decodeMessage, encodeFrame, encodeMessage, FrameDecoder, MessageType } from '@warden/protocol';
import { afterEach } from 'vitest';
import { type WardenServer, type WardenServerOptions, wardenServer } from '../src/index.ts';

export interface Answer {
  readonly type: number;
  // biome-ignore lint/suspicious/noExplicitAny: the tests name the fields they expect
  readonly payload: any;
}

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A directory that is removed after the test. */
export function freshDirectory(): string {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-server-'));
  cleanups.push(() => fs.rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Starts a server that is closed after the test. */
export async function startServer(
  host: WardenHost,
  options: Partial<WardenServerOptions> = {},
): Promise<{ readonly server: WardenServer; readonly path: string }> {
  const socketPath = options.path ?? path.join(freshDirectory(), 'warden.sock');
  const server = wardenServer({ host, path: socketPath, ...options });
  cleanups.push(() => server.close());
  await server.listen();
  return { server, path: socketPath };
}

/** Resolves when `condition` holds. Fails after twenty seconds. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`never happened: ${what}`);
    await pause(5);
  }
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

export function frame(type: number, payload: object): Uint8Array {
  return encodeFrame(encodeMessage(type, payload));
}

export class TestClient {
  readonly socket: net.Socket;
  readonly answers: Answer[] = [];
  isEnded = false;
  readonly #decoder = new FrameDecoder();
  #taken = 0;

  constructor(socketPath: string) {
    this.socket = net.connect(socketPath);
    this.socket.on('data', (chunk) => {
      for (const bytes of this.#decoder.push(chunk)) this.answers.push(decodeMessage(bytes, 'response'));
    });
    this.socket.on('end', () => {
      this.isEnded = true;
    });
    // a server that closes with unread input resets the connection
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.isEnded = true;
    });
    cleanups.push(() => this.socket.destroy());
  }

  static async connect(socketPath: string): Promise<TestClient> {
    const client = new TestClient(socketPath);
    await once(client.socket, 'connect');
    return client;
  }

  write(bytes: Uint8Array | string): void {
    this.socket.write(bytes);
  }

  send(type: number, payload: object = {}): void {
    this.write(frame(type, payload));
  }

  /** The next answer, in order. */
  async next(): Promise<Answer> {
    await until(() => this.answers.length > this.#taken || this.isEnded, 'an answer');
    const answer = this.answers[this.#taken++];
    if (answer === undefined) throw new Error('the connection ended without an answer');
    return answer;
  }

  async ask(type: number, payload: object = {}): Promise<Answer> {
    this.send(type, payload);
    return this.next();
  }

  /** As {@link ask} for a request that must fail: the answer's text and its facts. */
  async fail(
    type: number,
    payload: object = {},
  ): Promise<{ message: string; data: Record<string, unknown> }> {
    return failure(await this.ask(type, payload));
  }

  async ended(): Promise<void> {
    await until(() => this.isEnded, 'the end of the connection');
  }
}

export function failure(answer: Answer): { message: string; data: Record<string, unknown> } {
  if (answer.type !== MessageType.Error)
    throw new Error(`an answer of type ${answer.type} instead of an error`);
  return { message: answer.payload.message, data: JSON.parse(answer.payload.data) };
}
