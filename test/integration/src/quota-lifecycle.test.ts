/**
 * Disk quota by images over a container's life: failures, killed daemons, full depots, no loop device (spec
 * drivers.md 4.6, 5, 6).
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  cgroupParents,
  describeWith,
  makePlace,
  remainingLeaks,
  startDaemon,
  type TestPlace,
  takeInventory,
} from '@warden/test-harness';
import { expect, it } from 'vitest';
import { until } from './until.ts';

const QUOTA = { server: { quota: { disk_quota_enabled: true } }, drivers: { quota: 'image' } };
/** The daemon in a mount namespace of its own, in which a test can take devices away from it. */
const OWN_MOUNTS = ['unshare', '--mount', '--propagation', 'private', '--'];
const NO_LOOP = ['sh', '-c', 'mount --bind /dev/null /dev/loop-control && exec "$@"', 'sh'];

function run(...argv: string[]): void {
  const { status, stderr } = spawnSync(argv[0]!, argv.slice(1), { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${argv.join(' ')}: ${stderr}`);
}

/** Nothing of the depot may be left once everything is destroyed. */
async function endClean(place: TestPlace, before: ReturnType<typeof takeInventory>): Promise<void> {
  expect((await remainingLeaks(place, before)).filter((line) => !line.includes('wardend'))).toEqual([]);
}

describeWith(['root', 'isolated', 'overlayfs'], 'a create with a disk quota', () => {
  it.each(['create.quota', 'create.filesystem', 'create.launch', 'create.snapshot'])(
    'that fails at %s leaves neither mount, nor loop device, nor image [drivers 6]',
    async (failpoint) => {
      const place = await makePlace();
      const daemon = await startDaemon({
        place,
        environment: { WARDEN_FAILPOINT: `${failpoint}=error` },
        config: QUOTA,
      });
      try {
        const warden = await daemon.connect();
        const before = takeInventory(place, daemon.pid);
        for (let round = 0; round < 3; round++) await expect(warden.create()).rejects.toThrow(failpoint);
        expect(await remainingLeaks(place, before, { daemonPid: daemon.pid })).toEqual([]);
      } finally {
        await daemon.stop();
        await daemon.kill();
        await place.remove();
      }
    },
  );

  it.each(['create.record', 'create.quota', 'create.filesystem', 'create.launch', 'create.snapshot'])(
    'that is killed at %s is cleaned up by the next daemon [drivers 6]',
    async (failpoint) => {
      const place = await makePlace();
      let daemon = await startDaemon({
        place,
        config: QUOTA,
        environment: { WARDEN_FAILPOINT: `${failpoint}=kill` },
      });
      const before = takeInventory(place);
      try {
        await expect((await daemon.connect()).create()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
        await daemon.kill();
        daemon = await startDaemon({ place, config: QUOTA });
        const again = await daemon.connect();
        for (const handle of await again.list()) await again.container(handle).destroy();
        const box = await again.create();
        expect((await box.run('exit 3')).exitStatus).toBe(3);
        await box.destroy();
      } finally {
        await daemon.stop();
        await daemon.kill();
        try {
          await endClean(place, before);
        } finally {
          await place.remove();
        }
      }
    },
  );

  it('whose container has died meanwhile is removed with its image by the next daemon [behaviour 10]', async () => {
    const place = await makePlace();
    let daemon = await startDaemon({ place, config: QUOTA });
    const before = takeInventory(place);
    try {
      const box = await (await daemon.connect()).create();
      await box.limitDisk({ blockHard: 2048n });
      await daemon.kill();
      const [cpu] = cgroupParents(place.name);
      const [init] = fs.readFileSync(`${cpu}/instance-${box.handle}/cgroup.procs`, 'utf8').split('\n');
      process.kill(Number(init), 'SIGKILL');
      await until(() => !fs.existsSync(`/proc/${init}`));
      daemon = await startDaemon({ place, config: QUOTA });
      expect(await (await daemon.connect()).list()).toEqual([]);
    } finally {
      await daemon.stop();
      await daemon.kill();
      try {
        await endClean(place, before);
      } finally {
        await place.remove();
      }
    }
  });

  it('that is destroyed by a daemon killed in the middle, again and again, leaves nothing [drivers 6]', async () => {
    const place = await makePlace();
    const config = { ...QUOTA, network: { release_delay: 0 } };
    let daemon = await startDaemon({ place, config });
    const before = takeInventory(place);
    try {
      for (let round = 0; round < 4; round++) {
        const warden = await daemon.connect();
        const boxes = await Promise.all([1, 2, 3].map(() => warden.create()));
        for (const box of boxes) await box.limitDisk({ blockHard: 4096n });
        const destroyed = Promise.allSettled(boxes.map((box) => box.destroy()));
        // sooner or later each time: whatever it was doing then, the next one makes an end of it
        await delay(15 * round * round);
        await daemon.kill();
        await destroyed;
        daemon = await startDaemon({ place, config });
        const again = await daemon.connect();
        for (const handle of await again.list()) await again.container(handle).destroy();
        await again.close();
        const left = await remainingLeaks(place, before);
        expect(left.filter((line) => !line.includes('wardend'))).toEqual([]);
      }
    } finally {
      await daemon.stop();
      await daemon.kill();
      await place.remove();
    }
  }, 240_000);

  it('for more containers than the host has devices ready, all at once, all gone afterwards', async () => {
    const place = await makePlace();
    const daemon = await startDaemon({
      place,
      config: { ...QUOTA, network: { release_delay: 0 } },
    });
    try {
      const warden = await daemon.connect();
      await (await warden.create()).destroy();
      const before = takeInventory(place, daemon.pid);
      const boxes = await Promise.all(Array.from({ length: 12 }, () => warden.create()));
      await Promise.all(boxes.map((box, at) => box.limitDisk({ blockHard: BigInt(2048 + at) })));
      for (const [at, box] of boxes.entries())
        expect(await box.limitDisk({})).toMatchObject({ blockHard: BigInt(2048 + at) });
      await Promise.all(boxes.map((box) => box.destroy()));
      await warden.close();
      expect(await remainingLeaks(place, before, { daemonPid: daemon.pid })).toEqual([]);
    } finally {
      await daemon.stop();
      await daemon.kill();
      await place.remove();
    }
  });
});

describeWith(['root', 'isolated', 'overlayfs'], 'a host for disk quotas', () => {
  it('without loop devices is refused at the start, with every reason and what to do [DECISIONS] [drivers 5]', async () => {
    const place = await makePlace();
    try {
      const config = { server: { quota: { disk_quota_enabled: true } } };
      const failure = await startDaemon({ place, config, wrapper: [...OWN_MOUNTS, ...NO_LOOP] }).then(
        async (daemon) => {
          await daemon.kill();
          return 'it started';
        },
        (error: Error) => error.message,
      );
      expect(failure).toContain('no quota driver works on this host: project: ');
      expect(failure).toMatch(
        /user: no user quota on the file system .*; image: no image can be made on .*ENOTTY/,
      );
      expect(failure).toContain('server.quota.disk_quota_enabled: false');
      expect(fs.readdirSync(place.depot).sort()).toEqual(['.backend', '.lock']);
    } finally {
      await place.remove();
    }
  });

  it('that runs out of loop devices refuses the create, and goes on [drivers 4.6]', async () => {
    const place = await makePlace();
    const daemon = await startDaemon({ place, config: QUOTA, wrapper: OWN_MOUNTS });
    const inside = (...argv: string[]): void => run('nsenter', `--mount=/proc/${daemon.pid}/ns/mnt`, ...argv);
    try {
      const warden = await daemon.connect();
      const kept = await warden.create();
      inside('mount', '--bind', '/dev/null', '/dev/loop-control');
      await expect(warden.create()).rejects.toMatchObject({
        code: 'NATIVE_FAILED',
        message: expect.stringContaining('cannot get a loop device'),
      });
      expect(fs.readdirSync(place.depot).filter((name) => !name.startsWith('.'))).toEqual([kept.handle]);
      inside('umount', '/dev/loop-control');
      await (await warden.create()).destroy();
      await kept.destroy();
    } finally {
      await daemon.stop();
      await daemon.kill();
      await place.remove();
    }
  });

  it('without user quota takes the best driver that works, and says what differs [DECISIONS]', async () => {
    const daemon = await startDaemon({ config: { server: { quota: { disk_quota_enabled: true } } } });
    try {
      const lines = daemon
        .readLog()
        .split('\n')
        .filter((line) => line.includes('quota-driver-differs'));
      expect(lines.map((line) => JSON.parse(line))).toEqual([
        expect.objectContaining({
          log_level: 'warn',
          data: expect.objectContaining({ driver: 'image', errno: 'ENOSPC', countsRootFiles: true }),
        }),
      ]);
    } finally {
      await daemon.stop();
      await daemon.place.remove();
    }
  });

  it('whose depot is full refuses the create, leaves nothing, and goes on once there is room [drivers 1.4]', async () => {
    const place = await makePlace();
    const host = `--mount=/proc/${place.network.host.pid}/ns/mnt`;
    const image = path.join(place.directory, 'depot.img');
    // as the original's tests: a small file system without journal, over a loop device
    fs.writeFileSync(image, '');
    fs.truncateSync(image, 100 << 20);
    run('mkfs.ext4', '-q', '-O', '^has_journal', image);
    run('mount', '-o', 'loop', image, place.depot);
    const device = fs
      .readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .find((line) => line.split(' ')[1] === place.depot)!
      .split(' ')[0]!;
    run('nsenter', host, 'mount', device, place.depot);
    const daemon = await startDaemon({ place, config: QUOTA });
    try {
      const warden = await daemon.connect();
      await (await warden.create()).destroy();
      const before = takeInventory(place);
      const filler = path.join(place.depot, '.filler');
      spawnSync('dd', ['if=/dev/zero', `of=${filler}`, 'bs=64k'], { stdio: 'ignore' });
      await expect(warden.create()).rejects.toMatchObject({ message: expect.stringContaining('ENOSPC') });
      expect(await remainingLeaks(place, before)).toEqual([]);
      fs.rmSync(filler);
      const box = await warden.create();
      expect((await box.run('exit 3')).exitStatus).toBe(3);
      await box.destroy();
    } finally {
      await daemon.stop();
      await daemon.kill();
      run('nsenter', host, 'umount', place.depot);
      run('umount', place.depot);
      await place.remove();
    }
  });
});
