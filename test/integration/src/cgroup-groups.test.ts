/**
 * Control groups as the host sees them: names, the view for old programs, their removal (spec behaviour.md
 * 15.3, 15.5; drivers.md 2).
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ClientContainer, WardenClient } from '@warden/client';
import type { ContainerInfo } from '@warden/interface';
import {
  cgroupParents,
  describeWith,
  makePlace,
  startDaemon,
  type TestPlace,
  withDaemon,
} from '@warden/test-harness';
import { expect, it } from 'vitest';

const V1 = ['root', 'isolated', 'overlayfs', 'cgroup-v1-memory'] as const;

function groups(place: TestPlace, id: string): string[] {
  return cgroupParents(place.name)
    .map((parent) => path.join(parent, `instance-${id}`))
    .filter((group) => fs.existsSync(group));
}

const FILE = 32 << 20;

describeWith(V1, 'the groups of a container', () => {
  const suite = withDaemon();

  it('are called instance-<id> in each hierarchy, hold all its processes, and are gone afterwards [behaviour 15.3]', async () => {
    const { place } = suite.daemon;
    const box = await (await suite.daemon.connect()).create({ handle: 'a handle' });
    const id = path.basename((await box.info()).containerPath!);
    const found = groups(place, id);
    for (const name of ['cpu', 'cpuacct', 'memory', 'devices'])
      expect(
        found.some((group) => group.split('/').some((part) => part.split(',').includes(name))),
        name,
      ).toBe(true);
    const job = await box.spawn('echo started; exec sleep 1000');
    const output = job.stream();
    expect((await output.next()).done).toBe(false);
    await output.return(undefined as never);
    for (const group of found) {
      // that of processes has a level more (packages/cgroup/src/reserve.ts)
      const jobs = path.join(group, 'jobs');
      const inside = fs.existsSync(jobs) ? jobs : group;
      expect(
        fs.readFileSync(path.join(inside, 'cgroup.procs'), 'utf8').trim().split('\n').length,
      ).toBeGreaterThan(1);
    }
    await box.stop({ kill: true });
    await box.destroy();
    expect(groups(place, id)).toEqual([]);
  });

  it('of many that go together leave nothing under another name either [drivers 2.8]', async () => {
    const { place } = suite.daemon;
    const warden = await suite.daemon.connect();
    const boxes = await Promise.all(Array.from({ length: 8 }, () => warden.create()));
    await Promise.all(boxes.map((box) => box.run('dd if=/dev/zero of=/tmp/file bs=64k count=16')));
    await Promise.all(boxes.map((box) => box.destroy()));
    for (const { handle } of boxes) expect(groups(place, handle)).toEqual([]);
    const left = (): string[] =>
      cgroupParents(place.name)
        .flatMap((parent) => fs.readdirSync(parent))
        .filter((name) => boxes.some(({ handle }) => name.endsWith(handle)) && !/^(spare|cache)-/.test(name));
    await expect.poll(left, { timeout: 20_000 }).toEqual([]);
  });

  it('of memory are given to the next container, which sees nothing of the last, also from the next daemon; they go with theirs', async () => {
    const daemon = await startDaemon();
    const { place } = daemon;
    const parent = cgroupParents(place.name).find((one) => one.split('/').includes('memory'))!;
    const spares = (): string[] => fs.readdirSync(parent).filter((name) => name.startsWith('spare-'));
    const inode = (name: string): number => fs.statSync(path.join(parent, name)).ino;
    const faults = async (box: { info(): Promise<ContainerInfo> }): Promise<number> =>
      Number((await box.info()).memoryStat!.total_pgfault);
    /**
     * Ends containers until one's group is kept: where too much of the kernel's is charged to it still, it is
     * removed.
     */
    const keepOne = async (
      warden: WardenClient,
      use: (box: ClientContainer) => Promise<void> = async () => {},
    ): Promise<string> => {
      for (let attempt = 0; attempt < 20; attempt++) {
        const box = await warden.create();
        await use(box);
        await box.destroy();
        const waits = (): boolean => fs.existsSync(path.join(parent, `removed-${box.handle}`));
        await expect.poll(waits, { timeout: 10_000 }).toBe(false);
        if (spares().length > 0) {
          expect(spares()).toEqual([`spare-${box.handle}`]);
          return box.handle;
        }
      }
      throw new Error('no group of twenty was kept');
    };
    try {
      const warden = await daemon.connect();
      let before = 0;
      const first = await keepOne(warden, async (box) => {
        await box.limitMemory(256n << 20n);
        await box.run('i=0; while [ $i -lt 500 ]; do (exit 0); i=$((i+1)); done');
        await delay(2_100); // the kernel adds up what its processors have counted every two seconds
        before = await faults(box);
      });
      const spare = inode(`spare-${first}`);
      const next = await warden.create();
      expect(inode(`instance-${next.handle}`)).toBe(spare);
      expect(spares()).toEqual([]);
      expect(await next.limitMemory()).toBe(9_223_372_036_854_771_712n);
      expect(await faults(next)).toBeLessThan(before / 2);
      expect((await next.info()).events).toEqual([]);
      await keepOne(warden);
      await daemon.kill('SIGKILL');
      const again = await startDaemon({ place });
      try {
        expect(spares()).toEqual([]); // a killed daemon's
        const box = (await again.connect()).container(next.handle);
        expect(await faults(box)).toBeLessThan(before / 2);
        await box.limitMemory(12n << 20n);
        await box.run('head -c 64m /dev/zero | tail -c 64m > /dev/null');
        await expect
          .poll(async () => (await box.info()).events, { timeout: 10_000 })
          .toEqual(['out of memory']);
        await box.destroy();
        await keepOne(await again.connect());
      } finally {
        await again.stop();
      }
      expect(fs.readdirSync(parent).filter((name) => name.includes('-'))).toEqual([]);
    } finally {
      await daemon.stop();
      await place.remove();
    }
  });

  it('of memory are given to nobody where other containers may have descriptors of it, which are charged there', async () => {
    const daemon = await startDaemon();
    const { place } = daemon;
    const parent = cgroupParents(place.name).find((one) => one.split('/').includes('memory'))!;
    const left = (): string[] =>
      fs.readdirSync(parent).filter((name) => name.includes('-') && !name.startsWith('cache-'));
    try {
      const warden = await daemon.connect();
      for (const mode of ['ro', 'rw'] as const) {
        const box = await warden.create({
          bindMounts: [{ source: place.directory, target: '/shared', mode }],
        });
        await box.destroy();
        await expect.poll(left, { timeout: 10_000 }).toEqual([]);
      }
    } finally {
      await daemon.stop();
      await place.remove();
    }
  });

  it('are removed with those that somebody made inside [behaviour 15.5] [drivers 6]', async () => {
    const { place } = suite.daemon;
    const box = await (await suite.daemon.connect()).create();
    for (const group of groups(place, box.handle))
      fs.mkdirSync(path.join(group, 'instance-0123456789a/inner'), { recursive: true });
    await box.destroy();
    expect(groups(place, box.handle)).toEqual([]);
  });

  it('with a process of somebody else are emptied and removed in bounded time [drivers 2.8]', async () => {
    const { place } = suite.daemon;
    const box = await (await suite.daemon.connect()).create();
    const stranger = spawn('sleep', ['1000'], { stdio: 'ignore' });
    const ended = once(stranger, 'exit');
    for (const group of groups(place, box.handle))
      fs.writeFileSync(path.join(group, 'cgroup.procs'), String(stranger.pid));
    const began = performance.now();
    await box.destroy();
    expect(performance.now() - began).toBeLessThan(30_000);
    expect((await ended)[1]).toBe('SIGKILL');
    expect(groups(place, box.handle)).toEqual([]);
  });

  it('with a zombie that its parent does not reap are removed all the same [drivers 2.8]', async () => {
    const { place } = suite.daemon;
    const box = await (await suite.daemon.connect()).create();
    const [cpu] = groups(place, box.handle);
    // the child joins, ends, and stays a zombie as long as its parent sleeps
    const parent = spawn('sh', ['-c', `(echo 0 > ${cpu}/cgroup.procs && echo joined) & exec sleep 1000`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      await once(parent.stdout, 'data');
      await box.destroy();
      expect(groups(place, box.handle)).toEqual([]);
    } finally {
      parent.kill('SIGKILL');
    }
  });

  it('do not live on in the kernel: those of pages that others read too go with the daemon, the others at once [linux-container 10]', async () => {
    const daemon = await startDaemon();
    const { place } = daemon;
    const all = cgroupParents(place.name).find((parent) => parent.split('/').includes('memory'))!;
    const used = (): number => Number(fs.readFileSync(path.join(all, 'memory.usage_in_bytes'), 'utf8'));
    // pages of a file that outlives the container, in nobody's cache yet: they are charged to who reads them first
    const file = path.join(place.directory, 'read-inside');
    execFileSync('dd', [
      'if=/dev/zero',
      `of=${file}`,
      'bs=1M',
      `count=${FILE >> 20}`,
      'conv=fsync',
      'status=none',
    ]);
    const forget = (): void => {
      execFileSync('dd', [`of=${file}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0', 'status=none']);
    };
    forget();
    const cached = (): number =>
      Number(execFileSync('fincore', ['-n', '-o', 'PAGES', file], { encoding: 'utf8' }));
    try {
      expect(cached()).toBe(0);
      const warden = await daemon.connect();
      const reading = async (): Promise<ClientContainer> => {
        const box = await warden.create({
          bindMounts: [{ source: file, target: '/read-inside', mode: 'ro' }],
        });
        expect((await box.run('cat /read-inside > /dev/null')).exitStatus).toBe(0);
        expect(used()).toBeGreaterThan(FILE / 2);
        return box;
      };
      const names = ({ handle }: ClientContainer): string[] =>
        fs.readdirSync(all).filter((name) => name.endsWith(`-${handle}`));
      const fewUsed = async (): Promise<void> => {
        // those of a group that is gone count in the group above
        await expect.poll(used, { timeout: 30_000, interval: 100 }).toBeLessThan(FILE / 4);
      };
      const strange = await reading();
      fs.mkdirSync(path.join(all, `instance-${strange.handle}`, 'inner'));
      await strange.destroy();
      await expect.poll(() => names(strange), { timeout: 10_000 }).toEqual([]);
      await fewUsed();
      forget();
      const box = await reading();
      await box.destroy();
      await expect.poll(() => names(box), { timeout: 10_000 }).toEqual([`cache-${box.handle}`]);
      expect(cached()).toBe(FILE / 4_096);
      const next = await warden.create();
      expect(Number((await next.info()).memoryStat!.total_cache)).toBeLessThan(FILE / 4);
      await next.destroy();
      expect(cached()).toBe(FILE / 4_096);
      await daemon.stop();
      expect(names(box)).toEqual([]);
      await fewUsed();
    } finally {
      await daemon.stop();
      await place.remove();
    }
  });
});

describeWith(V1, 'the view for old programs', () => {
  it('leads by subsystem to each container, and stays with the first daemon [behaviour 15.3]', async () => {
    const first = await makePlace();
    const second = await makePlace();
    const view = path.join(first.directory, 'warden/cgroup');
    const config = { compat: { cgroup_view: view } };
    const daemon = await startDaemon({ place: first, config });
    try {
      const box = await (await daemon.connect()).create();
      await box.limitMemory(64n << 20n);
      const read = (file: string): string =>
        fs.readFileSync(path.join(view, file.replace('<id>', box.handle)), 'utf8').trim();
      expect(fs.readdirSync(view).sort()).toEqual(['cpu', 'cpuacct', 'devices', 'memory']);
      expect(read('memory/instance-<id>/memory.limit_in_bytes')).toBe(String(64n << 20n));
      expect(read('cpu/instance-<id>/cpu.shares')).toBe('1024');
      expect(read('devices/instance-<id>/devices.list')).toContain('c 1:3 rw');
      expect(read('cpuacct/instance-<id>/tasks').split('\n').length).toBeGreaterThan(0);

      const other = await startDaemon({ place: second, config });
      try {
        expect(other.readLog()).toContain('another daemon has the view');
        expect(read('memory/instance-<id>/memory.limit_in_bytes')).toBe(String(64n << 20n));
      } finally {
        await other.stop();
      }
      await daemon.kill();
      const again = await startDaemon({ place: first, config });
      expect(again.readLog()).not.toContain('cgroup-view-not-made');
      await again.stop();
    } finally {
      await daemon.stop();
      await second.remove();
      await first.remove();
    }
  });
});
