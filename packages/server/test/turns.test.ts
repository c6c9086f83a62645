import net from 'node:net';
import { MessageType } from '@warden/protocol';
import { describe, expect, it } from 'vitest';
import { Turns } from '../src/turns.ts';
import { ProgrammableHost } from './programmable-host.ts';
import { failure, frame, startServer, TestClient, until } from './test-client.ts';

const { Echo, List, Ping } = MessageType;

/** Connections that have sent far more than is read at a time. */
async function flood(path: string, connections: number): Promise<net.Socket[]> {
  const pings = Buffer.concat(Array.from({ length: 50_000 }, () => frame(Ping, {})));
  const sockets = Array.from({ length: connections }, () => net.connect(path));
  for (const socket of sockets) {
    socket.on('error', () => {});
    socket.resume();
    socket.write(pings);
  }
  return sockets;
}

describe('a flood of requests', () => {
  it.each([
    [undefined, 3_000],
    [1, 200],
  ])(
    'on 64 connections makes another client wait for few of them (peer %s, at most %i) [SECURITY P08]',
    async (pid, most) => {
      let pings = 0;
      const host = new ProgrammableHost({
        warden: {
          // so much of a turn of 2 ms that no machine answers more than 20 in one
          ping: async () => {
            pings++;
            const until = performance.now() + 0.1;
            while (performance.now() < until);
          },
          list: async () => [],
        },
      });
      let clients = 0;
      const { path } = await startServer(host, {
        // one process makes the flood, another one is the other client
        ...(pid === undefined ? {} : { peerOf: () => ({ pid: clients++ === 0 ? 2 : pid, uid: 0, gid: 0 }) }),
      });
      const other = await TestClient.connect(path);
      await other.ask(List);
      const sockets = await flood(path, 64);
      await until(() => pings > 100, 'the flood');
      for (let n = 0; n < 20; n++) {
        const before = pings;
        await other.ask(List);
        // 64 * 50,000 are waiting, of which a single read can bring 7,000: without turns 448,000 would come
        // first. With them 20 of each unknown client do, and a few times 20 where all of the flood are one.
        expect(pings - before).toBeLessThan(most);
      }
      for (const socket of sockets) socket.destroy();
    },
    60_000,
  );

  it('is cut into a few requests at a time, in order', async () => {
    let longest = 0;
    let inRow = 0;
    const host = new ProgrammableHost({
      warden: {
        echo: async (message) => {
          if (inRow++ === 0)
            setImmediate(() => {
              longest = Math.max(longest, inRow);
              inRow = 0;
            });
          const until = performance.now() + 0.5;
          while (performance.now() < until);
          return message;
        },
      },
    });
    const { path } = await startServer(host);
    const client = await TestClient.connect(path);
    const count = 2_000;
    client.write(
      Buffer.concat(
        Array.from({ length: count }, (_, n) => frame(Echo, { message: Uint8Array.of(n & 255, n >> 8) })),
      ),
    );
    for (let n = 0; n < count; n++)
      expect((await client.next()).payload.message).toEqual(Uint8Array.of(n & 255, n >> 8));
    // two milliseconds' worth
    expect(longest).toBeLessThan(20);
  }, 60_000);
});

describe('turns', () => {
  it('go round among clients, not among their connections', async () => {
    const turns = new Turns();
    const order: string[] = [];
    const take = (key: object, name: string): Promise<void> =>
      turns.wait(key).then(() => {
        order.push(name);
      });
    const [a, b] = [{}, {}];
    await Promise.all([take(a, 'a1'), take(a, 'a2'), take(a, 'a3'), take(b, 'b1'), take(b, 'b2')]);
    expect(order).toEqual(['a1', 'b1', 'a2', 'b2', 'a3']);
  });

  it('are given at once to whoever rested, for a while within one round of the loop', async () => {
    const turns = new Turns();
    expect(turns.enter(1)).toBeUndefined();
    const end = performance.now() + 5;
    while (performance.now() < end);
    const late = turns.enter(2);
    expect(late).toBeInstanceOf(Promise);
    await late;
    expect(turns.enter(3)).toBeUndefined();
  });

  it('let what is long be read for a while within one round of the loop [SECURITY R26]', async () => {
    const turns = new Turns();
    expect(turns.mayReadOn()).toBe(true);
    const end = performance.now() + 5;
    while (performance.now() < end);
    expect(turns.mayReadOn()).toBe(false);
    await new Promise((resolve) => setImmediate(resolve));
    expect(turns.mayReadOn()).toBe(true);
  });

  it('read on one client in each round of the loop, beside the one whose requests are worked off', async () => {
    const turns = new Turns();
    let round = 0;
    const told: [string, number][] = [];
    const note = (name: string) => (): void => void told.push([name, round]);
    const all = [
      ...['a1', 'a2'].map((name) => turns.readOn(1).then(note(name))),
      turns.readOn(2).then(note('b1')),
      turns.wait(3).then(note('request')),
    ];
    expect(turns.enter(4)).toBeInstanceOf(Promise);
    const count = (): void => {
      round++;
      if (told.length < all.length) setImmediate(count);
    };
    setImmediate(count);
    await Promise.all(all);
    expect(told).toEqual([
      ['request', 0],
      ['a1', 0],
      ['b1', 1],
      ['a2', 2],
    ]);
  });

  it('of those who are read keep nobody waiting who asks', () => {
    const turns = new Turns();
    void turns.readOn(1);
    expect(turns.enter(2)).toBeUndefined();
  });
});

describe('what clients send together', () => {
  it('is bounded: who sends too much is told so, small requests go on [SECURITY P03]', async () => {
    const host = new ProgrammableHost({ warden: { ping: async () => {}, echo: async (message) => message } });
    const { server, path } = await startServer(host, { maxBufferedBytes: 3 * 1024 * 1024 });
    const half = frame(Echo, { message: new Uint8Array(1024 * 1024) }).subarray(0, -2);
    const holders = await Promise.all([1, 2].map(() => TestClient.connect(path)));
    for (const holder of holders) holder.write(half);
    const other = await TestClient.connect(path);
    await other.ask(Ping);
    const greedy = await TestClient.connect(path);
    greedy.write(frame(Ping, {}));
    for (let n = 0; n < 4 && !greedy.isEnded; n++)
      greedy.write(new Uint8Array(frame(Echo, { message: new Uint8Array(4 * 1024 * 1024) })));
    await greedy.ended();
    expect(greedy.answers[0]!.type).toBe(Ping);
    const { message, data } = failure(greedy.answers.at(-1)!);
    expect(message).toMatch(/^clients send more than the daemon holds at a time: \d+ bytes of 3145728; /);
    expect(data).toMatchObject({ code: 'UNAVAILABLE', limit: 3 * 1024 * 1024 });
    expect((await other.ask(Echo, { message: new Uint8Array(60_000) })).type).toBe(Echo);
    // What the greedy one held is free again, and the others were not touched.
    for (const holder of holders) {
      holder.write('\r\n');
      expect((await holder.next()).payload.message).toHaveLength(1024 * 1024);
    }
    expect((await other.ask(Echo, { message: new Uint8Array(2 * 1024 * 1024) })).type).toBe(Echo);
    for (const client of [...holders, other]) client.socket.destroy();
    await until(() => server.connectionCount === 0, 'the end');
  }, 30_000);

  it('is given back when a client goes in the middle of anything', async () => {
    let open = (): void => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const host = new ProgrammableHost({ warden: { ping: () => gate, echo: async (message) => message } });
    const { server, path } = await startServer(host, { maxBufferedBytes: 3 * 1024 * 1024 });
    for (let round = 0; round < 8; round++) {
      const client = await TestClient.connect(path);
      client.send(Ping);
      client.send(Echo, { message: new Uint8Array(700 * 1024) });
      client.write(frame(Echo, { message: new Uint8Array(700 * 1024) }).subarray(0, -100));
      await until(() => client.socket.writableLength === 0, 'what was sent');
      client.socket.destroy();
      await until(() => server.connectionCount === 0, 'its end');
    }
    open();
    const client = await TestClient.connect(path);
    expect(
      (await client.ask(Echo, { message: new Uint8Array(2 * 1024 * 1024) })).payload.message,
    ).toHaveLength(2 * 1024 * 1024);
  }, 30_000);
});
