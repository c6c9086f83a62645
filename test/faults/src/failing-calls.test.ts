/**
 * The kernel refuses one system call of the daemon, once: whatever asked for it is told which and why, or
 * does without, and nobody else notices.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { ClientContainer, WardenClient } from '@warden/client';
import { describeWith, type TestDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { whileFailing } from './failing-call.ts';
import { withBench } from './place-suite.ts';

/** A container with a job that nobody may disturb, and the same daemon at the end. */
async function withBox(
  body: (world: {
    readonly daemon: TestDaemon;
    readonly warden: WardenClient;
    readonly box: ClientContainer;
  }) => Promise<void>,
): Promise<void> {
  await withBench({}, async ({ daemon }) => {
    const warden = await daemon.connect();
    const box = await warden.create({ handle: 'box' });
    const bystander = await box.spawn('sleep 1000');
    await body({ daemon, warden, box });
    expect((await box.run('echo well; exit 3')).stdoutText).toBe('well\n');
    expect((await box.info()).jobIds).toContain(bystander.id);
    await using other = await warden.create({ handle: 'other' });
    expect((await other.run('exit 4')).exitStatus).toBe(4);
    expect(fs.existsSync(`/proc/${daemon.pid}`)).toBe(true);
  });
}

describeWith(
  ['root', 'isolated', 'overlayfs', 'strace'],
  'a system call of the daemon that fails once',
  () => {
    it.each(['ENOBUFS', 'ENOMEM'])('a message to init, %s: the script is refused and never runs', (error) =>
      withBox(async ({ daemon, box }) => {
        const refused = whileFailing(daemon.pid, { call: 'sendmsg', error }, () =>
          box.run('echo x > /tmp/ran'),
        );
        await expect(refused).rejects.toMatchObject({
          code: 'NATIVE_FAILED',
          fields: { operation: 'spawn', errno: error },
        });
        expect((await box.run('ls /tmp')).stdoutText).not.toContain('ran');
      }),
    );

    it('what init takes a connection with: the next daemon sets its container aside alive, and the one after it has it', () =>
      withBench({}, async (bench) => {
        const box = await (await bench.daemon.connect()).create({ handle: 'box' });
        const job = await box.spawn('sleep 1000');
        const pidFile = path.join((await box.info()).containerPath!, 'run/wshd.pid');
        const pid = Number(fs.readFileSync(pidFile, 'utf8'));
        // each time but for the second try, with the descriptor that it keeps for this
        const fault = { call: 'accept4', error: 'EMFILE', when: '1+2' };
        const second = await whileFailing(pid, fault, () => bench.restart());
        expect(await (await second.connect()).list()).toEqual([]);
        expect(fs.existsSync(`/proc/${pid}`)).toBe(true);
        const third = await (await bench.restart()).connect();
        expect(await third.list()).toEqual(['box']);
        expect((await third.container('box').info()).jobIds).toEqual([job.id]);
      }));
  },
);
