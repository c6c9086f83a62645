/**
 * One connection without the server around it: what it is given can be held back, and what it leaves behind
 * be counted.
 */
import { once } from 'node:events';
import net from 'node:net';
import path from 'node:path';
import { silentLogger } from '@warden/interface';
import { MessageType } from '@warden/protocol';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type BudgetShare, ByteBudget } from '../src/byte-budget.ts';
import { ServerConnection } from '../src/connection.ts';
import { Turns } from '../src/turns.ts';
import { JOB_INFO, ProgrammableHost } from './programmable-host.ts';
import { frame, freshDirectory, TestClient, until } from './test-client.ts';

const { Echo, Link, Stop, Stream, Upload } = MessageType;

interface Alone {
  readonly connection: ServerConnection;
  readonly socket: net.Socket;
  readonly client: TestClient;
}

const servers: net.Server[] = [];
afterEach(() => {
  vi.restoreAllMocks();
  for (const server of servers.splice(0)) server.close();
});

async function alone(
  host: ProgrammableHost,
  {
    turns = new Turns(),
    budget = { set: () => {} },
    frameTimeoutMs,
  }: { turns?: Turns; budget?: BudgetShare; frameTimeoutMs?: number } = {},
): Promise<Alone> {
  const place = path.join(freshDirectory(), 'warden.sock');
  const server = net.createServer({ allowHalfOpen: true }).listen(place);
  servers.push(server);
  const connected = once(server, 'connection') as Promise<[net.Socket]>;
  const client = await TestClient.connect(place);
  const [socket] = await connected;
  const warden = host.openSession();
  const connection = new ServerConnection({
    ...{ socket, warden, turns, budget, frameTimeoutMs },
    client: socket,
    logger: silentLogger,
  });
  return { connection, socket, client };
}

/** Has whoever sends much read for no time at all, and counts that by rounds of the loop. */
class ImpatientTurns extends Turns {
  readonly reads = new Map<number, number>();
  #round = 0;
  #isCounting = true;

  constructor() {
    super();
    const count = (): void => {
      this.#round++;
      if (this.#isCounting) setImmediate(count);
    };
    count();
  }

  stop(): void {
    this.#isCounting = false;
  }

  override mayReadOn(): boolean {
    this.reads.set(this.#round, (this.reads.get(this.#round) ?? 0) + 1);
    return false;
  }
}

/** Whose requests begin when the test says so. */
class HeldTurns extends Turns {
  readonly waiting: (() => void)[] = [];

  override enter(): Promise<void> {
    return new Promise((resolve) => this.waiting.push(resolve));
  }
}

/** Whoever has sent much is read on when the test says so. */
class UnreadTurns extends Turns {
  readonly waiting: (() => void)[] = [];

  override mayReadOn(): boolean {
    return false;
  }

  override readOn(): Promise<void> {
    return new Promise((resolve) => this.waiting.push(resolve));
  }
}

describe('a connection', () => {
  it('begins nothing after it was told to end, also what waited for its turn', async () => {
    const turns = new HeldTurns();
    const host = new ProgrammableHost({ container: { stop: async () => {} } });
    const { connection, client } = await alone(host, { turns });
    client.send(Stop, { handle: 'h' });
    await until(() => turns.waiting.length === 1, 'the request');
    connection.drain();
    turns.waiting[0]!();
    await Promise.all([connection.ended, client.ended()]);
    expect([host.calls, client.answers]).toEqual([[], []]);
  });

  it('is left for the next round of the loop where enough of long requests was read [SECURITY R26]', async () => {
    const turns = new ImpatientTurns();
    const host = new ProgrammableHost({ warden: { echo: async (message) => message } });
    const { socket, client } = await alone(host, { turns });
    const message = Buffer.alloc(4 * 1024 * 1024, 'm');
    const pause = vi.spyOn(socket, 'pause');
    client.send(Echo, { message });
    client.send(Echo, { message: Buffer.from('behind') });
    await until(() => client.answers.length === 2, 'the answers');
    turns.stop();
    const [first, second] = client.answers.map(({ payload }) => payload.message as Uint8Array);
    expect(Buffer.compare(first!, message)).toBe(0);
    expect(Buffer.from(second!).toString()).toBe('behind');
    // one by libuv, and one that Node had asked for before
    expect(Math.max(...turns.reads.values())).toBeLessThanOrEqual(2);
    expect(turns.reads.size).toBeGreaterThan(20);
    expect(pause.mock.calls.length).toBeGreaterThan(20);
    expect(socket.isPaused()).toBe(false);
  });

  it('is read with others in turns: many that send much are no longer round of the loop than few [SECURITY R26]', async () => {
    const COUNT = 20;
    const turns = new ImpatientTurns();
    const host = new ProgrammableHost({ warden: { echo: async (message) => message.subarray(0, 1) } });
    const all = await Promise.all(Array.from({ length: COUNT }, () => alone(host, { turns })));
    const message = new Uint8Array(2 * 1024 * 1024);
    for (const { client } of all) client.send(Echo, { message });
    await until(() => all.every(({ client }) => client.answers.length === 1), 'the answers');
    turns.stop();
    // whoever has rested is read once before anything is known of it; all at once it would be some thirty
    const crowded = [...turns.reads.values()].filter((pieces) => pieces > 4);
    expect(crowded.length, `${crowded}`).toBeLessThanOrEqual(8);
    expect(turns.reads.size).toBeGreaterThan(COUNT * 10);
  });

  it.each([
    [5_000, 1],
    [1_000, 0],
  ])(
    'that sends %i bytes at a time counts as one that sends much %i times [SECURITY R26]',
    async (bytes, times) => {
      const turns = new Turns();
      const mayReadOn = vi.spyOn(turns, 'mayReadOn');
      const { client, socket } = await alone(new ProgrammableHost(), { turns });
      client.write(frame(Echo, { message: new Uint8Array(100_000) }).subarray(0, bytes));
      await until(() => socket.bytesRead === bytes, 'the piece');
      expect(mayReadOn).toHaveBeenCalledTimes(times);
    },
  );

  it('answers what came together with its end while it was not read [protocol 1]', async () => {
    const turns = new UnreadTurns();
    const host = new ProgrammableHost({ warden: { echo: async (message) => message.subarray(0, 1) } });
    const { client, connection, socket } = await alone(host, { turns });
    client.send(Echo, { message: new Uint8Array(64 * 1024) });
    client.socket.end();
    await until(() => socket.readableLength > 0 && client.socket.writableFinished, 'all of it');
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect([host.calls, client.answers, socket.isPaused()]).toEqual([[], [], true]);
    turns.waiting[0]!();
    expect((await client.next()).type).toBe(Echo);
    await connection.ended;
  });

  it('is not read before its turn either when it is told of a broken frame [SECURITY R26]', async () => {
    const turns = new UnreadTurns();
    const host = new ProgrammableHost();
    const { client, connection, socket } = await alone(host, { turns });
    client.write(`abc\r\n${'x'.repeat(5_000)}`);
    expect((await client.next()).type).toBe(MessageType.Error);
    expect([turns.waiting.length, socket.isPaused()]).toEqual([1, true]);
    turns.waiting[0]!();
    await connection.ended;
  });

  it('sees its client go, who was told that there is no room for all that it asks at once', async () => {
    const REQUESTS = 200;
    const turns = new HeldTurns();
    const host = new ProgrammableHost({ warden: { echo: async (message) => message } });
    // beside what each has for nothing: full with the sixty-fourth, which is when the queue is, too
    const budget = new ByteBudget(5_000).open();
    const { client, connection } = await alone(host, { turns, budget });
    const one = frame(Echo, { message: new Uint8Array(1_080) });
    client.write(Buffer.concat(Array.from({ length: REQUESTS }, () => one)));
    await until(() => turns.waiting.length === 1, 'the request');
    turns.waiting[0]!();
    await until(() => client.answers.at(-1)?.type === MessageType.Error, 'the error');
    expect(client.answers.length).toBeGreaterThan(50);
    expect(client.answers.length).toBeLessThan(REQUESTS);
    const begin = performance.now();
    client.socket.end();
    await connection.ended;
    // whoever lingers for want of an end does so for five
    expect(performance.now() - begin).toBeLessThan(3_000);
  });

  it('leaves no upload behind that begins when it is gone already', async () => {
    let left = 0;
    const write = async (_path: string, content: AsyncIterable<Uint8Array>): Promise<void> => {
      left++;
      try {
        for await (const _ of content);
      } finally {
        left--;
      }
    };
    const turns = new HeldTurns();
    const host = new ProgrammableHost({ files: { write: write as never } });
    const { client, connection, socket } = await alone(host, { turns });
    client.send(Upload, { handle: 'h', operation: 'write', path: '/x' });
    await until(() => turns.waiting.length === 1, 'the request');
    // as by a reset: its client has not read everything
    socket.destroy(new Error('ECONNRESET'));
    await new Promise((resolve) => socket.once('close', resolve));
    turns.waiting[0]!();
    await connection.ended;
    await until(() => left === 0, 'the end of the upload');
  });

  it.each(['a wrong trailer', 'silence'])(
    'holds nothing of a frame that %s breaks, while what came before goes on',
    async (what) => {
      const SIZE = 300_000;
      let answer = (): void => {};
      const gate = new Promise<void>((resolve) => {
        answer = resolve;
      });
      const held: number[] = [];
      const host = new ProgrammableHost({ container: { stop: () => gate } });
      const { client, connection } = await alone(host, {
        budget: { set: (bytes) => void held.push(bytes) },
        frameTimeoutMs: what === 'silence' ? 200 : 60_000,
      });
      client.send(Stop, { handle: 'h' });
      const bytes = Uint8Array.from(frame(Echo, { message: new Uint8Array(SIZE) }));
      if (what === 'silence') client.write(bytes.subarray(0, -2));
      else client.write(bytes.fill(0x20, -2));
      await until(() => Math.max(...held) >= SIZE || what !== 'silence', 'the frame');
      await until(() => held.length > 2 && held.at(-1)! < 100, 'nothing held');
      answer();
      await client.ended();
      expect(client.answers.map(({ type }) => type)).toEqual([Stop, MessageType.Error]);
      await connection.ended;
    },
  );

  it('tells what it holds: of a frame that is not complete, of one in execution, and of nothing afterwards', async () => {
    const SIZE = 300_000;
    let answer = (): void => {};
    const gate = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const echo = async (message: Uint8Array): Promise<Uint8Array> => {
      await gate;
      return message.subarray(0, 1);
    };
    const held: number[] = [];
    const host = new ProgrammableHost({ warden: { echo } });
    const { client, connection } = await alone(host, { budget: { set: (bytes) => void held.push(bytes) } });
    const bytes = frame(Echo, { message: new Uint8Array(SIZE) });
    client.write(bytes.subarray(0, 200_000));
    await until(() => held.at(-1)! > 199_000, 'the first part');
    client.write(bytes.subarray(200_000));
    await until(() => host.calls.length === 1, 'the request');
    expect(held.at(-1)).toBeGreaterThanOrEqual(SIZE);
    answer();
    await client.next();
    await until(() => held.at(-1) === 0, 'its end');
    client.socket.destroy();
    await connection.ended;
  });

  it('holds nothing of a large request any more when its client has gone and it has ended', async () => {
    let answer = (): void => {};
    const gate = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const host = new ProgrammableHost({ warden: { echo: (message) => gate.then(() => message) } });
    const held: number[] = [];
    const { client, connection } = await alone(host, { budget: { set: (bytes) => void held.push(bytes) } });
    client.send(Echo, { message: new Uint8Array(300_000) });
    await until(() => host.calls.length === 1, 'the request');
    client.socket.destroy();
    await connection.ended;
    expect(held.at(-1)).toBeGreaterThanOrEqual(300_000);
    answer();
    await until(() => held.at(-1) === 0, 'its end');
  });

  it('reads no more than it holds, and then still sees its client go', async () => {
    let isAborted = false;
    const link = (options?: { signal?: AbortSignal }): Promise<never> =>
      new Promise((_resolve, reject) => {
        options!.signal!.addEventListener('abort', () => {
          isAborted = true;
          reject(options!.signal!.reason);
        });
      });
    const held: number[] = [];
    const budget = { set: (bytes: number) => void held.push(bytes) };
    const { client, connection, socket } = await alone(new ProgrammableHost({ job: { link } }), { budget });
    client.send(Link, { handle: 'h', job_id: 1 });
    for (let n = 0; n < 60; n++) client.send(Echo, { message: new Uint8Array(256 * 1024) });
    // from here on neither bytes nor their end are taken from the kernel
    await until(() => socket.readableLength >= socket.readableHighWaterMark, 'a full queue');
    expect(Math.max(...held)).toBeLessThan(9 * 1024 * 1024);
    client.socket.destroy();
    await connection.ended;
    expect(isAborted).toBe(true);
  });

  it('times no frame any more when it has ended while it was not read', async () => {
    const turns = new UnreadTurns();
    const begun = vi.spyOn(globalThis, 'setTimeout');
    const host = new ProgrammableHost({ warden: { echo: async (message) => message } });
    const { client, connection, socket } = await alone(host, { turns, frameTimeoutMs: 54_321 });
    client.write(Buffer.concat([frame(Echo, { message: new Uint8Array(5_000) }), Buffer.from('1')]));
    await client.next();
    expect(socket.isPaused()).toBe(true);
    // as by an answer that nobody takes any more
    socket.destroy();
    await connection.ended;
    turns.waiting[0]!();
    await new Promise(setImmediate);
    expect(begun.mock.calls.filter(([, milliseconds]) => milliseconds === 54_321)).toEqual([]);
  });

  it('leaves no timer when it ends, and no listener behind each piece of a stream', async () => {
    const begun = vi.spyOn(globalThis, 'setInterval');
    const ended = vi.spyOn(globalThis, 'clearInterval');
    const host = new ProgrammableHost({
      job: {
        stream: async function* () {
          for (let n = 0; n < 100; n++) yield { stream: 'stdout', data: new Uint8Array(65_536) };
          return { exitStatus: 0, info: JOB_INFO };
        },
      },
    });
    const { client, connection, socket } = await alone(host);
    client.send(Stream, { handle: 'h', job_id: 1 });
    await until(() => client.answers.length === 101, 'the end of the stream');
    expect(socket.listenerCount('drain')).toBe(0);
    client.socket.destroy();
    await connection.ended;
    const timers = begun.mock.results.map(({ value }) => value as NodeJS.Timeout);
    expect(timers.length).toBeGreaterThan(0);
    for (const timer of timers) expect(ended).toHaveBeenCalledWith(timer);
  });
});
