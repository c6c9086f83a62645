/**
 * What hangs or is stopped: init, launcher, a whole container. Whoever asks is told within a bound, and
 * others are served meanwhile.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { ClientContainer, WardenClient } from '@warden/client';
import { describeWith, patience } from '@warden/test-harness';
import { describe, expect, it, vi } from 'vitest';
import { type Bench, withBench } from './place-suite.ts';

const MINUTE = 60_000;
const WAITING = 'echo ready; while :; do sleep 3600; done';

/** Failpoints in a file, which can be emptied. */
async function withPoints(
  points: string,
  body: (environment: Record<string, string>, disarm: () => void) => Promise<void>,
): Promise<void> {
  const directory = fs.mkdtempSync('/tmp/warden-points-');
  const file = path.join(directory, 'points');
  fs.writeFileSync(file, points);
  try {
    await body({ WARDEN_FAILPOINT: `@${file}` }, () => fs.writeFileSync(file, ''));
  } finally {
    fs.rmSync(directory, { recursive: true });
  }
}

/** The process of a container's init. */
async function initOf(box: ClientContainer): Promise<number> {
  const { containerPath = '' } = await box.info();
  return Number(fs.readFileSync(path.join(containerPath, 'run/wshd.pid'), 'utf8'));
}

/** Nobody else notices. */
async function othersServed(warden: WardenClient): Promise<void> {
  const begun = performance.now();
  await warden.ping();
  expect((await warden.container('other').run('exit 4')).exitStatus).toBe(4);
  await using third = await warden.create();
  expect((await third.run('exit 5')).exitStatus).toBe(5);
  expect(performance.now() - begun, 'milliseconds for others').toBeLessThan(patience(15_000));
}

async function withBoth(bench: Bench): Promise<{ warden: WardenClient; box: ClientContainer }> {
  const warden = await bench.daemon.connect();
  await warden.create({ handle: 'other' });
  return { warden, box: await warden.create({ handle: 'box' }) };
}

/** It can be looked at, says why, and can be destroyed. */
async function isLost(box: ClientContainer): Promise<void> {
  await vi.waitFor(async () => expect((await box.info()).state).toBe('stopped'), patience(20_000));
  await expect(box.run('true')).rejects.toMatchObject({ code: 'BAD_STATE' });
  await box.destroy();
}

describeWith(['root', 'isolated', 'overlayfs'], 'what is silent', () => {
  describe.concurrent('is given up', () => {
    it(
      'an init that is stopped, by a request: after 30 seconds, and with it its container',
      { timeout: 3 * MINUTE },
      () =>
        withBench({ isShared: true }, async (bench) => {
          const { warden, box } = await withBoth(bench);
          const job = await box.spawn(WAITING);
          const linked = job.link();
          const waits = linked.then(({ exitStatus, verdict }) => ({ exitStatus, verdict }));
          process.kill(await initOf(box), 'SIGSTOP');
          const begun = performance.now();
          const refused = expect(box.run('true')).rejects.toThrow(
            /init has not answered for 30 s: it is stopped, frozen or hangs/,
          );
          await othersServed(warden);
          expect((await box.info()).state).toBe('active');
          await refused;
          expect(performance.now() - begun).toBeLessThan(patience(45_000));
          expect(await waits).toEqual({ exitStatus: 255, verdict: { reason: 'init-lost' } });
          await isLost(box);
        }),
    );

    it('an init that is stopped, by whoever only waits: within a minute', { timeout: 3 * MINUTE }, () =>
      withBench({ isShared: true }, async (bench) => {
        const { warden, box } = await withBoth(bench);
        const job = await box.spawn(WAITING);
        process.kill(await initOf(box), 'SIGSTOP');
        const begun = performance.now();
        const waits = job.link();
        await othersServed(warden);
        expect(await waits).toMatchObject({ exitStatus: 255, verdict: { reason: 'init-lost' } });
        expect(performance.now() - begun).toBeLessThan(patience(90_000));
        await isLost(box);
      }),
    );

    it(
      'an init that is stopped, by a stop and by a destruction: after what its processes get',
      { timeout: 3 * MINUTE },
      () =>
        withBench({ isShared: true }, async (bench) => {
          const { warden, box } = await withBoth(bench);
          await box.spawn(WAITING);
          process.kill(await initOf(box), 'SIGSTOP');
          const begun = performance.now();
          await Promise.all([box.stop({ kill: true }), othersServed(warden)]);
          expect(performance.now() - begun).toBeLessThan(patience(20_000));
          await isLost(box);
          const second = await warden.create();
          process.kill(await initOf(second), 'SIGSTOP');
          await second.destroy();
          expect(bench.daemon.readLog()).toContain('silent-init-killed');
        }),
    );

    it('a launcher that hangs: after its time limit, with nothing left', { timeout: 4 * MINUTE }, () =>
      withPoints('wshd.before-clone=delay(600000)', (environment, disarm) =>
        withBench(
          { isShared: true, environment, config: { drivers: { hook_timeout: 1 } } },
          async ({ daemon }) => {
            const warden = await daemon.connect();
            const begun = performance.now();
            const refused = expect(warden.create({ handle: 'late' })).rejects.toMatchObject({
              code: 'TIMEOUT',
              message: expect.stringMatching(/init did not get through clone within \d+ ms/),
            });
            const other = await daemon.connect();
            await expect(other.create({ handle: 'late' })).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
            await other.ping();
            await refused;
            expect(performance.now() - begun).toBeLessThan(patience(90_000));
            disarm();
            expect(await warden.list()).toEqual([]);
            await using again = await warden.create({ handle: 'late' });
            expect((await again.run('exit 5')).exitStatus).toBe(5);
          },
        ),
      ),
    );
  });

  it.each(['signal', 'freezer'] as const)('goes on when it is only for a moment: %s', (how) =>
    withBench({}, async (bench) => {
      const { warden, box } = await withBoth(bench);
      const thaw = freeze(bench, await initOf(box), how);
      const running = box.run('exit 6');
      await othersServed(warden);
      thaw();
      expect((await running).exitStatus).toBe(6);
    }),
  );

  it(
    'a frozen container can be stopped and destroyed: it is thawed for that, and the log says so',
    () =>
      withBench({}, async (bench) => {
        const { warden, box } = await withBoth(bench);
        const job = await box.spawn(WAITING);
        const second = await warden.create({ handle: 'second' });
        for (const one of [box, second]) freeze(bench, await initOf(one), 'freezer');
        await box.stop();
        expect(await job.link()).toMatchObject({ exitStatus: 255, verdict: { reason: 'container-stopped' } });
        await second.destroy();
        expect(await warden.list()).toEqual(['other', 'box']);
        expect(bench.daemon.readLog()).toContain('frozen-container-thawed');
      }),
    MINUTE,
  );
});

/** By SIGSTOP to init, or everything in the container by its group. Answers how it goes on. */
function freeze(bench: Bench, init: number, how: 'signal' | 'freezer'): () => void {
  if (how === 'signal') {
    process.kill(init, 'SIGSTOP');
    return () => process.kill(init, 'SIGCONT');
  }
  const lines = fs.readFileSync(`/proc/${init}/cgroup`, 'utf8').split('\n');
  const at = (pattern: RegExp): string | undefined =>
    lines.map((line) => pattern.exec(line)?.[1]).find(Boolean);
  const v1 = at(/:freezer:(.*)$/);
  const [file, frozen, thawed] = v1?.includes(bench.place.name)
    ? [path.join('/sys/fs/cgroup/freezer', v1, 'freezer.state'), 'FROZEN', 'THAWED']
    : [path.join('/sys/fs/cgroup', at(/^0::(.*)$/)!, 'cgroup.freeze'), '1', '0'];
  fs.writeFileSync(file, frozen);
  return () => fs.writeFileSync(file, thawed);
}
