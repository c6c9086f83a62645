import { once } from 'node:events';
import { encodeFrame, encodeMessage, MessageType } from '@warden/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ProgrammableHost } from './programmable-host.ts';
import { failure, frame, startServer, TestClient, until } from './test-client.ts';

const { Echo, List, Ping } = MessageType;
const host = (): ProgrammableHost =>
  new ProgrammableHost({
    warden: { ping: async () => {}, echo: async (message) => message, list: async () => [] },
  });

describe('bytes that are no request', () => {
  it('are answered or end their own connection, whatever they are [SECURITY P01]', async () => {
    const { server, path } = await startServer(host());
    const witness = await TestClient.connect(path);
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.uint8Array({ maxLength: 2_000 }),
          fc.uint8Array({ maxLength: 300 }).map(encodeFrame),
          // nearly a request: a valid one with some bytes changed
          fc
            .tuple(
              fc.array(fc.tuple(fc.nat(60), fc.nat(255)), { maxLength: 5 }),
              fc.constantFrom(Ping, List, Echo),
            )
            .map(([changes, type]) => {
              const bytes = Uint8Array.from(
                frame(type, type === Echo ? { message: new Uint8Array(30) } : {}),
              );
              for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
              return bytes;
            }),
        ),
        async (bytes) => {
          const client = await TestClient.connect(path);
          client.write(bytes);
          client.socket.end();
          await client.ended();
          expect((await witness.ask(Ping)).type).toBe(Ping);
        },
      ),
      { numRuns: 400 },
    );
    await until(() => server.connectionCount === 1, 'the end of all others');
  }, 120_000);

  it('are waited for until they are complete, and forgotten when the client goes, wherever they were cut [SECURITY P02]', async () => {
    const program = host();
    const { server, path } = await startServer(program);
    const stream = Buffer.concat([
      frame(Ping, {}),
      frame(Echo, { message: new Uint8Array(20) }),
      frame(List, {}),
    ]);
    const ends = [frame(Ping, {}).length, stream.length - frame(List, {}).length, stream.length];
    for (let cut = 0; cut < stream.length; cut++) {
      const before = program.calls.length;
      const complete = ends.filter((end) => end <= cut).length;
      const client = await TestClient.connect(path);
      client.write(stream.subarray(0, cut));
      for (let n = 0; n < complete; n++) await client.next();
      client.socket.destroy();
      await until(() => server.connectionCount === 0, 'its end');
      expect(program.calls.length - before, `cut at ${cut}`).toBe(complete);
    }
    expect(program.openSessions).toBe(program.closedSessions);
  }, 60_000);

  it('end the connection when silence follows, wherever they were cut [SECURITY P02]', async () => {
    const { server, path } = await startServer(host(), { frameTimeoutMs: 300 });
    const stream = frame(Echo, { message: new Uint8Array(20) });
    const clients = await Promise.all(
      Array.from({ length: stream.length - 1 }, async (_, at) => {
        const client = await TestClient.connect(path);
        client.write(stream.subarray(0, at + 1));
        return client;
      }),
    );
    await Promise.all(clients.map((client) => client.ended()));
    for (const client of clients) expect(failure(client.answers[0]!).message).toContain('not continued');
    await until(() => server.connectionCount === 0, 'their end');
  }, 60_000);

  it.each([
    '4294967295',
    '67108865',
    '9007199254740993',
    '99999999999999',
    '000000000000004',
    '18446744073709551616',
    '99999999999999999999',
  ])(
    'of a length line %s cost nothing [SECURITY P03]',
    async (length) => {
      const { path } = await startServer(host());
      const before = process.memoryUsage().arrayBuffers;
      for (let n = 0; n < 20; n++) {
        const client = await TestClient.connect(path);
        client.write(`${length}\r\nx`);
        await client.ended();
        expect(failure(client.answers[0]!).data.code).toBe('MALFORMED_REQUEST');
      }
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 * 1024 * 1024);
    },
    30_000,
  );

  it('of an endless length line are not even read [SECURITY P05]', async () => {
    const { path } = await startServer(host());
    const client = await TestClient.connect(path);
    const digits = Buffer.alloc(1024 * 1024, '1');
    let sent = 0;
    while (!client.isEnded && sent < 1_000) {
      sent++;
      if (!client.socket.write(digits))
        await Promise.race([once(client.socket, 'drain').catch(() => {}), client.ended()]);
    }
    expect(client.isEnded).toBe(true);
    expect(sent).toBeLessThan(100);
    expect(failure(client.answers[0]!).message).toContain('longer than 16 bytes');
  }, 60_000);

  it.each(['\n\n', '\r\r', '\n\r', 'xx', '\0\0', '  '])(
    'with the trailer %j end the connection at once, nothing behind it is looked at [SECURITY P12]',
    async (trailer) => {
      const program = host();
      const { path } = await startServer(program);
      const client = await TestClient.connect(path);
      const message = encodeMessage(Ping, {});
      client.write(
        Buffer.concat([Buffer.from(`${message.length}\r\n`), message, Buffer.from(trailer), frame(List, {})]),
      );
      await client.ended();
      expect(client.answers.map(({ type }) => type)).toEqual([MessageType.Error]);
      expect(program.calls).toEqual([]);
    },
  );
});
