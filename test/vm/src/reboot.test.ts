/**
 * A machine that is reset while containers run, and the depot it finds when it is up again (spec
 * linux-container.md 25 recovery).
 *
 * Two runs: the first makes containers and asks the host for the reset, which ends it; the second, after it,
 * is the test.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {
  describeWith,
  makePlace,
  patience,
  registerPlace,
  startDaemon,
  type TestDaemon,
} from '@warden/test-harness';
import { expect, it } from 'vitest';

/** What the first run tells the second; on the host, so that the reset cannot take it away. */
interface Before {
  readonly depot: string;
  readonly pids: readonly number[];
  /** That many are on the disk for certain; of the last one there may be anything. */
  readonly synced: number;
}

/** What clearing the depot may take beyond a start on an empty one. */
const BOUND_MS = 5_000;
const phase = process.env.WARDEN_TEST_REBOOT;
const guest = process.env.WARDEN_TEST_GUEST ?? '';
const note = path.join(guest, 'results/before-reset.json');

describeWith(['root', 'isolated', 'overlayfs', 'guest'], 'a reset of the machine', () => {
  it.runIf(phase === 'before')('finds containers and jobs running', async () => {
    const daemon = await startDaemon();
    registerPlace(daemon.place)(); // what it leaves is for the test of the next run, not for its reaper
    const warden = await daemon.connect();
    const pids: number[] = [];
    for (let index = 0; index < 3; index++) {
      if (index === 2) expect(spawnSync('sync').status).toBe(0);
      const box = await warden.create();
      await box.limitMemory(64n << 20n);
      await box.netIn();
      await box.spawn('echo kept > file; sleep 100000');
      const { containerPath } = await box.info();
      pids.push(Number(fs.readFileSync(path.join(containerPath!, 'run/wshd.pid'), 'utf8')));
    }
    const before: Before = { depot: daemon.place.depot, pids, synced: pids.length - 1 };
    fs.writeFileSync(note, JSON.stringify(before));
    fs.writeFileSync('/dev/console', 'warden-vm: reset\n');
    await new Promise((resolve) => setTimeout(resolve, patience(60_000)));
    throw new Error('the host did not reset the machine');
  });

  it.runIf(phase === 'after')(
    'leaves a depot that the next start clears within bounds, without touching others [linux-container 25 recovery]',
    async () => {
      const before = JSON.parse(fs.readFileSync(note, 'utf8')) as Before;
      const stale = fs.readdirSync(before.depot).filter((name) => !name.startsWith('.'));
      expect(stale.length).toBeGreaterThanOrEqual(before.synced);
      const place = await makePlace();
      // the depot of old, at the place of the new daemon
      fs.rmdirSync(place.depot);
      fs.renameSync(before.depot, place.depot);
      const strangers = before.pids.map((pid) => strangerWithPid(pid));
      try {
        // one on an empty depot first: it fills caches, and is what the other is compared with
        const bare = await started(startDaemon());
        await bare.daemon.stop();
        await bare.daemon.place.remove();
        const { daemon, took } = await started(startDaemon({ place }));
        try {
          expect(took).toBeLessThan(2 * bare.took + patience(BOUND_MS));
          const warden = await daemon.connect();
          expect(await warden.list()).toEqual([]);
          expect(fs.readdirSync(place.depot).filter((name) => !name.startsWith('.'))).toEqual([]);
          expect(strangers.map((one) => [one.exitCode, one.signalCode])).toEqual(
            strangers.map(() => [null, null]),
          );
          await using box = await warden.create();
          expect((await box.run('ls')).stdout).toHaveLength(0);
        } finally {
          await daemon.stop();
        }
      } finally {
        for (const stranger of strangers) stranger.kill('SIGKILL');
        await place.remove();
      }
    },
  );
});

async function started(starting: Promise<TestDaemon>): Promise<{ daemon: TestDaemon; took: number }> {
  const began = performance.now();
  const daemon = await starting;
  return { daemon, took: performance.now() - began };
}

/** A process that has nothing to do with warden, and the number that a file in the depot names. */
function strangerWithPid(pid: number): ChildProcess {
  for (let attempt = 0; attempt < 50; attempt++) {
    fs.writeFileSync('/proc/sys/kernel/ns_last_pid', String(pid - 1));
    const child = spawn('sleep', ['100000'], { stdio: 'ignore' });
    if (child.pid === pid) return child;
    child.kill('SIGKILL');
  }
  throw new Error(`the number ${pid} could not be had`);
}
