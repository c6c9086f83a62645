import { once } from 'node:events';
import net from 'node:net';
import { Worker } from 'node:worker_threads';
import { type LogFields, type Logger, silentLogger } from '@warden/interface';
import { MessageType } from '@warden/protocol';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ProgrammableHost } from './programmable-host.ts';
import { failure, frame, pause, startServer, TestClient, until } from './test-client.ts';

const { Echo, Ping, List } = MessageType;
const text = (value: string): Uint8Array => new Uint8Array(Buffer.from(value));

describe('the number of connections', () => {
  afterEach(() => vi.restoreAllMocks());

  it('is bounded: one too many is told so and closed, the others go on [behaviour 20.3]', async () => {
    const host = new ProgrammableHost({ warden: { ping: async () => {} } });
    const { server, path } = await startServer(host, { maxConnections: 2 });
    const first = await TestClient.connect(path);
    const second = await TestClient.connect(path);
    await first.ask(Ping);
    await second.ask(Ping);
    const third = await TestClient.connect(path);
    await third.ended();
    expect(third.answers).toHaveLength(1);
    const { message, data } = failure(third.answers[0]!);
    expect(message).toContain('too many connections: 2 of 2');
    expect(data).toMatchObject({ code: 'UNAVAILABLE', limit: 2 });
    expect([host.openSessions, server.connectionCount]).toEqual([2, 2]);
    expect((await first.ask(Ping)).type).toBe(Ping);
    first.socket.destroy();
    await until(() => server.connectionCount === 1, 'a free place');
    expect((await (await TestClient.connect(path)).ask(Ping)).type).toBe(Ping);
  });

  it('leaves sixteen of those who are too many a second in which to send, and then others', async () => {
    const LINGERING = 16;
    const timers = vi.spyOn(globalThis, 'setTimeout');
    const { path } = await startServer(new ProgrammableHost({}), { maxConnections: 0 });
    /** Clients that keep their side open behind the answer. */
    const refused = async (count: number): Promise<{ readonly sockets: net.Socket[]; gone: number }> => {
      const sockets = Array.from({ length: count }, () => net.connect({ path, allowHalfOpen: true }));
      const clients = { sockets, gone: 0 };
      for (const socket of sockets) {
        socket.resume().on('error', () => {});
        socket.once('close', () => clients.gone++);
      }
      await Promise.all(sockets.map((socket) => once(socket, 'end')));
      return clients;
    };
    const first = await refused(LINGERING + 4);
    for (const socket of first.sockets) socket.write('x');
    await until(() => first.gone === 4, 'the end of those for whom there is no place');
    expect(first.sockets.slice(0, LINGERING).filter(({ destroyed }) => destroyed)).toEqual([]);
    for (const [expire, milliseconds] of timers.mock.calls)
      if (milliseconds === 1_000) (expire as () => void)();
    await until(() => {
      for (const socket of first.sockets) socket.write('x');
      return first.gone === LINGERING + 4;
    }, 'the end of their second');
    const second = await refused(LINGERING);
    await pause(20);
    for (const socket of second.sockets) socket.write('x');
    await pause(20);
    expect(second.gone).toBe(0);
    for (const socket of second.sockets) socket.destroy();
  });

  it('comes back after a storm of clients that do not read', async () => {
    const host = new ProgrammableHost({ warden: { ping: async () => {} } });
    const { server, path } = await startServer(host, { maxConnections: 50 });
    const old = await TestClient.connect(path);
    await old.ask(Ping);
    const storm = await Promise.all(
      Array.from({ length: 400 }, async () => {
        const client = await TestClient.connect(path);
        client.socket.pause();
        return client;
      }),
    );
    await until(() => server.connectionCount === 50, 'the limit');
    expect((await old.ask(Ping)).type).toBe(Ping);
    for (const client of storm) client.socket.destroy();
    await until(() => server.connectionCount === 1, 'the end of the storm');
    expect((await (await TestClient.connect(path)).ask(Ping)).type).toBe(Ping);
  });
});

describe('a frame over the limit', () => {
  /** Writes it all, then reads to the end, in a thread of its own, as a client does that waits for neither. */
  const CLIENT = `
    const { parentPort, workerData: { path, bytes } } = require('node:worker_threads');
    const client = require('node:net').connect(path);
    let answer = '';
    client.on('data', (chunk) => (answer += chunk.toString('latin1')));
    client.on('error', ({ code }) => parentPort.postMessage({ code, answer }));
    client.on('end', () => parentPort.postMessage({ answer }));
    client.write(bytes + '\\r\\n');
    client.write(Buffer.alloc(bytes, 'x'));`;

  it('is refused so that whoever is still writing it reads why', async () => {
    const { server, path } = await startServer(new ProgrammableHost({}), { maxFrameBytes: 1 << 20 });
    const bytes = 32 << 20;
    for (let tries = 0; tries < 5; tries++) {
      const thread = new Worker(CLIENT, { eval: true, workerData: { path, bytes } });
      const [said] = (await once(thread, 'message')) as [{ code?: string; answer: string }];
      expect(said).toEqual({
        answer: expect.stringContaining(`a frame of ${bytes} bytes is over the limit`),
      });
      await thread.terminate();
    }
    await until(() => server.connectionCount === 0, 'the end of the connections');
  });

  it('ends the connection also of a client that goes on and does not close', async () => {
    const timers = vi.spyOn(globalThis, 'setTimeout');
    try {
      const { server, path } = await startServer(new ProgrammableHost({}), { maxFrameBytes: 10 });
      const client = net.connect({ path, allowHalfOpen: true });
      client.resume().on('error', () => {});
      client.write('11\r\n');
      await once(client, 'end');
      await pause(20);
      expect(server.connectionCount).toBe(1);
      const [expire] = timers.mock.calls.find(([, milliseconds]) => milliseconds === 5_000)!;
      (expire as () => void)();
      await until(() => server.connectionCount === 0, 'the end of the connection');
    } finally {
      timers.mockRestore();
    }
  });
});

describe('a frame that is begun and not finished', () => {
  const options = { frameTimeoutMs: 150 };
  it.each([
    ['in its length line', Buffer.from('1')],
    ['behind its length line', Buffer.from('10\r\n')],
    ['in its body', Buffer.from('10\r\nabc')],
    ['before its trailer', Buffer.from('4\r\n\x08\x5b\x12\x00', 'latin1')],
  ])('%s ends the connection with one error [protocol 2.1]', async (_where, bytes) => {
    const host = new ProgrammableHost({ warden: { ping: async () => {} } });
    const { path } = await startServer(host, options);
    const client = await TestClient.connect(path);
    client.write(Buffer.concat([frame(Ping, {}), bytes]));
    await client.ended();
    expect(client.answers.map(({ type }) => type)).toEqual([Ping, MessageType.Error]);
    const { message, data } = failure(client.answers[1]!);
    expect(message).toBe('a frame was begun and not continued within 0.15 s');
    expect(data).toEqual({ code: 'MALFORMED_REQUEST' });
  });

  it('byte by byte does not make a length line last', async () => {
    const { path } = await startServer(new ProgrammableHost({}), options);
    const client = await TestClient.connect(path);
    let sent = 0;
    for (; sent < 12 && !client.isEnded; sent++) {
      client.write('1');
      await pause(50);
    }
    // in the middle of them, and not because they ended
    expect(sent).toBeLessThan(12);
    await client.ended();
    expect(failure(client.answers[0]!).message).toContain('not continued');
  });

  it('is another one each time: a stream whose pieces all end in a length line goes on', async () => {
    const host = new ProgrammableHost({ warden: { ping: async () => {} } });
    const { path } = await startServer(host, { frameTimeoutMs: 1_500 });
    const client = await TestClient.connect(path);
    const ping = frame(Ping, {});
    client.write(ping.subarray(0, 1));
    for (let n = 0; n < 8; n++) {
      await pause(250);
      client.write(Buffer.concat([ping.subarray(1), ping.subarray(0, 1)]));
      expect((await client.next()).type).toBe(Ping);
    }
  });

  it('may be slow in its body as long as it goes on', async () => {
    const host = new ProgrammableHost({ warden: { echo: async (message) => message } });
    const { path } = await startServer(host, { frameTimeoutMs: 2_000 });
    const client = await TestClient.connect(path);
    const bytes = frame(Echo, { message: text('x'.repeat(40)) });
    for (let at = 0; at < bytes.length; at += 8) {
      client.write(bytes.subarray(at, at + 8));
      await pause(400);
    }
    expect((await client.next()).payload.message).toHaveLength(40);
  });

  it('is not the rest of a pooled connection between two frames [protocol 1]', async () => {
    const host = new ProgrammableHost({ warden: { ping: async () => {} } });
    const { path } = await startServer(host, options);
    const fresh = await TestClient.connect(path);
    const used = await TestClient.connect(path);
    await used.ask(Ping);
    await pause(500);
    expect((await used.ask(Ping)).type).toBe(Ping);
    expect((await fresh.ask(Ping)).type).toBe(Ping);
  });

  it('is not what this side does not read while its queue is full', async () => {
    let open = (): void => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const host = new ProgrammableHost({
      warden: { ping: () => gate, echo: async (message) => message },
    });
    const { path } = await startServer(host, options);
    const client = await TestClient.connect(path);
    client.send(Ping);
    const count = 60;
    for (let n = 0; n < count; n++) client.send(Echo, { message: new Uint8Array(256 * 1024) });
    await pause(600);
    expect(client.isEnded).toBe(false);
    open();
    expect((await client.next()).type).toBe(Ping);
    for (let n = 0; n < count; n++) expect((await client.next()).type).toBe(Echo);
  });
});

describe('a defect of the daemon', () => {
  it('is answered without its text and logged with it [protocol 7]', async () => {
    const lines: [string, LogFields | undefined][] = [];
    const logger: Logger = { ...silentLogger, error: (event, fields) => lines.push([event, fields]) };
    const host = new ProgrammableHost({
      warden: {
        ping: async () => {
          (undefined as never as { secret(): void }).secret();
        },
        list: async () => [],
      },
    });
    const { path } = await startServer(host, { logger });
    const client = await TestClient.connect(path);
    expect(await client.fail(Ping)).toEqual({
      message: "internal error; the daemon's log has the details",
      data: { code: 'INTERNAL' },
    });
    expect((await client.ask(List)).type).toBe(List);
    expect(lines).toHaveLength(1);
    expect(lines[0]![0]).toBe('request-defect');
    expect(String(lines[0]![1]?.error)).toContain('secret');
  });
});
