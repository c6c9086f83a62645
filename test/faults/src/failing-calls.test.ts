/**
 * The kernel refuses one system call of the daemon, once: whatever asked for it is told which and why, or
 * does without, and nobody else notices.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import type { ClientContainer, WardenClient } from '@warden/client';
import { describeWith, type TestDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { withBench } from './place-suite.ts';

/** Which call fails, and how. */
interface Fault {
  readonly call: string;
  readonly error: string;
}

/** Runs `action` while the daemon's event loop gets `error` of the first such call. */
async function whileFailing<T>(
  daemon: TestDaemon,
  { call, error }: Fault,
  action: () => Promise<T>,
): Promise<T> {
  const words = ['-e', `trace=${call}`, '-e', `inject=${call}:error=${error}:when=1`, '-o', '/dev/null'];
  const tracer = spawn('strace', [...words, '-p', String(daemon.pid)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = once(tracer, 'exit');
  try {
    let said = '';
    for await (const data of tracer.stderr.iterator({ destroyOnReturn: false })) {
      said += data;
      if (said.includes('attached')) break;
    }
    expect(said).toContain('attached');
    tracer.stderr.resume();
    return await action();
  } finally {
    tracer.kill('SIGINT'); // it lets go of the daemon
    await ended;
  }
}

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
        const refused = whileFailing(daemon, { call: 'sendmsg', error }, () => box.run('echo x > /tmp/ran'));
        await expect(refused).rejects.toMatchObject({
          code: 'NATIVE_FAILED',
          fields: { operation: 'spawn', errno: error },
        });
        expect((await box.run('ls /tmp')).stdoutText).not.toContain('ran');
      }),
    );

    it('a watch for what a job prints: it is read all the same', () =>
      withBox(async ({ daemon, box }) => {
        const job = await whileFailing(daemon, { call: 'epoll_ctl', error: 'ENOSPC' }, async () => {
          const started = await box.spawn('sleep 0.2; echo hello; echo bad >&2; exit 5');
          expect((await started.result()).exitStatus).toBe(5);
          return await box.run('echo hello; exit 6');
        });
        expect([job.exitStatus, job.stdoutText]).toEqual([6, 'hello\n']);
      }));
  },
);
