/**
 * The one answer from which a browser draws everything. Its size has a bound whatever there is: a part of the
 * containers, some jobs, some events.
 */
import os from 'node:os';
import type { ContainerEvent, ContainerLook } from '@warden/interface';
import type { EventLog, NumberedEvent } from './event-log.ts';
import type { Query } from './query.ts';
import { PERIOD_MS, type Sampler } from './sampler.ts';
import type { PageSource } from './source.ts';
import type { ContainerRow, EventRow, Status } from './wire.ts';

const MAX_JOBS = 50;
const MAX_EVENTS = 60;

/** Where the answer comes from. */
export interface StatusParts {
  readonly source: PageSource;
  readonly sampler: Sampler;
  readonly events: EventLog;
}

interface Entry {
  readonly look: ContainerLook;
  /** What it is ordered by. */
  readonly key: number | string;
}

/** What there is now. */
export function status(parts: StatusParts, query: Query): Status {
  const { source, sampler } = parts;
  const looks = source.onlooker()?.looks() ?? [];
  const found = query.find === '' ? looks : looks.filter(({ handle }) => matches(handle, query));
  const rows = ordered(found, sampler, query).slice(query.from, query.from + query.count);
  const { history } = sampler;
  return {
    version: source.version,
    phase: source.phase(),
    time: Date.now(),
    upSeconds: Math.round(process.uptime()),
    periodMs: PERIOD_MS,
    host: { processors: os.availableParallelism(), memory: os.totalmem() },
    daemon: { memory: process.memoryUsage.rss() },
    numbers: numbersOf(source),
    totals: history.totals,
    times: history.times,
    containers: { all: looks.length, found: found.length, from: query.from, rows: rows.map(rowOf(sampler)) },
    jobs: jobsOf(found),
    events: eventsOf(parts.events.latest(), query),
  };
}

function matches(handle: string, { find }: Query): boolean {
  return handle.toLowerCase().includes(find);
}

function numbersOf(source: PageSource): Status['numbers'] {
  const found = source.numbers();
  if (found === undefined) return null;
  const { containers, prepared, jobs, pools, totals } = found;
  const { created, destroyed, jobsStarted, outOfMemoryKills } = totals;
  return {
    containers,
    prepared,
    jobs,
    pools,
    totals: { created, destroyed, jobsStarted, outOfMemoryKills },
  };
}

function ordered(
  looks: readonly ContainerLook[],
  sampler: Sampler,
  { order, isDescending }: Query,
): readonly ContainerLook[] {
  if (order === 'created') return isDescending ? looks.toReversed() : looks;
  const key = (look: ContainerLook): number | string => {
    const usage = sampler.measureOf(look.id)?.usage;
    switch (order) {
      case 'name':
        return look.handle;
      case 'state':
        return stateOf(look);
      case 'cpu':
        return sampler.history.of(look.id).cpu.at(-1) ?? -1;
      case 'jobs':
        return runningJobs(look);
      default:
        return usage?.[order] ?? -1;
    }
  };
  const entries = looks.map((look): Entry => ({ look, key: key(look) }));
  const direction = isDescending ? -1 : 1;
  // sorting keeps the order of equal ones, so rows do not jump
  entries.sort(({ key: one }, { key: other }) => (one < other ? -direction : one > other ? direction : 0));
  return entries.map(({ look }) => look);
}

/** As the column shows them. */
function runningJobs({ jobs }: ContainerLook): number {
  return jobs.filter(({ hasEnded }) => !hasEnded).length;
}

function stateOf({ state, isPaused }: ContainerLook): ContainerRow['state'] {
  return state === 'active' && isPaused ? 'paused' : state;
}

function rowOf(sampler: Sampler): (look: ContainerLook) => ContainerRow {
  return (look) => {
    const { handle, id, events, unsafe, hostIp, containerIp, ports, egressRules, image } = look;
    const measure = sampler.measureOf(id);
    const { cpu, memory } = sampler.history.of(id);
    return {
      handle,
      id,
      state: stateOf(look),
      events,
      unsafe,
      hostIp,
      containerIp,
      ports,
      egressRules,
      image: image ?? null,
      jobs: runningJobs(look),
      limits: measure?.limits ?? {},
      usage: measure?.usage ?? {},
      cpu,
      memory,
    };
  };
}

/** The newest first: numbers grow. */
function jobsOf(looks: readonly ContainerLook[]): Status['jobs'] {
  const all = looks.flatMap(({ handle, jobs }) => jobs.map((job) => ({ handle, ...job })));
  const rows = all
    .sort((one, other) => other.id - one.id)
    .slice(0, MAX_JOBS)
    .map(({ handle, id, startedAt, hasEnded, outputBytes }) => ({
      handle,
      id,
      startedAt: startedAt ?? null,
      hasEnded,
      outputBytes,
    }));
  return { all: all.length, rows };
}

function eventsOf(events: readonly NumberedEvent[], query: Query): Status['events'] {
  const found = query.find === '' ? events : events.filter(({ handle }) => matches(handle, query));
  return found.slice(0, MAX_EVENTS).map((event) => ({
    number: event.number,
    time: event.time,
    handle: event.handle,
    type: event.type,
    ...detail(event),
  }));
}

/** What can be told of each kind; later kinds are shown by their names. */
function detail(event: ContainerEvent): Partial<EventRow> {
  switch (event.type) {
    case 'exit':
      return { job: event.jobId, exitStatus: event.exitStatus, reason: event.verdict.reason };
    case 'output-limit':
      return { job: event.jobId };
    case 'limit':
      return { limit: event.limit, value: Number(event.value) };
    case 'network-denied': {
      const { destination, name, protocol, port, count } = event;
      return {
        protocol,
        times: count,
        ...(destination !== undefined && { destination }),
        ...(name !== undefined && { name }),
        ...(port !== undefined && { port }),
      };
    }
    default:
      return {};
  }
}
