import { type LogFields, type Logger, silentLogger } from '@warden/interface';
import { MessageType } from '@warden/protocol';
import { describe, expect, it } from 'vitest';
import { ProgrammableHost } from './programmable-host.ts';
import { startServer, TestClient } from './test-client.ts';

describe('the debug log', () => {
  it('tells request and answer or failure, without the script', async () => {
    const lines: [string, LogFields | undefined][] = [];
    const logger: Logger = { ...silentLogger, debug: (event, fields) => lines.push([event, fields]) };
    const spawn = async (): Promise<never> => ({ id: 7 }) as never;
    const { path } = await startServer(new ProgrammableHost({ container: { spawn } }), { logger });
    const client = await TestClient.connect(path);
    await client.ask(MessageType.Spawn, { handle: 'h', script: new Uint8Array(Buffer.from('secret')) });
    await client.fail(MessageType.Ping);
    expect(lines.map(([event, fields]) => `${event} ${fields?.request}`)).toEqual([
      'request Spawn',
      'answer Spawn',
      'request Ping',
      'request-failed Ping',
    ]);
    const [, request] = lines[0]!;
    expect(request).toMatchObject({ payload: { handle: 'h' } });
    expect((request as { payload: { script?: unknown } }).payload.script).toBeUndefined();
  });
});
