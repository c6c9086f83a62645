/**
 * Limits and the device policy of a container where the host has cgroup v2 only, with the real daemon (spec
 * drivers.md 2).
 */
import fs from 'node:fs';
import path from 'node:path';
import type { ClientContainer } from '@warden/client';
import {
  cgroupParents,
  describeWith,
  patience,
  startDaemon,
  type TestDaemon,
  type TestPlace,
  withDaemon,
} from '@warden/test-harness';
import { expect, it } from 'vitest';

const MIB = 1n << 20n;
/** Numbers of a disk that this machine has. */
const DISK = fs.existsSync('/sys/block/vda/dev')
  ? fs.readFileSync('/sys/block/vda/dev', 'utf8').trim().split(':')
  : [];
const UNLIMITED = 9_223_372_036_854_771_712n;

function group(place: TestPlace, { handle }: ClientContainer): string {
  const [parent] = cgroupParents(place.name);
  return path.join(parent!, `instance-${handle}`);
}

function read(place: TestPlace, box: ClientContainer, file: string): string {
  return fs.readFileSync(path.join(group(place, box), file), 'utf8').trim();
}

describeWith(['root', 'isolated', 'overlayfs', 'cgroup-v2'], 'a container in cgroup v2', () => {
  const suite = withDaemon();

  it('has one group, in which every process of it is, and none after destroy [drivers 2.1]', async () => {
    const { place } = suite.daemon;
    const box = await (await suite.daemon.connect()).create();
    await box.spawn('sleep 1000');
    const own = group(place, box);
    expect(cgroupParents(place.name)).toHaveLength(1);
    const { stdout } = await box.run('cat /proc/self/cgroup');
    // a cgroup namespace would say "/", the host's says the group
    expect(Buffer.from(stdout).toString()).toMatch(/^0::\/(.*instance-.*)?\n$/);
    const wshd = Number(fs.readFileSync(path.join(place.depot, box.handle, 'run/wshd.pid'), 'utf8'));
    expect(fs.readFileSync(`/proc/${wshd}/cgroup`, 'utf8')).toContain(`/instance-${box.handle}`);
    await box.destroy();
    expect(fs.existsSync(own)).toBe(false);
  });

  it('has its memory limit as memory.max, without swap on top [behaviour 5 LimitMemory] [drivers 2.3]', async () => {
    const { place } = suite.daemon;
    await using box = await (await suite.daemon.connect()).create();
    expect(await box.limitMemory()).toBe(UNLIMITED);
    for (const limit of [100n * MIB, 200n * MIB, 50n * MIB]) {
      expect(await box.limitMemory(limit)).toBe(limit);
      expect(read(place, box, 'memory.max')).toBe(String(limit));
      expect(await box.limitMemory()).toBe(limit);
    }
    expect(read(place, box, 'memory.swap.max')).toBe('0');
    await expect(box.limitMemory(0xffff_ffff_ffff_ffffn)).resolves.toBe(UNLIMITED);
    expect(read(place, box, 'memory.max')).toBe('max');
  });

  it('has its shares as cpu.weight, and answers shares [behaviour 5 LimitCpu] [drivers 2.4]', async () => {
    const { place } = suite.daemon;
    await using box = await (await suite.daemon.connect()).create();
    expect(await box.limitCpu()).toBe(1024n);
    expect(await box.limitCpu(512n)).toBe(512n);
    expect([read(place, box, 'cpu.weight'), await box.limitCpu()]).toEqual(['59', 512n]);
    expect(await box.limitCpu(1n)).toBe(2n);
    expect(read(place, box, 'cpu.weight')).toBe('1');
  });

  it('tells the pressure in info [drivers 2.1]', async () => {
    await using box = await (await suite.daemon.connect()).create();
    await box.run('i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done');
    const { pressureStat } = await box.info();
    // Debian builds PSI in; a kernel without has nothing to tell
    if (!fs.existsSync(path.join(group(suite.daemon.place, box), 'cpu.pressure')))
      return expect(pressureStat).toBeUndefined();
    expect(Object.keys(pressureStat!).sort()).toEqual(['cpu', 'io', 'memory']);
    const { some, full } = pressureStat!.memory!;
    for (const { avg10, total } of [some, full!]) {
      expect(avg10).toBeGreaterThanOrEqual(0);
      expect(total).toBeTypeOf('bigint');
    }
  });

  it('cannot open a device that is not on the list, root inside neither; one on the list it can [linux-container 9.2]', async () => {
    const { place } = suite.daemon;
    const nodes = fs.mkdtempSync(path.join(place.directory, 'nodes-'));
    fs.chmodSync(nodes, 0o755);
    const mknod = (name: string, ...number: string[]): string =>
      place.network.host.run('mknod', '-m', '0666', path.join(nodes, name), ...number);
    mknod('null', 'c', '1', '3');
    mknod('kmsg', 'c', '1', '11');
    mknod('disk', 'b', DISK[0]!, DISK[1]!);
    const script = `for name in null kmsg disk; do (: < ${nodes}/$name) 2>/dev/null && echo $name; done; true`;
    expect(place.network.host.run('sh', '-c', script)).toBe('null\nkmsg\ndisk\n');
    await using box = await (await suite.daemon.connect()).create({
      bindMounts: [{ source: nodes, target: nodes, mode: 'rw' }],
    });
    // the same files by a process of the host that has joined the group: nothing else keeps it from them
    const joined = `echo $$ > ${group(place, box)}/jobs/cgroup.procs && ${script}`;
    expect(place.network.host.run('sh', '-c', joined)).toBe('null\n');
    // inside no mount of a request has devices, and /dev has those of the list
    const { stdout } = await box.run(`${script}; : < /dev/null && echo own`, { privileged: true });
    expect(Buffer.from(stdout).toString()).toBe('own\n');
  });
});

describeWith(['root', 'isolated', 'overlayfs', 'cgroup-v2'], 'limits in cgroup v2 after a restart', () => {
  it('are as they were, also when somebody has changed them meanwhile [behaviour 9]', async () => {
    let daemon: TestDaemon = await startDaemon();
    const { place } = daemon;
    try {
      const box = await (await daemon.connect()).create();
      await box.limitMemory(64n * MIB);
      await box.limitCpu(512n);
      await daemon.kill('SIGKILL');
      for (const [file, value] of [
        ['cpu.weight', '100'],
        ['memory.max', 'max'],
      ])
        fs.writeFileSync(path.join(group(place, box), file!), value!);
      daemon = await startDaemon({ place });
      const same = (await daemon.connect()).container(box.handle);
      expect([await same.limitMemory(), await same.limitCpu()]).toEqual([64n * MIB, 512n]);
      expect([read(place, box, 'memory.max'), read(place, box, 'cpu.weight')]).toEqual([
        String(64n * MIB),
        '59',
      ]);
    } finally {
      await daemon.stop();
      await daemon.kill();
      await place.remove();
    }
  });
});

describeWith(['root', 'isolated', 'overlayfs', 'cgroup-v2'], 'a full container in cgroup v2', () => {
  const suite = withDaemon({ config: { drivers: { pids_limit: 30 } } });

  it('starts a bounded number of jobs from the reserve of its init, and then says what is full [SECURITY R01]', async () => {
    const { place } = suite.daemon;
    await using box = await (await suite.daemon.connect()).create();
    const count = (name: string): number => Number(read(place, box, `${name}pids.current`));
    const bomb = await box.spawn('while :; do sleep 1000 & done', { privileged: true });
    await expect.poll(() => count('jobs/'), { timeout: patience(30_000) }).toBe(30);
    expect((await box.run('echo ran')).exitStatus).toBe(0);
    const started: Awaited<ReturnType<typeof box.spawn>>[] = [];
    let refusal: unknown;
    while (refusal === undefined && started.length < 60)
      await box.spawn('exec sleep 1000').then(
        (job) => started.push(job),
        (error: unknown) => {
          refusal = error;
        },
      );
    expect(refusal).toMatchObject({ code: 'POOL_EXHAUSTED', fields: { pool: 'processes', limit: 30 } });
    expect(started.length).toBeGreaterThan(16);
    expect(count('')).toBeLessThanOrEqual(62);
    // init is back inside
    expect(read(place, box, 'reserve/cgroup.procs')).toBe('');
    await started[0]!.kill();
    await expect
      .poll(async () => (await box.run('echo ran').catch(() => undefined))?.exitStatus, {
        timeout: patience(30_000),
      })
      .toBe(0);
    await bomb.kill({ tree: true });
  });
});
