/** No groups at all: for hosts without cgroups and for those who accept containers without limits. */
import { type CgroupDriver, type DriverFactory, WardenError } from '@warden/interface';
import { DEFAULT_SHARES, UNLIMITED_MEMORY } from './limits.ts';

/** Reads answer "unlimited" and nothing; whatever would set something fails. */
export function noCgroups(): DriverFactory<CgroupDriver> {
  const refuse = async (operation: string): Promise<never> => {
    throw new WardenError(
      'UNSUPPORTED',
      `${operation}: control groups are switched off (drivers.cgroup: none)`,
      { fields: { operation } },
    );
  };
  return () => ({
    role: 'cgroup',
    name: 'none',
    supports: {
      version: 2,
      memory: false,
      swap: false,
      cpu: false,
      devices: false,
      pids: false,
      freezer: false,
      pressure: false,
    },
    probe: async () => ({ ok: true }),
    setup: async () => {},
    plan: () => ({}),
    create: async () => undefined,
    joinFiles: () => [],
    setCpuShares: () => refuse('set cpu shares'),
    cpuShares: async () => DEFAULT_SHARES,
    setMemoryLimit: () => refuse('set memory limit'),
    memoryLimit: async () => UNLIMITED_MEMORY,
    memoryStat: () => refuse('read memory usage'),
    cpuStat: () => refuse('read cpu stats'),
    pressureStat: () => refuse('read pressure'),
    freeze: () => refuse('freeze'),
    thaw: () => refuse('thaw'),
    isFrozen: () => refuse('read whether frozen'),
    watchOutOfMemory: () => refuse('watch out-of-memory kills'),
    outOfMemoryKills: () => refuse('count out-of-memory kills'),
    pids: async () => [],
    killAll: async () => {},
    release: async () => {},
    list: async () => [],
  });
}
