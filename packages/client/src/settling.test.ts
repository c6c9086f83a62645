import { isWardenError } from '@warden/interface';
import { MessageType } from '@warden/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Arrived, RawServer } from '../test/raw-server.ts';
import { connect, type WardenClient } from './warden-client.ts';

/** What the daemon does with a request. */
const behaviour = fc.constantFrom('answer', 'refuse', 'drop', 'garbage', 'late') as fc.Arbitrary<
  'answer' | 'refuse' | 'drop' | 'garbage' | 'late'
>;
const operation = fc.record({
  kind: fc.constantFrom('ping', 'create', 'run', 'stream', 'destroy'),
  /** Milliseconds after which the caller gives up. */
  patience: fc.option(fc.integer({ min: 0, max: 10 }), { nil: undefined }),
});

function answer(request: Arrived): void {
  if (request.type === MessageType.Spawn) request.reply({ job_id: 1 });
  else if (request.type === MessageType.Create) request.reply({ handle: 'h' });
  else if (request.type === MessageType.Stream || request.type === MessageType.Link)
    request.reply({ exit_status: 0 });
  else request.reply();
}

async function perform(
  warden: WardenClient,
  { kind, patience }: { kind: string; patience: number | undefined },
) {
  const box = warden.container('h');
  if (kind === 'ping') await warden.ping();
  else if (kind === 'create') await warden.create();
  else if (kind === 'destroy') await box.destroy();
  else if (kind === 'run') await box.run('true', { timeoutMs: patience });
  else for await (const _ of (await box.spawn('true', { timeoutMs: patience })).output);
}

describe('whatever the daemon does', () => {
  it('every operation settles with a value or a WardenError, and the session goes on', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(operation, { minLength: 1, maxLength: 12 }),
        fc.array(behaviour, { minLength: 1, maxLength: 12 }),
        async (operations, behaviours) => {
          let turn = 0;
          let isCalm = false;
          await using server = await RawServer.start(async (request) => {
            const what = isCalm ? 'answer' : behaviours[turn++ % behaviours.length];
            if (what === 'late') await new Promise((resolve) => setTimeout(resolve, 5));
            if (what === 'drop') request.socket.destroy();
            else if (what === 'garbage') request.socket.write('no frame\r\n');
            else if (what === 'refuse') request.refuse('no');
            else answer(request);
          });
          await using warden = await connect({ path: server.path, maxConnections: 3 });
          const results = await Promise.allSettled(operations.map((one) => perform(warden, one)));
          for (const result of results) {
            if (result.status === 'rejected')
              expect(isWardenError(result.reason), String(result.reason)).toBe(true);
          }
          isCalm = true;
          await warden.ping();
          expect((await warden.create()).handle).toBe('h');
        },
      ),
      { numRuns: 60 },
    );
  }, 60_000);
});
