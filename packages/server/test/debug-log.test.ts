import { inspect } from 'node:util';
import { type LogFields, type Logger, silentLogger } from '@warden/interface';
import { MessageType } from '@warden/protocol';
import { describe, expect, it } from 'vitest';
import { JOB_INFO, ProgrammableHost } from './programmable-host.ts';
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

  it('has nothing of what clients keep secret, nor of what their jobs print', async () => {
    const lines: [string, LogFields | undefined][] = [];
    const logger: Logger = { ...silentLogger, debug: (event, fields) => lines.push([event, fields]) };
    const result = {
      exitStatus: 0,
      stdout: Buffer.from('secret out'),
      stderr: Buffer.from('secret err'),
      info: JOB_INFO,
    };
    const host = new ProgrammableHost({
      container: { spawn: async () => ({ id: 1, link: async () => result }) as never },
      job: { write: async () => {} },
    });
    const { path } = await startServer(host, { logger });
    const client = await TestClient.connect(path);
    const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
    await client.ask(MessageType.Run, {
      handle: 'h',
      script: bytes('secret script'),
      argv: ['secret argument'],
      environment: ['KEY=secret value'],
    });
    await client.ask(MessageType.JobInput, { handle: 'h', job_id: 1, data: bytes('secret input') });
    await client.fail(MessageType.ImagePull, { reference: 'r/i', user: 'me', password: 'secret password' });
    expect(lines.length).toBeGreaterThanOrEqual(6);
    const told = inspect(lines.map(textsOf), { depth: null, maxArrayLength: null });
    expect(told).toContain("user: 'me'");
    expect(told).not.toContain('secret');
  });
});

/** With bytes as text. */
function textsOf(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString();
  if (Array.isArray(value)) return value.map(textsOf);
  if (typeof value !== 'object' || value === null || value instanceof Error) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, textsOf(one)]));
}
