/** Info: facts about a container at one moment (spec behaviour.md 5, Info). */
import { type ContainerInfo, type EndedJob, MAX_ENDED_JOBS } from '@warden/interface';
import { ifSupported, type ManagedContainer, unknownHandle } from './container.ts';
import { type Engine, networkSpecOf } from './engine.ts';
import { openedStatistics } from './held-statistics.ts';
import { type ManagedJob, runningJobs } from './job.ts';
import { isPlain } from './plain.ts';

/** Facts with all statistics the drivers have. Errors: the failure texts of the drivers. */
export async function containerInfo(engine: Engine, container: ManagedContainer): Promise<ContainerInfo> {
  if (isPlain(engine)) return basicInfo(container);
  const { drivers, lacking } = engine;
  const open = openedStatistics(container);
  const { drivers: states } = container.record;
  const [memoryStat, cpuStat, bandwidthStat, diskStat, pressureStat] = await Promise.all([
    open?.memoryStat() ?? ifSupported(container, 'memory', () => drivers.cgroup.memoryStat(states.cgroup)),
    open?.cpuStat() ?? ifSupported(container, 'cpu', () => drivers.cgroup.cpuStat(states.cgroup)),
    ifSupported(container, 'bandwidth', () =>
      drivers.network.bandwidth(networkSpecOf(engine, container), states.network),
    ),
    ifSupported(container, 'disk', () => drivers.quota.usage(container.quotaSpec, states.quota), {
      lacking,
      // a container keeps the driver it was made with
      of: `disk ${JSON.stringify(states.quota)}`,
    }),
    ifSupported(container, 'pressure', () => drivers.cgroup.pressureStat(states.cgroup), {
      lacking,
      of: 'pressure',
    }),
  ]);
  return {
    ...basicInfo(container),
    ...(memoryStat && { memoryStat }),
    ...(cpuStat && { cpuStat }),
    ...(bandwidthStat && { bandwidthStat }),
    ...(diskStat && { diskStat }),
    ...(pressureStat && { pressureStat }),
  };
}

/**
 * As {@link containerInfo}, with the jobs whose result nobody has taken; of a container whose parts are just
 * being taken away, what is left to say. Errors: `UNKNOWN_HANDLE` when it is gone.
 */
export async function currentInfo(engine: Engine, container: ManagedContainer): Promise<ContainerInfo> {
  try {
    const info = await containerInfo(engine, container);
    const endedJobs = endedJobsOf(container.jobs.values());
    return endedJobs.length === 0 ? info : { ...info, endedJobs };
  } catch (error) {
    if (container.isDestroyed) throw unknownHandle(container.handle);
    if (!container.destroying) throw error;
    return basicInfo(container);
  }
}

/**
 * Those whose result waits, the latest at most. Not in the info at a job's end: whoever runs a thousand jobs
 * and forgets them would get a thousand with each answer.
 */
export function endedJobsOf(jobs: Iterable<Pick<ManagedJob, 'id' | 'outcome'>>): readonly EndedJob[] {
  return [...jobs]
    .flatMap(({ id, outcome }) => (outcome === undefined ? [] : [{ id, ...outcome }]))
    .sort((one, other) => one.id - other.id)
    .slice(-MAX_ENDED_JOBS);
}

/** What is known without asking anybody. */
export function basicInfo(container: ManagedContainer): ContainerInfo {
  const { hostIp, containerIp } = container.networkSpec;
  return {
    state: container.state,
    events: [...container.record.events],
    hostIp,
    containerIp,
    containerPath: container.directory,
    ...(container.record.unsafe.length > 0 && { unsafe: container.record.unsafe }),
    ...(Object.keys(container.record.properties).length > 0 && { properties: container.record.properties }),
    ...(container.record.isPaused && { paused: true }),
    ...(container.record.mappings.length > 0 && { ports: [...container.record.mappings] }),
    jobIds: runningJobs(container).map(({ id }) => id),
  };
}

/** The info that goes with a job's end: a result must not be lost because a statistic cannot be read. */
export async function infoAtEnd(engine: Engine, container: ManagedContainer): Promise<ContainerInfo> {
  if (container.obituary) return container.obituary;
  try {
    return await containerInfo(engine, container);
  } catch (error) {
    engine.logger.warn('info-failed', { handle: container.handle, error });
    return container.obituary ?? basicInfo(container);
  }
}
