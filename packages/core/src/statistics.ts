/**
 * The engine in numbers. What happens often is counted when it happens, in plain numbers; how things stand is
 * looked at when somebody asks.
 */
import type { ExitVerdict } from '@warden/interface';
import type { Engine } from './engine.ts';
import { runningJobs } from './job.ts';
import type { Pool } from './pool.ts';

/** What has happened since this process began. */
export interface Totals {
  created: number;
  destroyed: number;
  jobsStarted: number;
  outOfMemoryKills: number;
  /** By reason; a reason that has not been met is not there. */
  readonly jobsEnded: Map<ExitVerdict['reason'], number>;
}

/** See `Core.statistics`. */
export interface CoreStatistics {
  readonly containers: { readonly active: number; readonly stopped: number; readonly destroying: number };
  /** Containers nobody has asked for yet. */
  readonly prepared: number;
  /** Jobs that run. */
  readonly jobs: number;
  readonly pools: Readonly<
    Record<'network' | 'uid' | 'port', { readonly used: number; readonly limit: number }>
  >;
  readonly totals: Readonly<Totals>;
}

/** All zero. */
export function noTotals(): Totals {
  return { created: 0, destroyed: 0, jobsStarted: 0, outOfMemoryKills: 0, jobsEnded: new Map() };
}

/** Notes the end of a job. */
export function countEnd({ totals: { jobsEnded } }: Engine, { reason }: ExitVerdict): void {
  jobsEnded.set(reason, (jobsEnded.get(reason) ?? 0) + 1);
}

/** Goes through all containers and jobs once. */
export function statistics({ containers: all, pools, totals, warm }: Engine): CoreStatistics {
  const containers = { active: 0, stopped: 0, destroying: 0 };
  let jobs = 0;
  for (const container of all.values()) {
    if (container.destroying !== undefined) containers.destroying += 1;
    else if (container.state === 'active') containers.active += 1;
    else containers.stopped += 1;
    jobs += runningJobs(container).length;
  }
  const usage = ({ used, size }: Pool): { used: number; limit: number } => ({ used, limit: size });
  return {
    containers,
    prepared: warm.readyCount,
    jobs,
    pools: { network: usage(pools.networks), uid: usage(pools.uids), port: usage(pools.ports) },
    totals,
  };
}
