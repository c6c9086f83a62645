/**
 * One client's view: the `Warden` type over the engine. It references every container that existed when it
 * began, that it created or that it named, until it is closed (spec behaviour.md 3).
 */
import {
  abortWith,
  type Container,
  type ContainerEvent,
  type ContainerFiles,
  type ContainerFilter,
  type ContainerInfo,
  type ContainerReport,
  type ContainerState,
  type CreateSpec,
  type DiskLimitSpec,
  type EventFilter,
  encodeBytes,
  type Images,
  type Job,
  type JobEnd,
  type JobResult,
  type NetRules,
  type NetRulesRemoval,
  type OutputChunk,
  type OutputPipes,
  type OutputRelay,
  type Properties,
  type SpawnOptions,
  type TerminalSize,
  type Warden,
  WardenError,
  type WardenMetrics,
} from '@warden/interface';
import type { ManagedContainer } from './container.ts';
import { copyIn, copyOut } from './copy.ts';
import { createContainer } from './create.ts';
import { destroyContainer } from './destroy.ts';
import { type Engine, findContainer } from './engine.ts';
import type { Subscription } from './event-bus.ts';
import { SessionFiles } from './files.ts';
import { addReference, dropReference } from './grace-time.ts';
import { imagesOf } from './images.ts';
import { currentInfo } from './info.ts';
import { limitBandwidth, limitCpu, limitDisk, limitMemory } from './limits.ts';
import { infoOfMany, listHandles, metricsOf } from './many.ts';
import { allowEgress, publishPort } from './net.ts';
import { listRules, removeRules } from './net-rules.ts';
import { pauseContainer, requireRunning, resumeContainer } from './pause.ts';
import { handOutPort, isPlain, requireIsolation } from './plain.ts';
import { changeProperties } from './properties.ts';
import {
  findJob,
  type LentPipes,
  lendPipes,
  linkJob,
  spawnJob,
  streamJob,
  type TakeOptions,
} from './spawn.ts';
import { stopContainer } from './stop.ts';

const SIGKILL = 9;
/** Jobs whose pipes a session may be lent at a time: each costs descriptors after its end, too. */
const MAX_LENT = 64;

/** Opens a session. */
export function openSession(engine: Engine): Warden {
  return new Session(engine);
}

class Session implements Warden {
  readonly engine: Engine;
  #isClosed = false;
  readonly #subscriptions = new Set<Subscription>();
  readonly #named = new WeakSet<ManagedContainer>();
  readonly #lent = new Set<LentPipes>();

  constructor(engine: Engine) {
    this.engine = engine;
    for (const container of engine.containers.values()) addReference(container, this);
  }

  async ping(): Promise<void> {}

  async echo(message: Uint8Array): Promise<Uint8Array> {
    return message;
  }

  async list(filter: ContainerFilter = {}): Promise<readonly string[]> {
    return listHandles(this.engine, filter);
  }

  infoMany(
    options: ContainerFilter & { readonly handles?: readonly string[] | undefined } = {},
  ): Promise<readonly ContainerReport[]> {
    return infoOfMany(this.engine, options);
  }

  async metrics(): Promise<WardenMetrics> {
    return metricsOf(this.engine);
  }

  async events(
    filter: EventFilter = {},
  ): Promise<AsyncIterableIterator<ContainerEvent, undefined, undefined>> {
    this.#letGoOfUnnamed();
    const subscription = this.engine.events.subscribe(filter);
    if (this.#isClosed) subscription.end();
    for (const one of this.#subscriptions) if (one.isOver) this.#subscriptions.delete(one);
    this.#subscriptions.add(subscription);
    return subscription;
  }

  async create(spec: CreateSpec = {}): Promise<Container> {
    const created = await createContainer(this.engine, spec, this);
    this.#named.add(created);
    if (this.#isClosed) dropReference(this.engine, created, this);
    return this.container(created.handle);
  }

  container(handle: string): Container {
    return new SessionContainer(this, handle);
  }

  get images(): Images {
    return imagesOf(this.engine, (handle) => this.find(handle));
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const subscription of this.#subscriptions) subscription.end();
    for (const { giveBack } of this.#lent) giveBack();
    for (const container of this.engine.containers.values()) dropReference(this.engine, container, this);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Errors: of {@link lendPipes}, `POOL_EXHAUSTED`. */
  async lend(container: ManagedContainer, jobId: number): Promise<OutputPipes> {
    for (const one of this.#lent) if (one.isOver()) this.#lent.delete(one);
    if (this.#lent.size >= MAX_LENT) {
      throw new WardenError(
        'POOL_EXHAUSTED',
        `the pipes of ${MAX_LENT} jobs are lent to this connection already`,
        {
          fields: { operation: 'read the pipes', limit: MAX_LENT },
        },
      );
    }
    const lent = await lendPipes(container, jobId);
    if (this.#isClosed) lent.giveBack();
    else this.#lent.add(lent);
    return lent.pipes;
  }

  /** Whoever only looks on keeps nothing alive that it has neither made nor named. */
  #letGoOfUnnamed(): void {
    for (const container of this.engine.containers.values())
      if (!this.#named.has(container)) dropReference(this.engine, container, this);
  }

  /** Looks a container up and references it. Errors: `UNKNOWN_HANDLE`. */
  find(handle: string): ManagedContainer {
    const container = findContainer(this.engine, handle);
    this.#named.add(container);
    if (!this.#isClosed) addReference(container, this);
    return container;
  }
}

class SessionContainer implements Container {
  readonly handle: string;
  readonly #session: Session;

  constructor(session: Session, handle: string) {
    this.#session = session;
    this.handle = handle;
  }

  async info(): Promise<ContainerInfo> {
    const container = this.#find();
    container.requireState('active', 'stopped');
    return currentInfo(this.#engine, container);
  }

  async spawn(script: string | Uint8Array, options: SpawnOptions = {}): Promise<Job> {
    const { id } = await spawnJob(this.#engine, this.#find(), script, options);
    return this.job(id);
  }

  job(id: number): Job {
    return new SessionJob(this.#session, () => this.#find(), id);
  }

  async stop(options: { readonly background?: boolean; readonly kill?: boolean } = {}): Promise<void> {
    const container = this.#find();
    const stopped = stopContainer(this.#engine, container, { kill: options.kill === true });
    if (options.background !== true) return stopped;
    stopped.catch((error: unknown) => {
      this.#engine.logger.warn('background-stop-failed', { handle: container.handle, error });
    });
  }

  async destroy(): Promise<void> {
    await destroyContainer(this.#engine, this.#find());
  }

  async netIn(
    spec: { readonly hostPort?: number | undefined; readonly containerPort?: number | undefined } = {},
  ): Promise<{
    readonly hostPort: number;
    readonly containerPort: number;
  }> {
    if (isPlain(this.#engine)) return handOutPort(this.#engine, this.#find());
    return publishPort(this.#engine, this.#find(), spec);
  }

  async netOut(spec: Parameters<Container['netOut']>[0]): Promise<void> {
    await allowEgress(this.#engine, this.#isolated('net out', 'active'), spec);
  }

  async netRules(): Promise<NetRules> {
    return listRules(this.#isolated('net rules', 'active', 'stopped'));
  }

  async removeNetRules(rules: NetRulesRemoval): Promise<NetRules> {
    return removeRules(this.#engine, this.#isolated('net rules', 'active', 'stopped'), rules);
  }

  async copyIn(source: string, target: string): Promise<void> {
    await copyIn(this.#engine, this.#find(), source, target);
  }

  async copyOut(source: string, target: string, owner = ''): Promise<void> {
    await copyOut(this.#engine, this.#find(), { source, target, owner });
  }

  async limitMemory(bytes?: bigint): Promise<bigint> {
    return limitMemory(this.#engine, this.#isolated('limit memory', 'active', 'stopped'), bytes);
  }

  async limitCpu(shares?: bigint): Promise<bigint> {
    return limitCpu(this.#engine, this.#isolated('limit cpu', 'active', 'stopped'), shares);
  }

  async limitDisk(spec: DiskLimitSpec = {}): ReturnType<Container['limitDisk']> {
    return limitDisk(this.#engine, this.#isolated('limit disk', 'active', 'stopped'), spec);
  }

  async limitBandwidth(limit: Parameters<Container['limitBandwidth']>[0]): Promise<void> {
    await limitBandwidth(this.#engine, this.#isolated('limit bandwidth', 'active', 'stopped'), limit);
  }

  async properties(): Promise<Properties> {
    const container = this.#find();
    container.requireState('active', 'stopped');
    return container.record.properties;
  }

  async setProperties(changes: Readonly<Record<string, string | undefined>>): Promise<Properties> {
    return changeProperties(this.#engine, this.#find(), changes);
  }

  async pause(): Promise<void> {
    await pauseContainer(this.#engine, this.#isolated('pause', 'active'));
  }

  async resume(): Promise<void> {
    await resumeContainer(this.#engine, this.#isolated('resume', 'active'));
  }

  get files(): ContainerFiles {
    return new SessionFiles(this.#engine, () => this.#find());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#engine.containers.has(this.handle)) await this.destroy();
  }

  get #engine(): Engine {
    return this.#session.engine;
  }

  /** As {@link #find}, for what only an isolated container has. */
  #isolated(operation: string, ...allowed: readonly ContainerState[]): ManagedContainer {
    const container = this.#find();
    requireIsolation(this.#engine, container, operation, ...allowed);
    return container;
  }

  #find(): ManagedContainer {
    return this.#session.find(this.handle);
  }
}

class SessionJob implements Job {
  readonly id: number;
  readonly #session: Session;
  readonly #find: () => ManagedContainer;

  constructor(session: Session, find: () => ManagedContainer, id: number) {
    this.#session = session;
    this.#find = find;
    this.id = id;
  }

  async link(options: TakeOptions = {}): Promise<JobResult> {
    return linkJob(this.#session.engine, this.#find(), this.id, options);
  }

  stream(
    options: TakeOptions & { readonly relay?: OutputRelay | undefined } = {},
  ): AsyncGenerator<OutputChunk, JobEnd, undefined> {
    const left = new AbortController();
    const chunks = this.#stream(options, left);
    const leave = chunks.return.bind(chunks);
    // a step may be waiting for output that never comes: leaving wakes it, and the job stays
    chunks.return = (value) => {
      left.abort();
      return leave(value);
    };
    return chunks;
  }

  async *#stream(
    options: TakeOptions & { readonly relay?: OutputRelay | undefined },
    left: AbortController,
  ): AsyncGenerator<OutputChunk, JobEnd, undefined> {
    const forget = abortWith(left, options.signal);
    try {
      const { signal } = left;
      return yield* streamJob(this.#session.engine, this.#find(), this.id, { ...options, signal });
    } finally {
      forget();
    }
  }

  async pipes(): Promise<OutputPipes> {
    return this.#session.lend(this.#find(), this.id);
  }

  async kill(
    options: { readonly signal?: number; readonly tree?: boolean; readonly reason?: 'timeout' } = {},
  ): Promise<void> {
    const { signal = SIGKILL, tree = true, reason } = options;
    if (!Number.isInteger(signal) || signal < 1 || signal > 64) {
      throw new WardenError('INVALID_SPEC', `signal ${signal} is not in 1..64`, {
        fields: { operation: 'signal job', object: signal },
      });
    }
    const container = this.#find();
    const job = findJob(container, this.id);
    if (!job.hasEnded) requireRunning(container, 'signal job');
    await job.kill(signal, tree, reason);
  }

  async write(
    data: Uint8Array | string,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<void> {
    const container = this.#find();
    const job = findJob(container, this.id);
    requireRunning(container, 'write input');
    await job.input.write(typeof data === 'string' ? encodeBytes(data) : data, options.signal);
  }

  async endInput(): Promise<void> {
    const container = this.#find();
    const job = findJob(container, this.id);
    if (!job.hasEnded) requireRunning(container, 'end input');
    await job.input.end();
  }

  async resize(size: TerminalSize): Promise<void> {
    const container = this.#find();
    const job = findJob(container, this.id);
    if (!job.hasEnded) requireRunning(container, 'resize');
    await job.input.resize(size);
  }
}
