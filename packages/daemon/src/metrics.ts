/**
 * What the daemon tells about itself in numbers. On the way of a request a few numbers are raised; everything
 * else is looked at when somebody asks. No name of a container and nothing that a client has sent is in it.
 */
import fs from 'node:fs';
import { type CoreStatistics, setAside } from '@warden/core';
import type { RequestObserver } from '@warden/server';
import { type Family, Histogram, type Sample, writeOpenMetrics } from './openmetrics.ts';

/** Seconds: from an answer out of memory to a job that runs for ten minutes. */
const DURATIONS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600];
const DELAYS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5];
/** How often the event loop is asked how late it is. */
const DELAY_PERIOD_MS = 50;

/** Where numbers come from when somebody asks; what is not there yet is left out. */
export interface MetricsSources {
  readonly version: string;
  readonly depot: string;
  statistics(): CoreStatistics | undefined;
  connections(): { readonly open: number; readonly refused: number } | undefined;
}

/** See the file's head. */
export class Metrics implements RequestObserver {
  readonly #sources: MetricsSources;
  readonly #requests = new Map<
    string,
    { readonly durations: Histogram; readonly errors: Map<string, number> }
  >();
  readonly #delays = new Histogram(DELAYS);
  readonly #timer: NodeJS.Timeout;
  /** Reckoned once: from a value that changes, monitoring concludes that the daemon was started again. */
  readonly #started = Math.round(Date.now() - process.uptime() * 1_000) / 1_000;

  constructor(sources: MetricsSources) {
    this.#sources = sources;
    let expected = performance.now() + DELAY_PERIOD_MS;
    this.#timer = setInterval(() => {
      const now = performance.now();
      this.#delays.observe(Math.max(0, now - expected) / 1_000);
      expected = now + DELAY_PERIOD_MS;
    }, DELAY_PERIOD_MS).unref();
  }

  /** Stops watching the event loop. Idempotent. */
  close(): void {
    clearInterval(this.#timer);
  }

  requestEnded(request: string, milliseconds: number, errorCode: string | undefined): void {
    let counts = this.#requests.get(request);
    if (counts === undefined) {
      counts = { durations: new Histogram(DURATIONS), errors: new Map() };
      this.#requests.set(request, counts);
    }
    counts.durations.observe(milliseconds / 1_000);
    if (errorCode !== undefined) counts.errors.set(errorCode, (counts.errors.get(errorCode) ?? 0) + 1);
  }

  /** The answer to a scrape. */
  text(): string {
    return writeOpenMetrics([...this.#ofRequests(), ...this.#ofEngine(), ...this.#ofProcess()]);
  }

  #ofRequests(): Family[] {
    const requests = [...this.#requests];
    const connections = this.#sources.connections();
    return [
      {
        name: 'warden_request_duration_seconds',
        type: 'histogram',
        unit: 'seconds',
        help: 'Time from reading a request to its last answer, by kind of request.',
        samples: requests.flatMap(([request, { durations }]) => durations.samples({ request })),
      },
      {
        name: 'warden_request_errors',
        type: 'counter',
        help: 'Requests that were answered with an error, by kind and code.',
        samples: requests.flatMap(([request, { errors }]) =>
          [...errors].map(([code, value]): Sample => total(value, { request, code })),
        ),
      },
      gauge('warden_connections', 'Clients that are connected.', connections?.open),
      counter('warden_connections_refused', 'Clients that were not admitted.', connections?.refused),
    ];
  }

  #ofEngine(): Family[] {
    const found = this.#sources.statistics();
    if (found === undefined) return [];
    const { containers, pools, totals } = found;
    const byPool = (what: 'used' | 'limit'): Sample[] =>
      Object.entries(pools).map(([pool, numbers]) => ({ labels: { pool }, value: numbers[what] }));
    return [
      {
        name: 'warden_containers',
        type: 'gauge',
        help: 'Containers by state.',
        samples: Object.entries(containers).map(([state, value]) => ({ labels: { state }, value })),
      },
      gauge('warden_containers_prepared', 'Containers nobody has asked for yet.', found.prepared),
      gauge(
        'warden_containers_quarantined',
        'Directories of the depot that were set aside.',
        setAside(this.#sources.depot).length,
      ),
      counter('warden_container_creations', 'Containers created by this process.', totals.created),
      counter('warden_container_destructions', 'Containers destroyed by this process.', totals.destroyed),
      gauge('warden_jobs', 'Jobs that run.', found.jobs),
      counter('warden_job_starts', 'Jobs started by this process.', totals.jobsStarted),
      {
        name: 'warden_job_ends',
        type: 'counter',
        help: 'Jobs that have ended, by reason.',
        samples: [...totals.jobsEnded].map(([reason, value]) => total(value, { reason })),
      },
      counter(
        'warden_out_of_memory_kills',
        'Out-of-memory kills in containers with a memory limit.',
        totals.outOfMemoryKills,
      ),
      {
        name: 'warden_pool_used',
        type: 'gauge',
        help: 'Entries of a pool that are taken.',
        samples: byPool('used'),
      },
      { name: 'warden_pool_limit', type: 'gauge', help: 'Entries of a pool.', samples: byPool('limit') },
    ];
  }

  #ofProcess(): Family[] {
    const { user, system } = process.cpuUsage();
    const { rss, heapUsed } = process.memoryUsage();
    return [
      {
        name: 'warden_build',
        type: 'info',
        help: 'What runs.',
        samples: [
          {
            suffix: '_info',
            labels: { version: this.#sources.version, node: process.versions.node },
            value: 1,
          },
        ],
      },
      {
        name: 'warden_event_loop_delay_seconds',
        type: 'histogram',
        unit: 'seconds',
        help: 'How late the event loop comes to a timer.',
        samples: this.#delays.samples(),
      },
      seconds(
        'warden_event_loop_busy_seconds',
        'Time the event loop was not waiting.',
        performance.eventLoopUtilization().active / 1_000,
      ),
      seconds('process_cpu_seconds', 'Processor time of the daemon.', (user + system) / 1e6),
      bytes('process_resident_memory_bytes', 'Memory of the daemon.', rss),
      bytes('process_heap_bytes', 'JavaScript heap in use.', heapUsed),
      gauge('process_open_fds', 'Descriptors of the daemon.', openDescriptors()),
      gauge('process_max_fds', 'How many it may have.', descriptorLimit()),
      {
        name: 'process_start_time_seconds',
        type: 'gauge',
        unit: 'seconds',
        help: 'When the daemon was started, in seconds since 1970.',
        samples: [{ value: this.#started }],
      },
    ];
  }
}

function total(value: number, labels: Readonly<Record<string, string>> = {}): Sample {
  return { suffix: '_total', labels, value };
}

function counter(name: string, help: string, value: number | undefined): Family {
  return { name, type: 'counter', help, samples: value === undefined ? [] : [total(value)] };
}

function gauge(name: string, help: string, value: number | undefined): Family {
  return { name, type: 'gauge', help, samples: value === undefined ? [] : [{ value }] };
}

function seconds(name: string, help: string, value: number): Family {
  return { ...counter(name, help, value), unit: 'seconds' };
}

function bytes(name: string, help: string, value: number): Family {
  return { ...gauge(name, help, value), unit: 'bytes' };
}

/** Without the one that the look itself takes. */
function openDescriptors(): number | undefined {
  try {
    return fs.readdirSync('/proc/self/fd').length - 1;
  } catch {
    return undefined; // none is left to look with
  }
}

function descriptorLimit(): number | undefined {
  try {
    const text = fs.readFileSync('/proc/self/limits', 'utf8');
    return Number(/^Max open files\s+(\d+)/m.exec(text)?.[1] ?? Number.POSITIVE_INFINITY);
  } catch {
    return undefined;
  }
}
