/** Limits and what memory that runs out does, over the fakes of the compliance kit. */
import fs from 'node:fs';
import path from 'node:path';
import type { Program } from '@warden/driver-compliance';
import {
  type CgroupDriver,
  type Container,
  type QuotaDriver,
  type Warden,
  WardenError,
} from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { TestHost } from '../test/host.ts';
import type { Core } from './index.ts';

/** Deadlines for a machine that is busy with something else. */
const SOON = { timeout: 20_000 };

const UNLIMITED = 9_223_372_036_854_771_712n;
const MIB = 1n << 20n;
const EVENT = 'out of memory';

/** Jobs end when the test says so. */
const endings: (() => void)[] = [];
const program: Program = async ({ killed }) => {
  const told = new Promise<{ exitCode: number }>((resolve) => {
    endings.push(() => resolve({ exitCode: 137 }));
  });
  return Promise.race([told, killed.then((signal) => ({ signal }))]);
};

let host: TestHost;
let core: Core;
let warden: Warden;
/** What a test replaces of the drivers. */
let cgroup: Partial<CgroupDriver>;
let quota: Partial<QuotaDriver>;

async function start(): Promise<void> {
  const drivers = host.drivers();
  core = await host.start({
    drivers: { ...drivers, cgroup: { ...drivers.cgroup, ...cgroup }, quota: { ...drivers.quota, ...quota } },
    graceTime: undefined,
    jobOutputLimit: 0,
    security: { subordinateIds: undefined, capabilities: 0n, noNewPrivileges: true, seccomp: true },
  });
  warden = core.openSession();
}

beforeEach(async () => {
  host = new TestHost({ program });
  endings.length = 0;
  cgroup = {};
  quota = {};
  await start();
});
afterEach(async () => {
  await core.close();
  host.remove();
});

/** The daemon dies without a word and another one starts. */
async function restart(): Promise<void> {
  await core.close();
  await start();
}

function recordOf(box: Container): { resources: Record<string, unknown>; warden: Record<string, unknown> } {
  return JSON.parse(fs.readFileSync(path.join(host.depot, box.handle, 'snapshot.json'), 'utf8'));
}

/** A process of the container takes so much memory. */
function allocate(box: Container, bytes: number): void {
  host.groups.join(`/core/instance-${box.handle}/cgroup.procs`, { pid: 7, rss: 0n, onEnd: () => {} });
  host.groups.allocate(7, bytes);
}

describe('the memory limit', () => {
  it('is recorded as requested, whatever the kernel made of it [behaviour 5 LimitMemory]', async () => {
    const { setMemoryLimit } = plainDriver();
    cgroup = { setMemoryLimit: async (state, bytes) => setMemoryLimit(state, bytes - (bytes % 4096n)) };
    await restart();
    const box = await warden.create();
    expect(await box.limitMemory(5_000n)).toBe(4_096n);
    expect(await box.limitMemory()).toBe(4_096n);
    expect(recordOf(box).resources.limit_memory).toBe('5000');
  });

  it('leaves the record as it was when the kernel refuses [behaviour 5 LimitMemory]', async () => {
    const box = await warden.create();
    await box.limitMemory(4n * MIB);
    const refusal = new WardenError('NATIVE_FAILED', 'Failed setting memory limit: EBUSY');
    const { setMemoryLimit } = plainDriver();
    cgroup = {
      setMemoryLimit: async (state, bytes) => {
        if (bytes < MIB) throw refusal;
        return setMemoryLimit(state, bytes);
      },
    };
    await restart();
    const same = warden.container(box.handle);
    await expect(same.limitMemory(1n)).rejects.toThrow('Failed setting memory limit: EBUSY');
    expect(recordOf(box).resources.limit_memory).toBe(String(4n * MIB));
    expect(await same.limitMemory()).toBe(4n * MIB);
  });

  it('is not set when it cannot be recorded', async () => {
    const box = await warden.create();
    const beside = path.join(host.depot, box.handle, 'snapshot.json.new');
    fs.mkdirSync(beside);
    await expect(box.limitMemory(4n * MIB)).rejects.toMatchObject({ code: 'NATIVE_FAILED' });
    await expect(box.limitCpu(100n)).rejects.toMatchObject({ code: 'NATIVE_FAILED' });
    expect([await box.limitMemory(), await box.limitCpu()]).toEqual([UNLIMITED, 1024n]);
    fs.rmdirSync(beside);
    expect(await box.limitMemory(4n * MIB)).toBe(4n * MIB);
  });

  it('and the shares are put in force again by the next daemon [behaviour 9] [drivers 2.1]', async () => {
    const box = await warden.create();
    await box.limitMemory(4n * MIB);
    await box.limitCpu(100n);
    const group = host.groups.groups.get(`/core/instance-${box.handle}`)!;
    group.memoryLimit = UNLIMITED;
    group.shares = 1024n;
    await restart();
    const same = warden.container(box.handle);
    expect([await same.limitMemory(), await same.limitCpu()]).toEqual([4n * MIB, 100n]);
  });

  it('that the kernel refuses again is no reason to end a container', async () => {
    const box = await warden.create();
    await box.limitMemory(4n * MIB);
    cgroup = {
      setMemoryLimit: async () => {
        throw new WardenError('NATIVE_FAILED', 'Failed setting memory limit: EBUSY');
      },
    };
    await restart();
    expect(await warden.list()).toEqual([box.handle]);
    expect((await warden.container(box.handle).info()).state).toBe('active');
  });

  it('can be read and set on a stopped container, which is not watched [behaviour 4]', async () => {
    const box = await warden.create();
    await box.stop({ kill: true });
    expect(await box.limitMemory(4n * MIB)).toBe(4n * MIB);
    expect(await box.limitMemory()).toBe(4n * MIB);
    expect(await box.limitCpu(2n)).toBe(2n);
    expect(host.groups.groups.get(`/core/instance-${box.handle}`)!.watches.size).toBe(0);
    expect((await box.info()).state).toBe('stopped');
  });

  function plainDriver(): CgroupDriver {
    return host.drivers().cgroup;
  }
});

describe('memory that runs out', () => {
  it('is known to the answer for its victim before the notification has come [behaviour 7 New]', async () => {
    const box = await warden.create();
    await box.limitMemory(4n * MIB);
    host.groups.holdsNotifications = true;
    const job = await box.spawn('');
    const linked = job.link();
    await vi.waitFor(() => expect(endings).toHaveLength(1), SOON);
    allocate(box, 8 << 20);
    endings[0]!();
    expect((await linked).info).toMatchObject({ state: 'stopped', events: [EVENT] });
  });

  it('is known to the stop that closes the watch', async () => {
    const box = await warden.create();
    await box.limitMemory(4n * MIB);
    host.groups.holdsNotifications = true;
    allocate(box, 8 << 20);
    await box.stop({ kill: true });
    expect((await box.info()).events).toEqual([EVENT]);
    expect(host.groups.groups.get(`/core/instance-${box.handle}`)!.watches.size).toBe(0);
  });

  it('while no daemon was there stops the container at the next start [behaviour 7 New]', async () => {
    const box = await warden.create();
    await box.limitMemory(4n * MIB);
    expect(recordOf(box).warden.out_of_memory_kills).toBe('0');
    await core.close();
    allocate(box, 8 << 20);
    await start();
    const same = warden.container(box.handle);
    await vi.waitFor(
      async () => expect(await same.info()).toMatchObject({ state: 'stopped', events: [EVENT] }),
      SOON,
    );
    await restart();
    expect(await warden.container(box.handle).info()).toMatchObject({ state: 'stopped', events: [EVENT] });
  });

  it('before the first limit is nothing that a later daemon finds [behaviour 7]', async () => {
    const box = await warden.create();
    host.groups.groups.get(`/core/instance-${box.handle}`)!.kills = 3n;
    await box.limitMemory(4n * MIB);
    expect(recordOf(box).warden.out_of_memory_kills).toBe('3');
    await restart();
    expect(await warden.container(box.handle).info()).toMatchObject({ state: 'active', events: [] });
  });
});

describe('disk limits', () => {
  it('keep what is not named [behaviour 5 LimitDisk]', async () => {
    const box = await warden.create();
    await box.limitDisk({ blockSoft: 1n, blockHard: 2n, inodeSoft: 3n, inodeHard: 4n });
    expect(await box.limitDisk({ blockHard: 20n })).toEqual({
      blockSoft: 1n,
      blockHard: 20n,
      inodeSoft: 3n,
      inodeHard: 4n,
    });
    expect(await box.limitDisk({ blockSoft: 0n, inodeSoft: 0n })).toMatchObject({
      blockSoft: 0n,
      inodeSoft: 0n,
    });
  });

  it('are only read when none is named', async () => {
    const setLimits = vi.fn();
    quota = { setLimits };
    await restart();
    const box = await warden.create();
    expect(await box.limitDisk({})).toEqual({ blockSoft: 0n, blockHard: 0n, inodeSoft: 0n, inodeHard: 0n });
    expect(setLimits).not.toHaveBeenCalled();
  });

  it('are nothing where quotas are off, for a request and for a reading [behaviour 5 LimitDisk]', async () => {
    const refuse = async (): Promise<never> => {
      throw new WardenError('UNSUPPORTED', 'disk limits are off');
    };
    quota = { setLimits: refuse, limits: refuse, usage: refuse };
    await restart();
    const box = await warden.create();
    expect(await box.limitDisk({ blockHard: 20n })).toBeUndefined();
    expect(await box.limitDisk({})).toBeUndefined();
    expect((await box.info()).diskStat).toBeUndefined();
  });

  it('can be set on a stopped container [behaviour 4]', async () => {
    const box = await warden.create();
    await box.stop({ kill: true });
    expect(await box.limitDisk({ blockHard: 20n })).toMatchObject({ blockHard: 20n });
  });
});

describe('info', () => {
  const failing = (text: string) => async (): Promise<never> => {
    throw new WardenError('NATIVE_FAILED', text);
  };

  it.each([
    [
      'memory_stat',
      { memoryStat: failing('Failed getting memory usage: x') },
      {},
      'Failed getting memory usage: x',
    ],
    ['cpu_stat', { cpuStat: failing('Failed getting cpu stats: x') }, {}, 'Failed getting cpu stats: x'],
    ['disk_stat', {}, { usage: failing('Failed getting disk usage: x') }, 'Failed getting disk usage: x'],
  ])('fails as a whole by the text of %s [behaviour 5 Info]', async (_field, cgroups, quotaPart, text) => {
    cgroup = cgroups;
    quota = quotaPart;
    await restart();
    const box = await warden.create();
    await expect(box.info()).rejects.toThrow(text);
  });

  it('has no statistics that no driver keeps [drivers 5]', async () => {
    const refuse = async (): Promise<never> => {
      throw new WardenError('UNSUPPORTED', 'off');
    };
    cgroup = { memoryStat: refuse, cpuStat: refuse };
    quota = { usage: refuse };
    await restart();
    const info = await (await warden.create()).info();
    expect([info.memoryStat, info.cpuStat, info.diskStat]).toEqual([undefined, undefined, undefined]);
    expect(info.bandwidthStat).toBeDefined();
  });
});
