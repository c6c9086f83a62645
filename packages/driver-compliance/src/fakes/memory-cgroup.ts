/** A cgroup driver over a table of groups and processes that exist only in memory. */
import type { CgroupDriver, DriverFactory, DriverState } from '@warden/interface';
import { WardenError } from '@warden/interface';

const UNLIMITED = 9_223_372_036_854_771_712n;

/** A process of the fake kernel. */
export interface FakeProcess {
  readonly pid: number;
  rss: bigint;
  onEnd(): void;
}

interface Group {
  memoryLimit: bigint;
  shares: bigint;
  cpuUsage: bigint;
  isFrozen: boolean;
  kills: bigint;
  readonly processes: Map<number, FakeProcess>;
  /** Who wanted to do something while the group was frozen. */
  readonly waiting: Set<() => void>;
  /** Look at the number of kills. */
  readonly watches: Set<() => void>;
}

/** The "kernel" of the fake: shared by driver instances, so that it survives a restart of one. */
export class GroupTable {
  readonly groups: Map<string, Group> = new Map();
  /** There is no room for another group. */
  isFull = false;
  /** Notifications of kills do not arrive: who wants to know has to look. */
  holdsNotifications = false;

  /** Adds a process to the group whose join file is `file`. */
  join(file: string, process: FakeProcess): void {
    const group = this.groups.get(file.replace(/\/cgroup\.procs$/, ''));
    if (!group) throw new Error(`no group for ${file}`);
    group.processes.set(process.pid, process);
    group.cpuUsage += 1_000n;
  }

  /**
   * Grows a process, which in a frozen group waits; kills it, and tells the watchers, when the group's limit
   * is exceeded.
   */
  async allocate(pid: number, bytes: number): Promise<void> {
    for (const group of this.groups.values()) {
      if (group.processes.has(pid) && group.isFrozen)
        await new Promise<void>((resolve) => group.waiting.add(resolve));
      const process = group.processes.get(pid);
      if (!process) continue;
      process.rss += BigInt(bytes);
      if (resident(group) <= group.memoryLimit) return;
      group.kills += 1n;
      this.end(pid);
      for (const look of this.holdsNotifications ? [] : [...group.watches]) look();
    }
  }

  /** Ends a process wherever it is. */
  end(pid: number): void {
    for (const group of this.groups.values()) {
      const process = group.processes.get(pid);
      group.processes.delete(pid);
      process?.onEnd();
    }
  }
}

function thaw(group: Group): void {
  group.isFrozen = false;
  for (const proceed of group.waiting) proceed();
  group.waiting.clear();
}

function resident(group: Group): bigint {
  return [...group.processes.values()].reduce((sum, { rss }) => sum + rss, 0n);
}

/** Makes the fake. */
export function memoryCgroups(options: {
  readonly table: GroupTable;
  readonly prefix: string;
}): DriverFactory<CgroupDriver> {
  const { table, prefix } = options;
  const pathOf = (state: DriverState): string => String(state.path);
  const retired = (state: DriverState): string => pathOf(state).replace('/instance-', '/removed-');
  const group = (state: DriverState): Group => {
    const found = table.groups.get(pathOf(state));
    if (!found)
      throw new WardenError('NATIVE_FAILED', `no group ${pathOf(state)}`, {
        fields: { operation: 'cgroup', object: pathOf(state), errno: 'ENOENT' },
      });
    return found;
  };
  return () => ({
    role: 'cgroup',
    name: 'memory',
    supports: {
      version: 2,
      memory: true,
      swap: false,
      cpu: true,
      devices: false,
      pids: false,
      freezer: true,
      pressure: true,
    },
    probe: async () => ({ ok: true }),
    setup: async () => {},
    plan: (spec) => ({ path: `/${prefix}/instance-${spec.id}` }),
    create: async (_spec, state) => {
      if (table.groups.has(pathOf(state))) return;
      if (table.isFull)
        throw new WardenError('NATIVE_FAILED', `make group ${pathOf(state)}: ENOSPC`, {
          fields: { operation: 'make group', object: pathOf(state), errno: 'ENOSPC' },
        });
      table.groups.set(pathOf(state), {
        memoryLimit: UNLIMITED,
        shares: 1024n,
        cpuUsage: 0n,
        isFrozen: false,
        processes: new Map(),
        waiting: new Set(),
        kills: 0n,
        watches: new Set(),
      });
    },
    joinFiles: (state) => [`${pathOf(state)}/cgroup.procs`],
    setCpuShares: async (state, shares) => {
      group(state).shares = shares;
      return shares;
    },
    cpuShares: async (state) => group(state).shares,
    setMemoryLimit: async (state, bytes) => {
      const limited = group(state);
      if (resident(limited) > bytes && bytes < limited.memoryLimit)
        throw new WardenError(
          'NATIVE_FAILED',
          'Failed setting memory limit: it is less than what is in use',
          {
            fields: { operation: 'set memory limit', object: state.path, errno: 'EBUSY', advice: 'set more' },
          },
        );
      limited.memoryLimit = bytes;
      return bytes;
    },
    memoryLimit: async (state) => group(state).memoryLimit,
    memoryStat: async (state) => ({ rss: resident(group(state)) }),
    cpuStat: async (state) => ({ usage: group(state).cpuUsage, user: 0n, system: 0n }),
    pressureStat: async (state) => {
      group(state);
      const none = { avg10: 0, avg60: 0, avg300: 0, total: 0n };
      return { memory: { some: none, full: none } };
    },
    freeze: async (state) => {
      group(state).isFrozen = true;
    },
    thaw: async (state) => thaw(group(state)),
    isFrozen: async (state) => group(state).isFrozen,
    watchOutOfMemory: async (state, listener, seen) => {
      const watched = group(state);
      let told = seen ?? watched.kills;
      const check = (): void => {
        if (!watched.watches.has(check)) return;
        while (told < watched.kills) {
          told += 1n;
          listener();
        }
      };
      watched.watches.add(check);
      check();
      return {
        check,
        close: () => {
          watched.watches.delete(check);
        },
      };
    },
    outOfMemoryKills: async (state) => group(state).kills,
    pids: async (state) =>
      [...(table.groups.get(pathOf(state))?.processes.keys() ?? [])].sort((a, b) => a - b),
    killAll: async (state) => {
      const killed = table.groups.get(pathOf(state));
      for (const pid of [...(killed?.processes.keys() ?? [])]) table.end(pid);
      if (killed) thaw(killed);
    },
    release: async (state) => {
      table.groups.delete(pathOf(state));
      table.groups.delete(retired(state));
    },
    retire: async (state) => {
      const found = table.groups.get(pathOf(state));
      if (found) table.groups.set(retired(state), found);
      table.groups.delete(pathOf(state));
    },
    list: async () =>
      [...table.groups.keys()]
        .filter((path) => path.startsWith(`/${prefix}/`))
        .map((path) => path.slice(path.lastIndexOf('-') + 1)),
  });
}
