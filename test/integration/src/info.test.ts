/** What info tells (spec behaviour.md 5 Info, linux-container.md 17), with the real daemon. */
import fs from 'node:fs';
import path from 'node:path';
import { MEMORY_STAT_KEYS } from '@warden/interface';
import { cgroupParents, describeWith, withDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { text } from './text.ts';

const MIB = 1n << 20n;

describeWith(['root', 'isolated', 'overlayfs', 'cgroup-v1-memory'], 'info', () => {
  const suite = withDaemon();

  it('has every field of the contract, disk_stat not where quotas are off [behaviour 5 Info] [protocol 8 Info]', async () => {
    const { place } = suite.daemon;
    await using box = await (await suite.daemon.connect()).create();
    const info = await box.info();
    expect(
      Object.keys(info)
        .filter((key) => key !== 'pressureStat') // on cgroup v2
        .sort(),
    ).toEqual([
      'bandwidthStat',
      'containerIp',
      'containerPath',
      'cpuStat',
      'events',
      'hostIp',
      'jobIds',
      'memoryStat',
      'state',
    ]);
    expect(info).toMatchObject({ state: 'active', events: [], jobIds: [] });
    expect(info.containerPath).toBe(path.join(fs.realpathSync(place.depot), box.handle));
    const number = (address: string): number =>
      address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0);
    expect(number(info.hostIp!) % 4).toBe(1);
    expect(number(info.containerIp!) % 4).toBe(2);
    expect(number(info.containerIp!) - number(info.hostIp!)).toBe(1);
    expect(info.bandwidthStat).toEqual({
      inRate: 0xffff_ffffn,
      inBurst: 0xffff_ffffn,
      outRate: 0xffff_ffffn,
      outBurst: 0xffff_ffffn,
    });
  });

  it('has the memory statistics of the kernel, all 28 [linux-container 17.2] [linux-container 25 info]', async () => {
    await using box = await (await suite.daemon.connect()).create();
    await box.limitMemory(64n * MIB);
    const job = await box.spawn('x=$(head -c 8m /dev/zero | tr "\\0" x); echo ready; sleep 1000');
    const output = job.stream();
    expect((await output.next()).done).toBe(false);
    const stat = (await box.info()).memoryStat!;
    expect(Object.keys(stat).sort()).toEqual([...MEMORY_STAT_KEYS].sort());
    expect(MEMORY_STAT_KEYS).toHaveLength(28);
    expect(stat.rss).toBeGreaterThan(8n * MIB);
    expect(stat.total_rss).toBe(stat.rss);
    expect(stat.pgfault).toBeGreaterThan(0n);
    expect(stat.hierarchical_memory_limit).toBe(64n * MIB);
    expect(stat.hierarchical_memsw_limit).toBe(64n * MIB);
    await output.return(undefined as never);
    await box.stop({ kill: true });
  });

  it('has the processor time, in nanoseconds and in clock ticks [linux-container 17.1] [linux-container 25 info]', async () => {
    await using box = await (await suite.daemon.connect()).create();
    const before = (await box.info()).cpuStat!;
    expect(before.usage).toBeGreaterThan(0n);
    await box.run('for ((i = 0; i < 200000; i++)); do :; done');
    const { usage, user, system } = (await box.info()).cpuStat!;
    const ticks = user + system - before.user - before.system;
    const spent = usage - before.usage;
    expect(spent).toBeGreaterThan(50_000_000n);
    expect(ticks).toBeGreaterThan(0n);
    // 100 ticks of 10 ms a second, sampled
    expect(Number(ticks) * 10_000_000).toBeLessThan(Number(spent) * 3);
    expect(Number(ticks) * 10_000_000).toBeGreaterThan(Number(spent) / 3);
  });

  it('lists running jobs only [linux-container 25 info]', async () => {
    await using box = await (await suite.daemon.connect()).create();
    const [first, second] = [await box.spawn('sleep 1000'), await box.spawn('sleep 1000')];
    expect((await box.info()).jobIds).toEqual([first.id, second.id]);
    await first.kill();
    expect((await first.link()).info.jobIds).toEqual([second.id]);
    expect((await box.info()).jobIds).toEqual([second.id]);
    await box.stop({ kill: true });
    expect((await box.info()).jobIds).toEqual([]);
  });

  it('works on a stopped container, with all statistics [behaviour 4]', async () => {
    await using box = await (await suite.daemon.connect()).create();
    await box.stop({ kill: true });
    const info = await box.info();
    expect(info.state).toBe('stopped');
    expect([info.memoryStat, info.cpuStat, info.bandwidthStat].map((stat) => stat !== undefined)).toEqual([
      true,
      true,
      true,
    ]);
  });

  it('is answered while the container is destroyed, until the handle is unknown [behaviour 4] [behaviour 5 Destroy]', async () => {
    const box = await (await suite.daemon.connect()).create();
    const observer = (await suite.daemon.connect()).container(box.handle);
    let isOver = false;
    const destroyed = box.destroy().then(() => {
      isOver = true;
    });
    const failures: string[] = [];
    const readings: (() => Promise<unknown>)[] = [
      () => observer.info(),
      () => observer.limitMemory(),
      () => observer.limitCpu(),
      () => observer.limitDisk({}),
    ];
    while (!isOver) {
      const results = await Promise.allSettled(readings.map((reading) => reading()));
      for (const one of results) if (one.status === 'rejected') failures.push((one.reason as Error).message);
    }
    await destroyed;
    expect(
      new Set(failures).size === 0 || failures.every((message) => message === 'unknown handle'),
      failures.join('\n'),
    ).toBe(true);
    await expect(observer.info()).rejects.toThrow('unknown handle');
  });

  it.each([
    ['memory', 'memory.stat', 'Failed getting memory usage'],
    ['cpuacct', 'cpuacct.usage', 'Failed getting cpu stats'],
  ])(
    'fails as a whole by the original text when the %s group is gone [behaviour 17]',
    async (_name, file, message) => {
      await using box = await (await suite.daemon.connect()).create();
      await box.stop({ kill: true });
      const group = cgroupParents(suite.daemon.place.name)
        .map((parent) => path.join(parent, `instance-${box.handle}`))
        .find((one) => fs.existsSync(path.join(one, file)))!;
      for (const pid of fs.readFileSync(path.join(group, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean))
        fs.writeFileSync(path.join(path.dirname(group), 'cgroup.procs'), pid);
      fs.rmdirSync(group);
      await expect(box.info()).rejects.toThrow(new RegExp(`^${message}: .*ENOENT`));
    },
  );
});

describeWith(['root', 'isolated', 'overlayfs'], 'info with a disk quota', () => {
  const suite = withDaemon({ config: { server: { quota: { disk_quota_enabled: true } } } });

  it('has disk_stat, and fails by the original text when the image is gone [behaviour 17] [linux-container 17.1]', async () => {
    await using box = await (await suite.daemon.connect()).create();
    const { diskStat } = await box.info();
    expect(diskStat!.bytesUsed).toBeGreaterThan(0n);
    expect(diskStat!.inodesUsed).toBeGreaterThan(0n);
    expect(text((await box.run('echo it runs')).stdout)).toBe('it runs\n');
    suite.daemon.place.network.host.run(
      'umount',
      '--lazy',
      path.join(suite.daemon.place.depot, box.handle, 'tmp'),
    );
    await expect(box.info()).rejects.toThrow(/^Failed getting disk usage: /);
  });
});
