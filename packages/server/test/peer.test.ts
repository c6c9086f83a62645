import { type LogFields, silentLogger } from '@warden/interface';
import { MessageType } from '@warden/protocol';
import { describe, expect, it } from 'vitest';
import type { Peer } from '../src/index.ts';
import { ProgrammableHost } from './programmable-host.ts';
import { failure, startServer, TestClient } from './test-client.ts';

const { Ping } = MessageType;
const host = (): ProgrammableHost => new ProgrammableHost({ warden: { ping: async () => {} } });

describe('the policy [SECURITY P27]', () => {
  it('is told who connects, and decides', async () => {
    const asked: Peer[] = [];
    const peers: Peer[] = [
      { pid: 7, uid: 1000, gid: 100 },
      { pid: 8, uid: 0, gid: 0 },
    ];
    const served = host();
    const { path } = await startServer(served, {
      peerOf: (descriptor) => {
        expect(descriptor).toBeGreaterThan(2);
        return peers.shift()!;
      },
      policy: (peer) => {
        asked.push(peer);
        return peer.uid === 0 ? undefined : 'it is Sunday';
      },
    });
    const refused = await TestClient.connect(path);
    refused.send(Ping);
    await refused.ended();
    expect(refused.answers).toHaveLength(1);
    expect(failure(refused.answers[0]!)).toEqual({
      message: 'this client is not admitted: it is Sunday',
      data: { code: 'FORBIDDEN', operation: 'connect', uid: 1000, gid: 100, pid: 7 },
    });
    expect(served.openSessions).toBe(0);
    expect((await (await TestClient.connect(path)).ask(Ping)).type).toBe(Ping);
    expect(asked.map(({ pid }) => pid)).toEqual([7, 8]);
  });

  it.each([
    ['nobody knows them', undefined],
    [
      'they cannot be asked for',
      (): never => {
        throw new Error('ENOTCONN');
      },
    ],
  ])('refuses clients when %s', async (_when, peerOf) => {
    const { path } = await startServer(host(), { ...(peerOf && { peerOf }), policy: () => undefined });
    const client = await TestClient.connect(path);
    await client.ended();
    expect(failure(client.answers[0]!).message).toBe(
      'this client is not admitted: nobody can tell who connects',
    );
  });

  it('that fails itself lets nobody in, and the server lives on', async () => {
    let isBroken = true;
    const { path } = await startServer(host(), {
      peerOf: () => ({ pid: 1, uid: 0, gid: 0 }),
      policy: () => {
        if (isBroken) throw new TypeError('a mistake');
        return undefined;
      },
    });
    const client = await TestClient.connect(path);
    await client.ended();
    expect(failure(client.answers[0]!).data.code).toBe('INTERNAL');
    isBroken = false;
    expect((await (await TestClient.connect(path)).ask(Ping)).type).toBe(Ping);
  });

  it('without a policy everybody stays, and the log tells who came', async () => {
    const lines: [string, LogFields | undefined][] = [];
    const { path } = await startServer(host(), {
      peerOf: () => ({ pid: 5, uid: 6, gid: 7 }),
      logger: { ...silentLogger, debug: (event, fields) => lines.push([event, fields]) },
    });
    expect((await (await TestClient.connect(path)).ask(Ping)).type).toBe(Ping);
    expect(lines[0]).toEqual(['connected', { peer: { pid: 5, uid: 6, gid: 7 } }]);
  });

  it('fills no log when many are refused', async () => {
    let lines = 0;
    const { path } = await startServer(host(), {
      peerOf: () => ({ pid: 5, uid: 6, gid: 7 }),
      policy: () => 'no',
      logger: { ...silentLogger, warn: () => lines++ },
    });
    const clients = await Promise.all(Array.from({ length: 100 }, () => TestClient.connect(path)));
    await Promise.all(clients.map((client) => client.ended()));
    expect(lines).toBeGreaterThan(0);
    expect(lines).toBeLessThan(20);
  });
});
