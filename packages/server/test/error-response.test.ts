import { ERROR_CODES, type ErrorCode, WardenError } from '@warden/interface';
import { encodeMessage, MessageType, ProtocolError } from '@warden/protocol';
import { describe, expect, it } from 'vitest';
import { errorResponse } from '../src/error-response.ts';
import { ProgrammableHost } from './programmable-host.ts';
import { startServer, TestClient } from './test-client.ts';

const facts = (error: unknown): Record<string, unknown> => JSON.parse(errorResponse(error).data!);

describe('error answers', () => {
  it.each(Object.keys(ERROR_CODES) as ErrorCode[])('carries the code %s, the text and the fields', (code) => {
    const error = new WardenError(code, 'no such job', {
      fields: { operation: 'link', object: 7, limit: 2n ** 64n },
    });
    expect(errorResponse(error)).toEqual({ message: 'no such job', data: expect.any(String) });
    expect(facts(error)).toEqual({ code, operation: 'link', object: 7, limit: '18446744073709551616' });
  });

  it('takes the code from the error, not from its fields', () => {
    const error = new WardenError('UNKNOWN_JOB', 'x', { fields: { code: 'EPERM' } });
    expect(facts(error).code).toBe('UNKNOWN_JOB');
  });

  it('names the field of a malformed message', () => {
    expect(facts(new ProtocolError('message', 'x', 'bind_mounts.mode'))).toEqual({
      code: 'MALFORMED_REQUEST',
      field: 'bind_mounts.mode',
    });
  });

  it.each([
    ['an error', new Error('text'), 'text'],
    ['an error without text', new Error(''), 'unknown error'],
    ['a string', 'text', 'text'],
    ['undefined', undefined, 'undefined'],
  ])('makes INTERNAL of %s, without its stack', (_what, thrown, message) => {
    const response = errorResponse(thrown);
    expect(response.message).toBe(message);
    expect(JSON.parse(response.data!)).toEqual({ code: 'INTERNAL' });
    expect(response.backtrace).toBeUndefined();
  });

  it('holds errors and bytes in fields as text', () => {
    const fields = { cause: new Error('inner'), output: Uint8Array.of(0x61, 0xff) };
    expect(facts(new WardenError('COMMAND_FAILED', 'x', { fields }))).toEqual({
      code: 'COMMAND_FAILED',
      cause: 'inner',
      output: 'a\u00ff',
    });
  });

  it('holds a Buffer as the same text', () => {
    const fields = { output: Buffer.from([0x61, 0xff]) };
    expect(facts(new WardenError('COMMAND_FAILED', 'x', { fields })).output).toBe('a\u00ff');
  });

  it('leaves out what JSON cannot hold', () => {
    const loop: Record<string, unknown> = {};
    loop.loop = loop;
    expect(facts(new WardenError('INTERNAL', 'x', { fields: { loop, operation: 'op' } }))).toMatchObject({
      code: 'INTERNAL',
      operation: 'op',
    });
  });

  it('can send a text that was cut in the middle of a character', () => {
    const response = errorResponse(new Error('cut \ud83d'));
    expect(() => encodeMessage(MessageType.Error, response, 'response')).not.toThrow();
  });

  it('sends the bytes of a handle in the text unchanged', async () => {
    const fail = async (): Promise<never> => {
      throw new WardenError('ALREADY_EXISTS', 'container with handle: \udcff already exists.');
    };
    const { path } = await startServer(new ProgrammableHost({ warden: { create: fail } }));
    const client = await TestClient.connect(path);
    expect(await client.fail(MessageType.Create)).toEqual({
      message: 'container with handle: \udcff already exists.',
      data: { code: 'ALREADY_EXISTS' },
    });
    expect((await client.fail(MessageType.Create)).data.code).toBe('ALREADY_EXISTS');
  });
});

describe('an error that can hardly be told', () => {
  it('is answered all the same, and the daemon lives', async () => {
    const loop: Record<string, unknown> = {};
    loop.loop = loop;
    const fail = async (): Promise<never> => {
      throw new WardenError('INTERNAL', 'cut \ud83d', { fields: { loop } });
    };
    const ping = async (): Promise<void> => {};
    const { path } = await startServer(new ProgrammableHost({ warden: { create: fail, ping } }));
    const client = await TestClient.connect(path);
    expect((await client.fail(MessageType.Create)).data.code).toBe('INTERNAL');
    expect((await client.ask(MessageType.Ping)).type).toBe(MessageType.Ping);
  });
});
