import fs from 'node:fs';
import path from 'node:path';
import type { LogFields, Warden } from '@warden/interface';
import { silentLogger } from '@warden/interface';
import { MessageType } from '@warden/protocol';
import { describe, expect, it } from 'vitest';
import { wardenServer } from '../src/index.ts';
import { ProgrammableHost } from './programmable-host.ts';
import { failure, freshDirectory, startServer, TestClient } from './test-client.ts';

const { Ping } = MessageType;
const host = new ProgrammableHost({ warden: { ping: async () => {} } });

describe('a server', () => {
  it('that is asked to listen again goes on listening', async () => {
    const { server, path: socketPath } = await startServer(host);
    const client = await TestClient.connect(socketPath);
    await Promise.all([server.listen(), server.listen()]);
    expect((await client.ask(Ping)).type).toBe(Ping);
    expect((await (await TestClient.connect(socketPath)).ask(Ping)).type).toBe(Ping);
  });

  it('that could not listen may be asked again', async () => {
    const socketPath = path.join(freshDirectory(), 'warden.sock');
    fs.writeFileSync(socketPath, '');
    const server = wardenServer({ host, path: socketPath });
    await expect(server.listen()).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
    fs.rmSync(socketPath);
    await server.listen();
    expect((await (await TestClient.connect(socketPath)).ask(Ping)).type).toBe(Ping);
    await server.close();
  });

  it.each(['close', 'drain'] as const)(
    'that is to %s while it begins to listen does not listen then',
    async (end) => {
      const directory = freshDirectory();
      const socketPath = path.join(directory, 'warden.sock');
      const server = wardenServer({ host, path: socketPath });
      const listening = server.listen();
      await server[end]();
      await listening;
      await expect(TestClient.connect(socketPath)).rejects.toMatchObject({
        code: end === 'close' ? 'ENOENT' : 'ECONNREFUSED',
      });
    },
  );

  it('whose host opens no session tells the client so, and goes on', async () => {
    let isFull = true;
    const lines: (LogFields | undefined)[] = [];
    const { server, path: socketPath } = await startServer(
      {
        openSession: (): Warden => {
          if (isFull) throw new Error('the host is full');
          return host.openSession();
        },
      },
      { logger: { ...silentLogger, warn: (_event, fields) => void lines.push(fields) } },
    );
    const refused = await TestClient.connect(socketPath);
    await refused.ended();
    expect(failure(refused.answers[0]!).message).toBe('the host is full');
    expect([server.connectionCount, server.refusedCount, lines.length]).toEqual([0, 1, 1]);
    isFull = false;
    expect((await (await TestClient.connect(socketPath)).ask(Ping)).type).toBe(Ping);
  });
});
