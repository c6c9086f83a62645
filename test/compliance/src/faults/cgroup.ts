/** Faults of cgroup drivers. */
import { type CgroupDriver, WardenError } from '@warden/interface';
import { counter, type Fault } from './fault.ts';

const SPEC = { id: 'ccccccccccc', allowAllDevices: false, pidsLimit: undefined };
const NEIGHBOUR = { ...SPEC, id: 'bbbbbbbbbbb' };

const KEPT = { ...SPEC, id: 'kkkkkkkkkkk' };

/** Keeps a group of what was retired, which only it knows of, and removes it when it is closed. */
function keeping(driver: CgroupDriver): Partial<CgroupDriver> {
  const isRetired = new Set<unknown>();
  return {
    retire: async (state) => {
      isRetired.add(state.path ?? state.group);
      await driver.retire!(state);
    },
    release: async (state) => {
      await driver.release(state);
      if (isRetired.delete(state.path ?? state.group)) await driver.create(KEPT, driver.plan(KEPT));
    },
    list: async () => (await driver.list()).filter((id) => id !== KEPT.id),
    close: () => driver.release(driver.plan(KEPT)),
  };
}

/** Each is caught by the kit for cgroup drivers. */
export const CGROUP_FAULTS: readonly Fault<'cgroup'>[] = [
  {
    name: 'the probe leaves a group',
    members: (driver) => ({
      probe: async () => {
        await driver.create(SPEC, driver.plan(SPEC));
        return driver.probe();
      },
    }),
  },
  {
    name: 'plan answers differently each time',
    members: () => {
      const next = counter();
      return { plan: () => ({ path: `/kit/instance-${next()}` }) };
    },
  },
  {
    name: 'plan makes the group',
    members: (driver) => ({
      plan: (spec) => {
        void driver.create(spec, driver.plan(spec));
        return driver.plan(spec);
      },
    }),
  },
  {
    name: 'create fails where a group is',
    members: (driver) => ({
      create: async (spec, state) => {
        if ((await driver.list()).includes(spec.id))
          throw new WardenError('NATIVE_FAILED', 'EEXIST', { fields: { operation: 'create' } });
        await driver.create(spec, state);
      },
    }),
  },
  {
    name: 'create makes an existing group anew',
    members: (driver) => ({
      create: async (spec, state) => {
        await driver.release(state);
        await driver.create(spec, state);
      },
    }),
  },
  {
    name: 'create leaves something when it fails',
    members: (driver, { obstacles }) => ({
      create: (spec, state) =>
        driver.create(spec, state).catch(async (error: unknown) => {
          await (await obstacles()[0]!.place())();
          await driver.create(SPEC, driver.plan(SPEC));
          throw error;
        }),
    }),
  },
  {
    name: 'create fails with an error of another kind',
    members: (driver) => ({
      create: (spec, state) =>
        driver.create(spec, state).catch(() => {
          throw new Error('it did not work');
        }),
    }),
  },
  {
    name: 'a memory limit below what is in use is taken',
    members: (driver) => ({
      setMemoryLimit: (state, bytes) => driver.setMemoryLimit(state, bytes).catch(() => bytes),
    }),
  },
  {
    name: 'setup removes the groups of living containers',
    members: (driver) => ({
      setup: async () => {
        for (const id of await driver.list()) await driver.release(driver.plan({ ...SPEC, id }));
      },
    }),
  },
  { name: 'release removes nothing', members: () => ({ release: async () => {} }) },
  {
    name: 'release fails where nothing is',
    members: (driver) => ({
      release: async (state) => {
        await driver.cpuShares(state);
        await driver.release(state);
      },
    }),
  },
  {
    name: 'release takes the neighbour with it',
    members: (driver) => ({
      release: async (state) => {
        await driver.release(state);
        await driver.release(driver.plan(NEIGHBOUR));
      },
    }),
  },
  {
    name: 'retire leaves all where it is',
    members: () => ({ retire: async () => {} }),
    by: 'retires groups, whose names are free then, until they are released',
  },
  {
    name: 'what was retired is never released',
    members: (driver) => ({
      retire: async (state) => {
        await driver.release(state);
        await driver.create(SPEC, driver.plan(SPEC));
      },
    }),
    by: 'retires groups, whose names are free then, until they are released',
  },
  {
    name: 'list does not tell of what was retired',
    members: (driver) => {
      const retired = new Set<string>();
      return {
        create: async (spec, state) => {
          await driver.create(spec, state);
          retired.delete(spec.id);
        },
        retire: async (state) => {
          for (const id of await driver.list()) retired.add(id);
          await driver.retire!(state);
        },
        list: async () => (await driver.list()).filter((id) => !retired.has(id)),
      };
    },
    by: 'retires groups, whose names are free then, until they are released',
  },
  {
    name: 'a new container is told of what the last one did',
    members: (driver) => {
      let created = 0n;
      return {
        create: async (spec, state) => {
          created += 1n;
          return driver.create(spec, state);
        },
        memoryStat: async (state) => ({
          ...(await driver.memoryStat(state)),
          total_pgfault: (created - 1n) * 12_288n,
        }),
      };
    },
    by: 'gives a new container nothing of one that has ended',
  },
  {
    name: 'groups that were kept stay when the driver is closed',
    members: (driver) => ({ ...keeping(driver), close: async () => {} }),
    by: 'keeps groups for the next containers until it is closed',
  },
  {
    name: 'nobody is told of the groups that a killed driver has kept',
    members: keeping,
    by: 'tells the next instance of groups that one that was killed has kept',
  },
  { name: 'list answers nothing', members: () => ({ list: async () => [] }) },
  {
    name: 'one process is not shown',
    members: (driver) => ({ pids: async (state) => (await driver.pids(state)).slice(1) }),
  },
  {
    name: 'processes are known to one instance only',
    members: (driver) => {
      const known = new Set<string>();
      return {
        create: async (spec, state) => {
          await driver.create(spec, state);
          known.add(JSON.stringify(state));
        },
        pids: async (state) => (known.has(JSON.stringify(state)) ? driver.pids(state) : []),
      };
    },
  },
  { name: 'nobody is killed', members: () => ({ killAll: async () => {} }) },
  {
    name: 'the neighbour is killed too',
    members: (driver) => ({
      killAll: async (state, timeoutMs) => {
        await driver.killAll(state, timeoutMs);
        await driver.killAll(driver.plan(NEIGHBOUR), timeoutMs);
      },
    }),
  },
  {
    name: 'join files are relative',
    members: (driver) => ({ joinFiles: (state) => driver.joinFiles(state).map((file) => file.slice(1)) }),
  },
  {
    name: 'a memory limit is answered but not in force',
    members: () => ({ setMemoryLimit: async (_state, bytes) => bytes }),
  },
  {
    name: 'a memory limit is never lowered',
    members: (driver) => ({
      setMemoryLimit: async (state, bytes) =>
        bytes < (await driver.memoryLimit(state)) && bytes < 1n << 26n
          ? driver.memoryLimit(state)
          : driver.setMemoryLimit(state, bytes),
    }),
  },
  {
    name: 'no memory limit reads as zero',
    members: (driver) => ({
      memoryLimit: async (state) => {
        const limit = await driver.memoryLimit(state);
        return limit > 1n << 60n ? 0n : limit;
      },
    }),
  },
  {
    name: 'a memory limit counts for the neighbour too',
    members: (driver) => ({
      setMemoryLimit: async (state, bytes) => {
        await driver.setMemoryLimit(driver.plan(NEIGHBOUR), bytes).catch(() => {});
        return driver.setMemoryLimit(state, bytes);
      },
    }),
  },
  {
    name: 'CPU shares are answered but not set',
    members: () => ({ setCpuShares: async (_state, shares) => shares }),
  },
  {
    name: 'a released group still answers',
    members: (driver) => ({ cpuShares: (state) => driver.cpuShares(state).catch(() => 1024n) }),
  },
  { name: 'no memory is used', members: () => ({ memoryStat: async () => ({ rss: 0n }) }) },
  { name: 'no CPU is used', members: () => ({ cpuStat: async () => ({ usage: 0n, user: 0n, system: 0n }) }) },
  {
    name: 'a kill is told twice',
    members: (driver) => ({
      watchOutOfMemory: (state, listener, seen) =>
        driver.watchOutOfMemory(
          state,
          () => {
            listener();
            listener();
          },
          seen,
        ),
    }),
  },
  {
    name: 'a removal is told as a kill',
    members: (driver) => {
      const listeners: (() => void)[] = [];
      return {
        watchOutOfMemory: (state, listener, seen) => {
          listeners.push(listener);
          return driver.watchOutOfMemory(state, listener, seen);
        },
        release: async (state) => {
          await driver.release(state);
          for (const listener of listeners.splice(0)) listener();
        },
      };
    },
  },
  {
    name: 'kills before the watch are not told',
    members: (driver) => ({
      watchOutOfMemory: (state, listener) => driver.watchOutOfMemory(state, listener),
    }),
  },
  { name: 'kills are not counted', members: () => ({ outOfMemoryKills: async () => 0n }) },
  {
    name: 'no kill is told',
    members: (driver) => ({
      watchOutOfMemory: (state, _listener, seen) => driver.watchOutOfMemory(state, () => {}, seen),
    }),
  },
  {
    name: 'freeze answers and nothing stops',
    members: () => {
      let isFrozen = false;
      return {
        freeze: async () => {
          isFrozen = true;
        },
        isFrozen: async () => isFrozen,
        thaw: async () => {
          isFrozen = false;
        },
      };
    },
    by: 'stops a frozen group where it is until it is thawed',
  },
  {
    name: 'thaw leaves the group frozen',
    members: () => ({ thaw: async () => {} }),
    by: 'stops a frozen group where it is until it is thawed',
  },
  {
    name: 'what is frozen survives a kill',
    members: (driver) => ({
      killAll: async (state, timeoutMs) => {
        if (!(await driver.isFrozen(state))) await driver.killAll(state, timeoutMs);
      },
    }),
    by: 'kills what is frozen',
  },
  {
    name: 'freezing one group freezes another',
    members: (driver) => ({
      freeze: async (state, timeoutMs) => {
        await driver.freeze(state, timeoutMs);
        await driver.freeze(driver.plan(NEIGHBOUR), timeoutMs);
      },
    }),
    by: 'freezes one group and not its neighbour',
  },
  {
    name: 'a pressure beyond everything',
    members: (driver) => ({
      pressureStat: async (state) => {
        const { memory } = await driver.pressureStat(state);
        return { memory: { some: { ...memory!.some, avg10: 101 } } };
      },
    }),
    by: 'measures pressure, if it says so',
  },
];
