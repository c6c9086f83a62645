/** What somebody sees who only looks: no session, no reference, nothing that waits for an operation in progress. */
import type {
  ContainerLook,
  ContainerMeasure,
  LimitsLook,
  MemoryStat,
  Onlooker,
  UsageLook,
} from '@warden/interface';
import { ifSupported, type ManagedContainer } from './container.ts';
import type { Engine } from './engine.ts';
import type { ManagedJob } from './job.ts';
import { isPlain } from './plain.ts';

/** See {@link Onlooker}. */
export function onlooker(engine: Engine): Onlooker {
  return {
    looks: () => [...engine.containers.values()].map(look),
    measure: async (handle) => {
      const container = engine.containers.get(handle);
      if (container === undefined) return undefined;
      return isPlain(engine)
        ? { id: container.record.id, limits: {}, usage: {} }
        : measure(engine, container);
    },
    events: (filter = {}) => engine.events.subscribe(filter),
  };
}

function look(container: ManagedContainer): ContainerLook {
  const { record, networkSpec } = container;
  return {
    handle: record.handle,
    id: record.id,
    state:
      container.destroying !== undefined ? 'destroying' : record.state === 'stopped' ? 'stopped' : 'active',
    isPaused: record.isPaused,
    events: [...record.events],
    unsafe: record.unsafe,
    hostIp: networkSpec.hostIp,
    containerIp: networkSpec.containerIp,
    ports: record.mappings,
    egressRules: record.egress.length,
    ...(record.image !== undefined && { image: record.image.image }),
    jobs: [...container.jobs.values()].map(lookAtJob),
  };
}

function lookAtJob({ id, startedAt, hasEnded, output }: ManagedJob): ContainerLook['jobs'][number] {
  return { id, ...(startedAt !== undefined && { startedAt }), hasEnded, outputBytes: output.size };
}

/**
 * Each reading for itself: one that fails, as in a container that is just being taken away, must not hide the
 * others.
 */
async function measure(engine: Engine, container: ManagedContainer): Promise<ContainerMeasure> {
  const { cgroup, quota } = engine.drivers;
  const { drivers: states, memoryLimit, cpuShares, bandwidth } = container.record;
  const { quotaSpec } = container;
  const [memory, cpu, disk, diskLimits, processes] = await Promise.all([
    reading(container, 'memory', () => cgroup.memoryStat(states.cgroup)),
    reading(container, 'cpu', () => cgroup.cpuStat(states.cgroup)),
    reading(container, 'disk', () => quota.usage(quotaSpec, states.quota)),
    reading(container, 'disk limits', () => quota.limits(quotaSpec, states.quota)),
    reading(container, 'processes', async () => cgroup.processCount?.(states.cgroup)),
  ]);
  const limits: LimitsLook = {
    ...(memoryLimit !== undefined && { memory: Number(memoryLimit) }),
    ...(cpuShares !== undefined && { cpuShares: Number(cpuShares) }),
    ...(diskLimits !== undefined &&
      diskLimits.blockHard > 0n && { disk: Number(diskLimits.blockHard) * 1_024 }),
    ...(bandwidth !== undefined && { bandwidth: Number(bandwidth.rate) }),
    ...(processes?.limit !== undefined && { processes: processes.limit }),
  };
  const usage: UsageLook = {
    ...(memory !== undefined && { memory: heldMemory(memory) }),
    ...(cpu !== undefined && { cpu: Number(cpu.usage) }),
    ...(disk !== undefined && { disk: Number(disk.bytesUsed) }),
    ...(processes !== undefined && { processes: processes.used }),
  };
  return { id: container.record.id, limits, usage };
}

async function reading<T>(
  container: ManagedContainer,
  what: string,
  ask: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await ifSupported(container, what, ask);
  } catch {
    return undefined;
  }
}

/** Cache that nobody has used lately is there for the taking, and goes before anything is killed. */
function heldMemory(stat: MemoryStat): number {
  const of = (name: 'cache' | 'rss' | 'inactive_file'): bigint => stat[`total_${name}`] ?? stat[name] ?? 0n;
  const held = of('rss') + of('cache') - of('inactive_file');
  return held > 0n ? Number(held) : 0;
}
