/**
 * Limits of memory, processor and disk, and process limits of jobs, with the real daemon (spec behaviour.md
 * 5, 14; linux-container.md 25).
 */
import fs from 'node:fs';
import path from 'node:path';
import type { ClientContainer } from '@warden/client';
import {
  cgroupParents,
  describeWith,
  startDaemon,
  type TestDaemon,
  type TestPlace,
  withDaemon,
} from '@warden/test-harness';
import { describe, expect, it } from 'vitest';
import { text } from './text.ts';

const MIB = 1n << 20n;
const KIB = 1024n;
const UNLIMITED = 9_223_372_036_854_771_712n;

/** A file of the container's group, as the kernel shows it. */
function control(place: TestPlace, id: string, file: string): string {
  return path.join(group(place, id, file), file);
}

function group(place: TestPlace, id: string, file: string): string {
  const found = cgroupParents(place.name)
    .map((parent) => path.join(parent, `instance-${id}`))
    .find((one) => fs.existsSync(path.join(one, file)));
  if (found === undefined) throw new Error(`no group of ${id} has ${file}`);
  return found;
}

function read(place: TestPlace, id: string, file: string): string {
  return fs.readFileSync(control(place, id, file), 'utf8').trim();
}

function recordOf(box: ClientContainer, place: TestPlace): { resources: Record<string, unknown> } {
  return JSON.parse(fs.readFileSync(path.join(place.depot, box.handle, 'snapshot.json'), 'utf8'));
}

const V1 = ['root', 'isolated', 'overlayfs', 'cgroup-v1-memory'] as const;

describeWith(V1, 'the memory limit', () => {
  const suite = withDaemon();
  const MEMORY = 'memory.limit_in_bytes';
  const BOTH = [MEMORY, 'memory.memsw.limit_in_bytes'];

  it('is 9223372036854771712 where none was set [behaviour 5 LimitMemory] [linux-container 25 limit_memory]', async () => {
    await using box = await (await suite.daemon.connect()).create();
    expect(await box.limitMemory()).toBe(UNLIMITED);
  });

  it('is raised and lowered, memory and swap together, and recorded [behaviour 5 LimitMemory] [linux-container 10]', async () => {
    const { place } = suite.daemon;
    await using box = await (await suite.daemon.connect()).create();
    for (const limit of [100n * MIB, 200n * MIB, 50n * MIB]) {
      expect(await box.limitMemory(limit)).toBe(limit);
      expect(await box.limitMemory()).toBe(limit);
      for (const file of BOTH) expect(read(place, box.handle, file)).toBe(String(limit));
      expect(recordOf(box, place).resources.limit_memory).toBe(String(limit));
    }
    expect(await box.limitMemory(0xffff_ffff_ffff_ffffn)).toBe(UNLIMITED);
    for (const file of BOTH) expect(read(place, box.handle, file)).toBe(String(UNLIMITED));
  });

  it('is what the kernel made of it, whole pages [behaviour 5 LimitMemory] [drivers 2.1]', async () => {
    await using box = await (await suite.daemon.connect()).create();
    expect(await box.limitMemory(100n * MIB + 1n)).toBe(100n * MIB);
    expect(recordOf(box, suite.daemon.place).resources.limit_memory).toBe(String(100n * MIB + 1n));
  });

  it('below what is used is refused, and the old one stays [behaviour 17]', async () => {
    const { place } = suite.daemon;
    await using box = await (await suite.daemon.connect()).create();
    await box.limitMemory(64n * MIB);
    // pages of shared memory cannot be taken away from anybody where there is no swap
    await box.run('dd if=/dev/zero of=/dev/shm/file bs=1M count=24');
    await expect(box.limitMemory(4n * MIB)).rejects.toMatchObject({
      code: 'NATIVE_FAILED',
      message: expect.stringMatching(
        /^Failed setting memory limit: \S+: EBUSY: 4194304 bytes are too few for what is there already, \d{8} are in use$/,
      ),
      fields: {
        ...{ operation: 'set memory limit', object: group(place, box.handle, MEMORY), errno: 'EBUSY' },
        advice: expect.stringContaining('set a higher limit'),
      },
    });
    for (const file of BOTH) expect(read(place, box.handle, file)).toBe(String(64n * MIB));
    expect(recordOf(box, place).resources.limit_memory).toBe(String(64n * MIB));
    expect(await box.info()).toMatchObject({ state: 'active', events: [] });
  });

  it('can be read and set on a stopped container [behaviour 4]', async () => {
    await using box = await (await suite.daemon.connect()).create();
    await box.stop({ kill: true });
    expect(await box.limitMemory()).toBe(UNLIMITED);
    expect(await box.limitMemory(64n * MIB)).toBe(64n * MIB);
  });

  it('fails with the original text when the group is gone [behaviour 17]', async () => {
    const { place } = suite.daemon;
    await using box = await (await suite.daemon.connect()).create();
    await box.stop({ kill: true });
    const memory = group(place, box.handle, MEMORY);
    const pids = fs.readFileSync(path.join(memory, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean);
    const parent = path.join(path.dirname(memory), 'cgroup.procs');
    for (const pid of pids) fs.writeFileSync(parent, pid);
    fs.writeFileSync(path.join(memory, 'memory.force_empty'), '0');
    fs.rmdirSync(memory);
    await expect(box.limitMemory(MIB)).rejects.toThrow(/^Failed setting memory limit: .*ENOENT/);
    await expect(box.info()).rejects.toThrow(/^Failed getting memory usage: .*ENOENT/);
  });
});

describeWith(V1, 'the cpu shares', () => {
  const suite = withDaemon();

  it('are 1024 at first, then what was asked for, at least 2 [behaviour 5 LimitCpu] [linux-container 25 limit_cpu]', async () => {
    const { place } = suite.daemon;
    await using box = await (await suite.daemon.connect()).create();
    expect(await box.limitCpu()).toBe(BigInt(read(place, box.handle, 'cpu.shares')));
    expect(await box.limitCpu()).toBe(1024n);
    for (const [asked, answered] of [
      [100n, 100n],
      [200n, 200n],
      [1n, 2n],
      [0xffff_ffff_ffff_ffffn, 262_144n],
    ] as const) {
      expect(await box.limitCpu(asked)).toBe(answered);
      expect(await box.limitCpu()).toBe(answered);
      expect(read(place, box.handle, 'cpu.shares')).toBe(String(answered));
      expect(recordOf(box, place).resources.limit_cpu).toBe(String(asked));
    }
    await box.stop({ kill: true });
    expect(await box.limitCpu(300n)).toBe(300n);
  });

  it('fail with the original text when the group is gone [behaviour 17]', async () => {
    const { place } = suite.daemon;
    await using box = await (await suite.daemon.connect()).create();
    await box.stop({ kill: true });
    const cpu = group(place, box.handle, 'cpu.shares');
    const pids = fs.readFileSync(path.join(cpu, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean);
    for (const pid of pids) fs.writeFileSync(path.join(path.dirname(cpu), 'cgroup.procs'), pid);
    fs.rmdirSync(cpu);
    await expect(box.limitCpu(100n)).rejects.toThrow(/^Failed setting cpu shares: .*ENOENT/);
  });
});

describeWith(V1, 'limits after a restart', () => {
  it.each(['SIGTERM', 'SIGKILL'] as const)(
    'by %s are as they were, also when somebody has changed them meanwhile [behaviour 9]',
    async (signal) => {
      let daemon = await startDaemon();
      const { place } = daemon;
      try {
        const box = await (await daemon.connect()).create();
        await box.limitMemory(64n * MIB);
        await box.limitCpu(100n);
        await daemon.kill(signal);
        fs.writeFileSync(control(place, box.handle, 'cpu.shares'), '1024');
        fs.writeFileSync(control(place, box.handle, 'memory.memsw.limit_in_bytes'), '-1');
        fs.writeFileSync(control(place, box.handle, 'memory.limit_in_bytes'), '-1');
        daemon = await startDaemon({ place });
        const same = (await daemon.connect()).container(box.handle);
        expect([await same.limitMemory(), await same.limitCpu()]).toEqual([64n * MIB, 100n]);
        expect(read(place, box.handle, 'memory.memsw.limit_in_bytes')).toBe(String(64n * MIB));
      } finally {
        await daemon.stop();
        await daemon.kill();
        await place.remove();
      }
    },
  );
});

describeWith(['root', 'isolated', 'overlayfs'], 'disk limits that are switched off', () => {
  const suite = withDaemon();

  it('are accepted and answered with nothing, set or read [behaviour 5 LimitDisk] [linux-container 18]', async () => {
    await using box = await (await suite.daemon.connect()).create();
    expect(await box.limitDisk({ blockHard: 1n })).toBeUndefined();
    expect(await box.limitDisk({})).toBeUndefined();
    expect((await box.run('dd if=/dev/zero of=/tmp/file bs=1M count=4')).exitStatus).toBe(0);
    expect((await box.info()).diskStat).toBeUndefined();
  });
});

const QUOTA = { server: { quota: { disk_quota_enabled: true } } };

describeWith(['root', 'isolated', 'overlayfs'], 'disk limits', () => {
  const suite = withDaemon({ config: QUOTA });
  const dd = (megabytes: number, file = '/tmp/file'): string =>
    `dd if=/dev/zero of=${file} bs=1000000 count=${megabytes} 2>&1`;

  it('begin with none [linux-container 25 limit_disk]', async () => {
    await using box = await (await suite.daemon.connect()).create();
    expect(await box.limitDisk({})).toEqual({ blockSoft: 0n, blockHard: 0n, inodeSoft: 0n, inodeHard: 0n });
  });

  it('answer what is in force, and keep it when nothing is named [behaviour 5 LimitDisk] [linux-container 25 limit_disk]', async () => {
    await using box = await (await suite.daemon.connect()).create();
    expect(await box.limitDisk({ blockHard: 12_345n })).toMatchObject({ blockHard: 12_345n });
    expect(await box.limitDisk({})).toMatchObject({ blockHard: 12_345n });
    expect(await box.limitDisk({ blockHard: 0n })).toMatchObject({ blockHard: 0n });
  });

  it('of 2 MiB let 1 MB pass and stop 4 MB [linux-container 25 limit_disk] [drivers 6]', async () => {
    await using box = await (await suite.daemon.connect()).create();
    await box.limitDisk({ blockHard: 2n * KIB });
    expect((await box.run(dd(1))).exitStatus).toBe(0);
    await box.run('rm /tmp/file');
    const { exitStatus, stdout } = await box.run(dd(4));
    expect(exitStatus).toBe(1);
    expect(text(stdout)).toMatch(/No space left on device|[Qq]uota exceeded/);
    // root inside is not exempt either: its files count
    expect((await box.run(dd(4, '/root/file'), { privileged: true })).exitStatus).toBe(1);
  });

  it('of two containers are independent [linux-container 25 limit_disk]', async () => {
    const warden = await suite.daemon.connect();
    await using first = await warden.create();
    await using second = await warden.create();
    await first.limitDisk({ blockHard: 2n * KIB });
    await second.limitDisk({ blockHard: 2n * KIB });
    expect((await first.run(dd(4))).exitStatus).toBe(1);
    expect((await second.run(dd(1))).exitStatus).toBe(0);
  });

  it('are raised and lowered while the container runs; below what is used they are refused [drivers 4.6]', async () => {
    await using box = await (await suite.daemon.connect()).create();
    await box.limitDisk({ blockHard: 2n * KIB });
    await box.limitDisk({ blockHard: 20n * KIB });
    expect((await box.run(dd(8))).exitStatus).toBe(0);
    await expect(box.limitDisk({ blockHard: 2n * KIB })).rejects.toMatchObject({
      code: 'INVALID_SPEC',
      message: 'cannot set the disk limit: more is used already',
    });
    expect(await box.limitDisk({})).toMatchObject({ blockHard: 20n * KIB });
    await box.run('rm /tmp/file');
    expect(await box.limitDisk({ blockHard: 2n * KIB })).toMatchObject({ blockHard: 2n * KIB });
    expect((await box.run(dd(4))).exitStatus).toBe(1);
  });

  it('can be set on a stopped container [behaviour 4]', async () => {
    await using box = await (await suite.daemon.connect()).create();
    await box.stop({ kill: true });
    expect(await box.limitDisk({ blockHard: 2n * KIB })).toMatchObject({ blockHard: 2n * KIB });
    expect((await box.info()).diskStat).toBeDefined();
  });

  it('show what is used: bytes grow by what is written, there are inodes [linux-container 25 info] [drivers 6]', async () => {
    await using box = await (await suite.daemon.connect()).create();
    const before = (await box.info()).diskStat!;
    expect(before.inodesUsed).toBeGreaterThan(0n);
    await box.run(dd(1));
    const after = (await box.info()).diskStat!;
    expect(Math.abs(Number(after.bytesUsed - before.bytesUsed) - 1_000_000)).toBeLessThanOrEqual(32_000);
    expect(after.inodesUsed).toBeGreaterThan(before.inodesUsed);
  });

  it('leave nothing to who gets the same uid next [drivers 4.7]', async () => {
    const warden = await suite.daemon.connect();
    const uids = new Set<string>();
    for (let round = 0; round < 3; round++) {
      await using box = await warden.create();
      uids.add(text((await box.run('id -u')).stdout));
      expect(await box.limitDisk({})).toMatchObject({ blockHard: 0n });
      expect((await box.run('ls -A /tmp; ls -A $HOME | grep -v "^[.]"')).stdout).toHaveLength(0);
      await box.limitDisk({ blockHard: 2n * KIB });
      await box.run(`${dd(4)}; ${dd(1, '~/mine')}`);
      expect((await box.info()).diskStat!.bytesUsed).toBeLessThanOrEqual(2n * MIB);
    }
  });
});

describe.each([['SIGTERM'], ['SIGKILL']] as const)('disk limits after %s', (signal) => {
  describeWith(['root', 'isolated', 'overlayfs'], 'and a restart', () => {
    it('are as they were, and quotas that are switched off meanwhile leave no mount behind [drivers 5]', async () => {
      let daemon: TestDaemon = await startDaemon({ config: QUOTA });
      const { place } = daemon;
      try {
        const warden = await daemon.connect();
        const [kept, given] = [await warden.create(), await warden.create()];
        await kept.limitDisk({ blockHard: 2n * KIB });
        await kept.run('dd if=/dev/zero of=/tmp/file bs=1000000 count=1');
        await daemon.kill(signal);
        daemon = await startDaemon({ place, config: QUOTA });
        const again = await daemon.connect();
        const same = again.container(kept.handle);
        expect(await same.limitDisk({})).toMatchObject({ blockHard: 2n * KIB });
        expect((await same.info()).diskStat!.bytesUsed).toBeGreaterThan(1_000_000n);
        expect((await same.run('dd if=/dev/zero of=/tmp/file bs=1000000 count=4')).exitStatus).toBe(1);
        await same.destroy();
        await daemon.kill(signal);
        daemon = await startDaemon({ place });
        const last = await daemon.connect();
        expect(await last.list()).toEqual([given.handle]);
        await last.container(given.handle).limitDisk({ blockHard: 2n * KIB });
        await last.container(given.handle).destroy();
        await using fresh = await last.create();
        expect(await fresh.limitDisk({})).toBeUndefined();
        const mounts = fs.readFileSync(`/proc/${place.network.host.pid}/mountinfo`, 'utf8');
        expect(mounts).not.toContain(place.depot);
      } finally {
        await daemon.stop();
        await daemon.kill();
        await place.remove();
      }
    });
  });
});
