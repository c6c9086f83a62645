/** What a fake daemon knows: containers, jobs, and who wants to hear of events. */
import type { ContainerEvent, ContainerState, Properties, TerminalSize } from '@warden/interface';
import { PROPERTY_LIMITS, WardenError } from '@warden/interface';
import type { NetRule, PublishedPort } from '@warden/protocol';
import { LONGEST_MS } from '../check.ts';
import { FakeFiles } from './fake-files.ts';
import { FakeJob, type FakeJobSpec } from './fake-job.ts';
import { FAKE_PROGRAMS, type FakeProgram, fakeShell } from './fake-programs.ts';

/** Options of the fake. */
export interface FakeWardenOptions {
  /** What `argv[0]` starts, by its last component; besides {@link FAKE_PROGRAMS}, which they replace. */
  readonly programs?: Readonly<Record<string, FakeProgram>>;
  /** What reads scripts, from its standard input. Default: single commands of the programs. */
  readonly shell?: FakeProgram;
}

type Distribute<T> = T extends unknown ? Omit<T, 'time' | 'lost' | 'handle'> : never;

/** A container. */
export class FakeContainer {
  readonly handle: string;
  readonly graceTime: number | undefined;
  readonly files: FakeFiles = new FakeFiles();
  readonly jobs: Map<number, FakeJob> = new Map();
  readonly references: Set<object> = new Set();
  properties: Properties;
  state: ContainerState = 'active';
  isPaused = false;
  readonly limits: { memory: bigint; cpu: bigint; bandwidth: { rate: bigint; burst: bigint } | undefined } = {
    memory: 0x7fff_ffff_ffff_f000n,
    cpu: 1024n,
    bandwidth: undefined,
  };
  /** Published ones, as on the wire. */
  ports: readonly PublishedPort[] = [];
  /** As on the wire, oldest first. */
  egress: readonly NetRule[] = [];
  timer: NodeJS.Timeout | undefined;

  constructor(handle: string, graceTime: number | undefined, properties: Properties) {
    this.handle = handle;
    this.graceTime = graceTime;
    this.properties = properties;
  }

  /** Errors: `BAD_STATE`. */
  requireState(...allowed: readonly ContainerState[]): void {
    if (allowed.includes(this.state)) return;
    const list = allowed.map((state) => `'${state}'`).join(', ');
    throw badState(`Container state must be one of ${list}, current state is '${this.state}'`);
  }

  /** Errors: `BAD_STATE`. */
  requireRunning(): void {
    this.requireState('active');
    if (this.isPaused) throw badState('the container is paused; resume it first');
  }

  /** Errors: `UNKNOWN_JOB`. */
  job(id: number): FakeJob {
    const job = this.jobs.get(id);
    if (job) return job;
    throw new WardenError('UNKNOWN_JOB', 'no such job', {
      fields: { operation: 'find job', object: `job ${id} of ${this.handle}`, handle: this.handle, job: id },
    });
  }
}

/** See the file's head. */
export class FakeDaemon {
  readonly containers: Map<string, FakeContainer> = new Map();
  readonly listeners: Set<(event: ContainerEvent, properties: Properties) => void> = new Set();
  readonly totals: { created: bigint; destroyed: bigint; exits: bigint } = {
    created: 0n,
    destroyed: 0n,
    exits: 0n,
  };
  readonly startedAt: number = performance.now();
  readonly ports: Set<number> = new Set();
  readonly #options: FakeWardenOptions;
  #lastId = 0;
  #lastJob = 0;

  constructor(options: FakeWardenOptions) {
    this.#options = options;
  }

  /** Errors: `UNKNOWN_HANDLE`. */
  find(handle: string): FakeContainer {
    const container = this.containers.get(handle);
    if (container) return container;
    throw new WardenError('UNKNOWN_HANDLE', 'unknown handle', {
      fields: { operation: 'find container', object: handle, handle },
    });
  }

  /** Errors: `ALREADY_EXISTS`, `INVALID_SPEC`. */
  create(wanted: string | undefined, graceTime: number | undefined, properties: Properties): FakeContainer {
    this.#lastId += 1;
    const handle = wanted ?? `fake${this.#lastId}`;
    checkProperties(properties);
    if (this.containers.has(handle)) {
      throw new WardenError('ALREADY_EXISTS', `container with handle: ${handle} already exists.`, {
        fields: { operation: 'create', handle },
      });
    }
    const container = new FakeContainer(handle, graceTime, properties);
    this.containers.set(handle, container);
    this.totals.created += 1n;
    this.publish(container, { type: 'created' });
    return container;
  }

  spawn(container: FakeContainer, spec: Omit<FakeJobSpec, 'id'>): FakeJob {
    container.requireRunning();
    const find = (name: string): FakeProgram | undefined => {
      const programs = { ...FAKE_PROGRAMS, ...this.#options.programs };
      const key = name.slice(name.lastIndexOf('/') + 1);
      return Object.hasOwn(programs, key) ? programs[key] : undefined;
    };
    this.#lastJob += 1;
    const [name = ''] = spec.argv;
    const program = name === '/bin/bash' ? (this.#options.shell ?? fakeShell(find)) : find(name);
    const job = new FakeJob({ ...spec, id: this.#lastJob }, program, container.files);
    container.jobs.set(job.id, job);
    void job.ended.then(({ exitStatus, verdict }) => {
      this.totals.exits += 1n;
      this.publish(container, { type: 'exit', jobId: job.id, exitStatus, verdict });
    });
    return job;
  }

  async stop(container: FakeContainer): Promise<void> {
    if (container.state === 'stopped') return;
    container.state = 'stopped';
    container.isPaused = false;
    for (const job of container.jobs.values()) job.kill(9, 'container-stopped');
    await Promise.all([...container.jobs.values()].map(({ ended }) => ended));
    this.publish(container, { type: 'stopped' });
  }

  async destroy(container: FakeContainer): Promise<void> {
    clearTimeout(container.timer);
    await this.stop(container);
    if (!this.containers.delete(container.handle)) return;
    for (const { host_port } of container.ports) this.ports.delete(host_port);
    this.totals.destroyed += 1n;
    this.publish(container, { type: 'destroyed' });
  }

  /** `who` keeps it alive from now on. */
  reference(container: FakeContainer, who: object): void {
    container.references.add(who);
    clearTimeout(container.timer);
  }

  /** `who` does not any more. */
  release(container: FakeContainer, who: object): void {
    if (!container.references.delete(who) || container.references.size > 0) return;
    if (container.graceTime === undefined) return;
    const milliseconds = Math.min(container.graceTime * 1000, LONGEST_MS);
    container.timer = setTimeout(() => void this.destroy(container), milliseconds);
    container.timer.unref();
  }

  publish({ handle, properties }: FakeContainer, event: Distribute<ContainerEvent>): void {
    const whole = { ...event, handle, time: Date.now(), lost: 0 } as ContainerEvent;
    for (const listener of this.listeners) listener(whole, properties);
  }

  /** Errors: `INVALID_SPEC`. */
  changeProperties(container: FakeContainer, set: Properties, remove: readonly string[]): Properties {
    container.requireState('active', 'stopped');
    const merged = new Map(Object.entries(container.properties));
    for (const name of remove) merged.delete(name);
    for (const [name, value] of Object.entries(set)) merged.set(name, value);
    const after: Record<string, string> = Object.create(null) as Record<string, string>;
    for (const [name, value] of merged) after[name] = value;
    checkProperties(after);
    if (remove.length === 0 && Object.keys(set).length === 0) return after;
    container.properties = after;
    this.publish(container, { type: 'properties' });
    return after;
  }
}

function checkProperties(properties: Properties): void {
  const size = (text: string): number => new TextEncoder().encode(text).length;
  const { count, nameBytes, valueBytes, totalBytes } = PROPERTY_LIMITS;
  const entries = Object.entries(properties);
  const total = entries.reduce((sum, [name, value]) => sum + size(name) + size(value), 0);
  const isFit = entries.every(
    ([name, value]) => name !== '' && size(name) <= nameBytes && size(value) <= valueBytes,
  );
  if (isFit && entries.length <= count && total <= totalBytes) return;
  throw new WardenError('INVALID_SPEC', 'the properties are too many or too large, or have no name', {
    fields: { operation: 'properties' },
  });
}

/** Errors: `INVALID_SPEC`. */
export function checkTerminal({ rows, columns }: TerminalSize): void {
  if ([rows, columns].every((value) => Number.isInteger(value) && value >= 1 && value <= 65_535)) return;
  throw new WardenError('INVALID_SPEC', 'a terminal has 1 to 65535 rows and columns', {
    fields: { operation: 'terminal size' },
  });
}

function badState(message: string): WardenError {
  return new WardenError('BAD_STATE', message, { fields: { operation: 'fake' } });
}
