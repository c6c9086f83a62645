import { encodeFrame, MessageType } from '@warden/protocol';
import { describe, expect, it } from 'vitest';
import { JOB_INFO, ProgrammableHost } from './programmable-host.ts';
import { failure, frame, pause, startServer, TestClient, until } from './test-client.ts';

const { Echo, List, Ping, Link, Run } = MessageType;
const text = (value: string): Uint8Array => new Uint8Array(Buffer.from(value));

/** Promises that a test settles by hand, one for each call. */
function gate(): {
  readonly wait: () => Promise<void>;
  readonly open: () => void;
  readonly waiting: () => number;
} {
  const waiters: (() => void)[] = [];
  return {
    wait: () => new Promise((resolve) => waiters.push(resolve)),
    open: () => waiters.shift()!(),
    waiting: () => waiters.length,
  };
}

const BUSY = 3;

/**
 * So many clients beside some that ask, from `ask` to `rest`, for more than the server can do, each time for
 * longer than a turn lasts.
 */
async function crowd(count: number) {
  let isBusy = true;
  const host = new ProgrammableHost({
    warden: {
      list: async () => [],
      ping: async () => {
        const end = performance.now() + 5;
        while (isBusy && performance.now() < end);
      },
    },
  });
  const { server, path } = await startServer(host);
  const connect = (number: number): Promise<TestClient[]> =>
    Promise.all(Array.from({ length: number }, () => TestClient.connect(path)));
  const [busy, clients] = [await connect(BUSY), await connect(count)];
  await until(() => server.connectionCount === BUSY + count, 'all of them');
  const ask = (): void => {
    for (const client of busy) for (let n = 0; n < 40; n++) client.send(Ping);
  };
  const rest = (): void => {
    isBusy = false;
  };
  return { host, server, clients, ask, rest };
}

describe('sessions', () => {
  it('opens one session for each connection and closes it with the connection', async () => {
    const host = new ProgrammableHost({ warden: { ping: async () => {} } });
    const { server, path } = await startServer(host);
    const first = await TestClient.connect(path);
    const second = await TestClient.connect(path);
    await first.ask(Ping);
    await first.ask(Ping);
    await second.ask(Ping);
    expect([host.openSessions, host.closedSessions, server.connectionCount]).toEqual([2, 0, 2]);
    first.socket.destroy();
    await until(() => host.closedSessions === 1, 'the end of the first session');
    await until(() => server.connectionCount === 1, 'one connection left');
    second.socket.end();
    await until(() => host.closedSessions === 2 && server.connectionCount === 0, 'the end of both');
  });
});

describe('order', () => {
  it('runs the requests of one connection one after another and answers in order', async () => {
    const { wait, open, waiting } = gate();
    const host = new ProgrammableHost({ warden: { ping: wait, echo: async (message) => message } });
    const { path } = await startServer(host);
    const client = await TestClient.connect(path);
    client.send(Ping);
    client.send(Echo, { message: text('a') });
    client.send(Ping);
    await until(() => waiting() === 1, 'the first ping');
    await pause(30);
    expect(host.calls.map(({ method }) => method)).toEqual(['ping']);
    open();
    await until(() => waiting() === 1, 'the second ping');
    open();
    expect([await client.next(), await client.next(), await client.next()].map(({ type }) => type)).toEqual([
      Ping,
      Echo,
      Ping,
    ]);
  });

  it('lets other connections run meanwhile', async () => {
    const { wait, open } = gate();
    const host = new ProgrammableHost({ warden: { ping: wait, list: async () => [] } });
    const { path } = await startServer(host);
    const slow = await TestClient.connect(path);
    const fast = await TestClient.connect(path);
    slow.send(Ping);
    expect((await fast.ask(List)).type).toBe(List);
    open();
    expect((await slow.next()).type).toBe(Ping);
  });

  it('accepts frames byte by byte and many in one write', async () => {
    const host = new ProgrammableHost({ warden: { echo: async (message) => message } });
    const { path } = await startServer(host);
    const client = await TestClient.connect(path);
    client.socket.setNoDelay(true);
    for (const byte of frame(Echo, { message: text('piecemeal') })) {
      client.write(Uint8Array.of(byte));
      await pause(1);
    }
    expect((await client.next()).payload.message).toEqual(text('piecemeal'));
    const count = 500;
    client.write(
      Buffer.concat(Array.from({ length: count }, (_, n) => frame(Echo, { message: text(`${n}`) }))),
    );
    for (let n = 0; n < count; n++) expect((await client.next()).payload.message).toEqual(text(`${n}`));
  });

  it.each([
    { what: '64 requests', size: 2000, from: 65 },
    { what: '8 MiB', size: 256 * 1024, from: 33 },
  ])('reads no more of the socket while over $what wait, and goes on afterwards', async ({ size, from }) => {
    const { wait, open, waiting } = gate();
    const host = new ProgrammableHost({ warden: { ping: wait, echo: async (message) => message } });
    const { path } = await startServer(host);
    const client = await TestClient.connect(path);
    client.send(Ping);
    await until(() => waiting() === 1, 'the ping');
    const count = Math.max(from * 2, Math.ceil((4 * 1024 * 1024) / (size + 20)));
    for (let n = 0; n < count; n++) client.send(Echo, { message: new Uint8Array(size) });
    await pause(150);
    // what the client could not hand to the kernel is what the server has not read
    expect(client.socket.writableLength).toBeGreaterThan(0);
    open();
    await client.next();
    for (let n = 0; n < count; n++) expect((await client.next()).type).toBe(Echo);
  });
});

describe('a client that disappears', () => {
  const aborted = (signal: AbortSignal): Promise<never> =>
    new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

  it.each(['Link', 'Run'] as const)('ends the wait of %s by its signal', async (name) => {
    let isAborted = false;
    const link = async (options?: { signal?: AbortSignal }): Promise<never> => {
      try {
        return await aborted(options!.signal!);
      } finally {
        isAborted = true;
      }
    };
    const spawn = async (): Promise<never> => ({ id: 1, link }) as never;
    const host = new ProgrammableHost({ job: { link }, container: { spawn } });
    const { path } = await startServer(host);
    const client = await TestClient.connect(path);
    if (name === 'Link') client.send(Link, { handle: 'h', job_id: 1 });
    else client.send(Run, { handle: 'h', script: text('x') });
    await until(() => host.calls.length === 1, 'the request');
    expect(isAborted).toBe(false);
    client.socket.destroy();
    await until(() => isAborted, 'the abort');
    await until(() => host.closedSessions === 1, 'the end of the session');
  });

  it('drops its queued requests but lets the running one go on', async () => {
    const { wait, open, waiting } = gate();
    let isFinished = false;
    const ping = async (): Promise<void> => {
      await wait();
      isFinished = true;
    };
    const host = new ProgrammableHost({ warden: { ping, list: async () => [] } });
    const { path } = await startServer(host);
    const client = await TestClient.connect(path);
    client.send(Ping);
    client.send(List);
    await until(() => waiting() === 1, 'the ping');
    client.socket.destroy();
    await until(() => host.closedSessions === 1, 'the end of the session');
    open();
    await until(() => isFinished, 'the end of the ping');
    await pause(20);
    expect(host.calls.map(({ method }) => method)).toEqual(['ping']);
  });

  it('has its one request begun, however much others ask meanwhile, and its session until then [protocol 6]', async () => {
    const { host, server, clients, ask, rest } = await crowd(10);
    ask();
    for (const client of clients) {
      client.send(List);
      client.socket.end();
      client.socket.destroy();
    }
    await until(() => host.closedSessions === clients.length, 'the end of those who left');
    rest();
    expect(host.calls.filter(({ method }) => method === 'list')).toHaveLength(clients.length);
    await until(() => server.connectionCount === BUSY, 'nobody of them left');
  });

  it('only for its own side has the answer, however much others ask meanwhile [protocol 1]', async () => {
    const { clients, ask, rest } = await crowd(10);
    ask();
    for (const client of clients) {
      client.send(List);
      client.socket.end();
    }
    const answers = await Promise.all(clients.map((client) => client.next()));
    rest();
    expect(answers.map(({ type }) => type)).toEqual(clients.map(() => List));
  });

  it.each(['reads it all', 'goes in the middle', 'is cut off'])(
    'is asked for a large result: it is taken once the kernel has it, and not when the client %s before',
    async (what) => {
      const outcomes: string[] = [];
      const asked: string[] = [];
      const host = new ProgrammableHost({
        warden: { ping: async () => void asked.push('ping') },
        job: {
          link: async (options) => {
            options!.taken!.then(
              () => outcomes.push('taken'),
              () => outcomes.push('kept'),
            );
            return {
              exitStatus: 0,
              stdout: new Uint8Array(8 << 20),
              stderr: new Uint8Array(),
              info: JOB_INFO,
            };
          },
        },
      });
      const { server, path } = await startServer(host);
      const client = await TestClient.connect(path);
      client.socket.pause();
      client.send(MessageType.Link, { handle: 'h', job_id: 1 });
      client.send(MessageType.Ping);
      await until(() => host.calls.length > 0, 'the link');
      await pause(100);
      // the next request is not asked for either, as it may be about the same job
      expect([outcomes, asked]).toEqual([[], []]);
      if (what === 'reads it all') {
        client.socket.resume();
        expect((await client.next()).payload.stdout).toHaveLength(8 << 20);
        await client.next();
        expect([outcomes, asked]).toEqual([['taken'], ['ping']]);
        return;
      }
      if (what === 'is cut off') await server.close();
      else client.socket.destroy();
      await until(() => outcomes.length > 0, 'the end');
      expect([outcomes, asked]).toEqual([['kept'], []]);
    },
  );

  it('in the middle of a large answer has its queue dropped and harms nobody else', async () => {
    const big = new Uint8Array(8 * 1024 * 1024);
    const host = new ProgrammableHost({ warden: { echo: async () => big, list: async () => [] } });
    const { server, path } = await startServer(host);
    for (let n = 0; n < 5; n++) {
      const client = await TestClient.connect(path);
      client.socket.pause();
      client.send(Echo, { message: text('') });
      client.send(List);
      await until(() => host.calls.length > n, 'the request');
      client.socket.destroy();
      await until(() => server.connectionCount === 0, 'the end of the connection');
    }
    expect(host.calls.map(({ method }) => method)).toEqual(Array.from({ length: 5 }, () => 'echo'));
    expect((await (await TestClient.connect(path)).ask(List)).type).toBe(List);
  });

  it('behind a broken frame still has its wait ended', async () => {
    let aborts = 0;
    const link = (options?: { signal?: AbortSignal }): Promise<never> =>
      new Promise((_resolve, reject) => {
        options!.signal!.addEventListener('abort', () => {
          aborts++;
          reject(options!.signal!.reason);
        });
      });
    const host = new ProgrammableHost({ job: { link } });
    const { path } = await startServer(host);
    const broken = await TestClient.connect(path);
    broken.send(Link, { handle: 'h', job_id: 1 });
    broken.write('abc\r\n');
    await until(() => host.calls.length === 1, 'the wait');
    await pause(100);
    expect(aborts).toBe(0);
    broken.socket.destroy();
    await until(() => aborts === 1, 'the abort');
  });
});

describe('broken framing', () => {
  it.each([
    ['letters as length', 'abc\r\n', 'length line'],
    ['an empty length line', '\r\n', 'empty'],
    ['a negative length', '-1\r\n', 'length line'],
    ['a blank before the length', ' 4\r\n', 'length line'],
    ['a line end without CR', '4\n', 'length line'],
    ['an endless length line', '1'.repeat(40), 'longer than 16 bytes'],
    ['a frame over the limit', '1000001\r\n', 'over the limit of 1000000 bytes'],
    ['a wrong trailer', '4\r\n\x08\x5b\x12\x00XX', 'trailer'],
  ])('%s: one error after the answers of earlier frames, then the end', async (_what, bytes, message) => {
    const host = new ProgrammableHost({ warden: { ping: () => pause(20) } });
    const { path } = await startServer(host, { maxFrameBytes: 1_000_000 });
    const client = await TestClient.connect(path);
    client.write(
      Buffer.concat([frame(Ping, {}), frame(Ping, {}), Buffer.from(bytes, 'latin1'), frame(Ping, {})]),
    );
    await client.ended();
    expect(client.answers.map(({ type }) => type)).toEqual([Ping, Ping, MessageType.Error]);
    const { message: sent, data } = failure(client.answers[2]!);
    expect(sent).toContain(message);
    expect(data).toEqual({ code: 'MALFORMED_REQUEST' });
    expect(host.calls).toHaveLength(2);
  });

  it('accepts a frame of exactly the limit', async () => {
    const host = new ProgrammableHost({ warden: { ping: async () => {} } });
    const { path } = await startServer(host, { maxFrameBytes: 4 });
    expect((await (await TestClient.connect(path)).ask(Ping)).type).toBe(Ping);
  });
});

describe('malformed messages', () => {
  const raw = (...bytes: number[]): Uint8Array => encodeFrame(Uint8Array.from(bytes));
  it.each([
    ['an empty message', raw(), /required/],
    ['bytes that are no message', raw(0xff, 0xff, 0xff), /./],
    ['an envelope without payload', raw(8, 91), /payload.*required|required.*payload/],
    ['an envelope without type', raw(18, 0), /type.*required|required.*type/],
    ['an unknown type', raw(8, 99, 18, 0), /^Unknown request type: 99$/],
    ['the type of errors', raw(8, 1, 18, 0), /^Unknown request type: 1$/],
    ['Echo without message', raw(8, 93, 18, 0), /message.*required|required.*message/],
    ['Spawn without script', raw(8, 21, 18, 3, 10, 1, 0x68), /script.*required|required.*script/],
    ['a payload cut off', raw(8, 93, 18, 2, 10, 9), /./],
    ['a wrong wire type', raw(8, 93, 18, 2, 8, 1), /message/],
  ])('%s: an error that names the fault, and the connection stays', async (_what, bytes, message) => {
    const host = new ProgrammableHost({ warden: { ping: async () => {} } });
    const { path } = await startServer(host);
    const client = await TestClient.connect(path);
    client.write(Buffer.concat([bytes, frame(Ping, {})]));
    const { message: sent, data } = failure(await client.next());
    expect(sent).toMatch(message);
    expect(data.code).toBe('MALFORMED_REQUEST');
    expect((await client.next()).type).toBe(Ping);
    expect(host.calls).toHaveLength(1);
  });

  it('skips fields it does not know', async () => {
    const host = new ProgrammableHost({ warden: { ping: async () => {} } });
    const { path } = await startServer(host);
    const client = await TestClient.connect(path);
    client.write(raw(8, 91, 18, 3, 0xf8, 0x06, 1));
    expect((await client.next()).type).toBe(Ping);
  });
});
