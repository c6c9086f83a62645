/** What is asked about many containers at once, and about the daemon. */
import {
  type ContainerFilter,
  type ContainerReport,
  toWardenError,
  type WardenMetrics,
} from '@warden/interface';
import { unknownHandle } from './container.ts';
import type { Engine } from './engine.ts';
import { hasProperties } from './event-bus.ts';
import { currentInfo } from './info.ts';
import { runningJobs } from './job.ts';

/** So many are read before others get their turn: each takes some twenty small files. */
const BATCH = 8;

/** Handles in order of creation. */
export function listHandles(engine: Engine, { properties }: ContainerFilter): readonly string[] {
  if (properties === undefined || Object.keys(properties).length === 0) return [...engine.containers.keys()];
  return [...engine.containers.values()]
    .filter(({ record }) => hasProperties(record.properties, properties))
    .map(({ handle }) => handle);
}

/** References nobody. A container that cannot be read has its error in its place. */
export async function infoOfMany(
  engine: Engine,
  filter: ContainerFilter & { readonly handles?: readonly string[] | undefined },
): Promise<readonly ContainerReport[]> {
  const handles = filter.handles ? [...new Set(filter.handles)] : listHandles(engine, filter);
  const reports: ContainerReport[] = [];
  for (let at = 0; at < handles.length; at += BATCH) {
    reports.push(
      ...(await Promise.all(handles.slice(at, at + BATCH).map((handle) => report(engine, handle)))),
    );
    await new Promise((resolve) => setImmediate(resolve));
  }
  // one that went meanwhile was not asked for by name
  return filter.handles ? reports : reports.filter(({ error }) => error?.code !== 'UNKNOWN_HANDLE');
}

async function report(engine: Engine, handle: string): Promise<ContainerReport> {
  try {
    const container = engine.containers.get(handle);
    if (!container) throw unknownHandle(handle);
    return { handle, info: await currentInfo(engine, container) };
  } catch (cause) {
    const { code, message } = toWardenError(cause);
    return { handle, error: { code, message } };
  }
}

/** Numbers of the daemon. */
export function metricsOf({ containers, pools, events, startedAt }: Engine): WardenMetrics {
  let jobs = 0;
  for (const container of containers.values()) jobs += runningJobs(container).length;
  return {
    containers: containers.size,
    jobs,
    pools: (['networks', 'uids', 'ports'] as const).map((name) => ({
      name,
      used: pools[name].taken,
      limit: pools[name].size,
    })),
    totals: { ...events.totals },
    uptimeMs: Math.round(performance.now() - startedAt),
    subscribers: events.subscribers,
  };
}
