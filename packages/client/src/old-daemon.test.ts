/** A daemon that lacks the extensions is recognised before it could misunderstand anything. */
import { MessageType } from '@warden/protocol';
import { describe, expect, it } from 'vitest';
import { type Handler, RawServer } from '../test/raw-server.ts';
import { connect, type WardenClient } from './index.ts';

const CALLS: readonly (readonly [what: string, call: (warden: WardenClient) => Promise<unknown>])[] = [
  ['list by properties', (warden) => warden.list({ properties: { a: 'b' } })],
  ['create with properties', (warden) => warden.create({ properties: { a: 'b' } })],
  ['setProperties', (warden) => warden.container('h').setProperties({ a: 'b' })],
  ['exec', (warden) => warden.container('h').exec(['true'])],
  ['run with variables', (warden) => warden.container('h').run('', { environment: { A: 'b' } })],
  ['open input', (warden) => warden.container('h').spawn('', { stdin: 'pipe' })],
  ['a terminal', (warden) => warden.container('h').spawn('', { terminal: { rows: 1, columns: 1 } })],
  ['live output', (warden) => warden.container('h').spawn('', { output: 'live' })],
  ['write', (warden) => warden.container('h').job(1).write('x')],
  ['pause', (warden) => warden.container('h').pause()],
  ['infoMany', (warden) => warden.infoMany()],
  ['metrics', (warden) => warden.metrics()],
  ['events', (warden) => warden.events()],
  ['netOut by name', (warden) => warden.container('h').netOut({ domain: 'a.example', port: 443 })],
  ['stat', (warden) => warden.container('h').files.stat('/')],
  ['write of a file', (warden) => warden.container('h').files.write('/x', 'x')],
];

async function withServer(
  handler: Handler,
  test: (warden: WardenClient, server: RawServer) => Promise<void>,
): Promise<void> {
  await using server = await RawServer.start(handler);
  await using warden = await connect({ path: server.path });
  await test(warden, server);
}

describe('an old daemon', () => {
  it.each(CALLS)('that refuses the question gets no %s', (_, call) =>
    withServer(
      (request) => request.refuse('Unknown request type: 1002', { code: 'MALFORMED_REQUEST' }),
      async (warden, server) => {
        await expect(call(warden)).rejects.toMatchObject({
          code: 'UNSUPPORTED',
          fields: { feature: expect.any(String) },
        });
        expect(new Set(server.requests.map(({ type }) => type))).toEqual(new Set([MessageType.Features]));
      },
    ),
  );

  it(
    'that says nothing at all is given three seconds',
    () =>
      withServer(
        () => undefined,
        async (warden) => {
          await expect(warden.metrics()).rejects.toMatchObject({ code: 'UNSUPPORTED' });
        },
      ),
    20_000,
  );

  it('that knows a part of it is asked for that part, and what it says of others is ignored', () =>
    withServer(
      (request) =>
        request.type === MessageType.Features
          ? request.reply({ features: ['metrics', 'time-travel'] })
          : request.reply({ containers: 4, pools: [{ name: 'ports', used: 1, limit: 2 }] }),
      async (warden, server) => {
        expect((await warden.metrics()).containers).toBe(4);
        await expect(warden.events()).rejects.toMatchObject({
          code: 'UNSUPPORTED',
          fields: { feature: 'events' },
        });
        await warden.metrics();
        expect(server.count(MessageType.Features)).toBe(1);
      },
    ));

  it('does not have to know anything for get-or-create', () =>
    withServer(
      (request) =>
        request.type === MessageType.Info
          ? request.refuse('unknown handle')
          : request.reply({ handle: (request.payload as { handle: string }).handle }),
      async (warden) => {
        const { container, isNew } = await warden.getOrCreate({ handle: 'h' });
        expect([container.handle, isNew]).toEqual(['h', true]);
      },
    ));

  it('whose events are of kinds unknown here tells the others', () =>
    withServer(
      (request) => {
        if (request.type === MessageType.Features) return request.reply({ features: ['events'] });
        for (const type of [undefined, 'teleported', 'created'])
          request.reply({ type, handle: 'h', time: 1n });
        return undefined;
      },
      async (warden) => {
        const events = await warden.events();
        expect((await events.next()).value).toEqual({ type: 'created', handle: 'h', time: 1, lost: 0 });
        await events.return?.();
      },
    ));
});
