/** One session with a daemon over its socket. */
import {
  type ContainerEvent,
  type ContainerFilter,
  type ContainerReport,
  type CreateSpec,
  type EventFilter,
  type Images,
  isWardenError,
  leavable,
  type Warden,
  WardenError,
  type WardenMetrics,
} from '@warden/interface';
import {
  type CreateResponse,
  type EchoResponse,
  type EventsResponse,
  type InfoManyResponse,
  type ListResponse,
  MessageType,
  type MetricsResponse,
  type StreamResponse,
} from '@warden/protocol';
import { containerEvent, containerReport, isStreamEnd, wardenMetrics } from './answer-values.ts';
import * as args from './arguments.ts';
import { demand } from './check.ts';
import { ClientContainer } from './client-container.ts';
import { ClientImages } from './client-images.ts';
import { abandoned, Connection } from './connection.ts';
import { ConnectionPool } from './connection-pool.ts';
import { type DialOptions, dial } from './dial.ts';
import { requireFeature } from './features.ts';
import { Session } from './session.ts';
import { createRequest, present, propertyMessages } from './spec-messages.ts';
import type { Transport } from './transport.ts';

/** How to reach a daemon. */
export interface ConnectOptions extends DialOptions {
  /**
   * Largest number of scripts that are run to their end at a time, of requests that wait for an answer, and
   * of files that are read and written, each; default 32. Later ones wait. What belongs to a job that was
   * spawned (its output, input and end), to an event or a watch is not counted: each takes a connection of
   * its own.
   */
  readonly maxConnections?: number | undefined;
  /** Milliseconds an idle connection is kept; default 10000. */
  readonly idleTimeoutMs?: number | undefined;
}

const DEFAULT_MAX_CONNECTIONS = 32;
const DEFAULT_IDLE_TIMEOUT_MS = 10_000;
/** Half of what a daemon reads in one request, so that there is room for the rest of it. */
const MOST_TEXTS = 5_000;
const MOST_TEXT_BYTES = 65_536;
/** Patience with others that make or destroy a container of the same handle. */
const GET_OR_CREATE_PATIENCE_MS = 60_000;

/**
 * Connects to a daemon. Errors: `UNAVAILABLE` (nobody listens), `TIMEOUT`, `ABORTED` (the signal ends only
 * the attempt to connect).
 *
 * @example
 * await using warden = await connect({ path: '/tmp/warden.sock' });
 * await using box = await warden.create();
 * const { stdoutText } = await box.run('echo hello', { timeoutMs: 5000 });
 */
export async function connect(options: ConnectOptions): Promise<WardenClient> {
  demand('connect', 'options', args.connectOptions, options);
  const { maxConnections = DEFAULT_MAX_CONNECTIONS, idleTimeoutMs = DEFAULT_IDLE_TIMEOUT_MS } = options;
  // The signal belongs to this call; connections opened later are bounded by their time limit alone.
  let signal = options.signal;
  const open = async (): Promise<Connection> => new Connection(await dial({ ...options, signal }));
  const pool = new ConnectionPool({ open, maxConnections, idleMs: idleTimeoutMs });
  await pool.home();
  signal = undefined;
  return new WardenClient(new Session(pool, maxConnections));
}

/**
 * The {@link Warden} of a remote daemon. Lost connections reject what waits on them with `UNAVAILABLE`; the
 * next request dials again. Made by {@link connect}.
 */
export class WardenClient implements Warden {
  readonly #session: Transport;

  constructor(session: Transport) {
    this.#session = session;
  }

  /** Whether the connection that holds the session's references is open. */
  get isConnected(): boolean {
    return this.#session.isConnected;
  }

  // Questions about the daemon itself use the session's own connection: each further one would reference every
  // container that exists when it is opened (the daemon's rule), and asking for a list must keep none alive.

  /** See {@link Warden.ping}. */
  async ping(): Promise<void> {
    await this.request(MessageType.Ping, {});
  }

  /** See {@link Warden.echo}. */
  async echo(message: Uint8Array): Promise<Uint8Array> {
    demand('echo', 'message', args.piece, message);
    return ((await this.request(MessageType.Echo, { message })) as EchoResponse).message;
  }

  /** See {@link Warden.list}. */
  async list(filter: ContainerFilter = {}): Promise<readonly string[]> {
    demand('list', 'filter', args.containerFilter, filter);
    const { properties } = filter;
    if (properties !== undefined) await requireFeature(this.#session, 'properties', 'list');
    const value = present({ properties: properties && propertyMessages(properties) });
    return ((await this.request(MessageType.List, value)) as ListResponse).handles ?? [];
  }

  /** See {@link Warden.images}. */
  get images(): Images {
    return new ClientImages(this.#session);
  }

  /** See {@link Warden.create}. Creates of one session are worked off one after another by the daemon. */
  async create(spec: CreateSpec = {}): Promise<ClientContainer> {
    demand('create', 'spec', args.createSpec, spec);
    if (spec.properties !== undefined) await requireFeature(this.#session, 'properties', 'create');
    if (spec.image !== undefined) await requireFeature(this.#session, 'images', 'create');
    const { handle } = await this.#session.create<CreateResponse>(createRequest(spec));
    return this.container(handle);
  }

  /**
   * The container of this handle, made by `spec` if there is none. One that is there stays as it is, whatever
   * `spec` says; so does one that has stopped, as it does while somebody destroys it: {@link Container.info} tells.
   * `isNew` tells which it was. When several ask at the same time, one of them makes it. Errors:
   * as {@link create}; `TIMEOUT` when another's create or destroy of the same handle does not end in time,
   * `ABORTED`.
   */
  async getOrCreate(
    spec: CreateSpec & { readonly handle: string },
    options: { readonly signal?: AbortSignal | undefined; readonly timeoutMs?: number | undefined } = {},
  ): Promise<{ readonly container: ClientContainer; readonly isNew: boolean }> {
    demand('get or create', 'spec', args.getOrCreateSpec, spec);
    demand('get or create', 'options', args.getOrCreateOptions, options);
    const { signal, timeoutMs = GET_OR_CREATE_PATIENCE_MS } = options;
    const deadline = performance.now() + timeoutMs;
    const container = this.container(spec.handle);
    for (let pause = 5; ; pause = Math.min(2 * pause, 200)) {
      if (signal?.aborted) throw abandoned(signal);
      if (await isThere(container)) return { container, isNew: false };
      try {
        return { container: await this.create(spec), isNew: true };
      } catch (error) {
        // somebody is making it just now, or has not done with destroying it
        if (!isWardenError(error, 'ALREADY_EXISTS')) throw error;
        if (performance.now() > deadline) throw stillTaken(spec.handle, timeoutMs, error);
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }

  /** See {@link Warden.infoMany}. */
  async infoMany(
    options: ContainerFilter & { readonly handles?: readonly string[] | undefined } = {},
  ): Promise<readonly ContainerReport[]> {
    demand('info of many', 'options', args.infoManyOptions, options);
    await requireFeature(this.#session, 'info-many', 'info of many');
    const { handles, properties } = options;
    const reports: ContainerReport[] = [];
    const isEnd = ({ end }: InfoManyResponse): boolean => end === true;
    for (const some of handles === undefined ? [undefined] : inPieces([...new Set(handles)])) {
      const value = present({ handles: some, properties: properties && propertyMessages(properties) });
      for await (const answer of this.#session.streamAtHome<InfoManyResponse>(
        MessageType.InfoMany,
        value,
        isEnd,
      ))
        reports.push(...(answer.reports ?? []).map(containerReport));
    }
    return reports;
  }

  /** See {@link Warden.metrics}. */
  async metrics(): Promise<WardenMetrics> {
    await requireFeature(this.#session, 'metrics', 'metrics');
    return wardenMetrics((await this.request(MessageType.Metrics, {})) as MetricsResponse);
  }

  /**
   * See {@link Warden.events}. Each subscription takes a connection. A lost one makes the step in progress
   * fail with `UNAVAILABLE`: what happened until another subscription stands is not told, so look at
   * {@link list} then.
   */
  async events(
    filter: EventFilter = {},
  ): Promise<AsyncIterableIterator<ContainerEvent, undefined, undefined>> {
    demand('events', 'filter', args.eventFilter, filter);
    await requireFeature(this.#session, 'events', 'events');
    const left = new AbortController();
    const signal = filter.signal ? AbortSignal.any([filter.signal, left.signal]) : left.signal;
    const { handle, types, properties } = filter;
    const value = present({ handle, types, properties: properties && propertyMessages(properties) });
    const isEnd = ({ end }: EventsResponse): boolean => end === true;
    const answers = this.#session.stream<EventsResponse>(MessageType.Events, value, isEnd, {
      signal,
      use: 'wait',
    });
    // the first one says that the subscription stands
    await answers.next();
    return leavable<ContainerEvent>({
      left,
      what: 'the subscription',
      next: async () => {
        for (;;) {
          const step = await answers.next();
          if (step.done) return { done: true, value: undefined };
          const event = containerEvent(step.value);
          if (event !== undefined) return { done: false, value: event };
        }
      },
      close: () => answers.return({}),
    });
  }

  /** See {@link Warden.container}. */
  container(handle: string): ClientContainer {
    demand('container', 'handle', args.handle, handle);
    return new ClientContainer(this.#session, handle);
  }

  /**
   * Low level: sends one message on the session's own connection, strictly in order with the others sent this
   * way, and gives the answer's message (property names as on the wire). For tools that are generated from
   * the protocol tables. An aborted `signal` gives the connection up, and with it the session's references.
   */
  async request(type: number, value: object, signal?: AbortSignal): Promise<object> {
    return this.#session.callAtHome(type, value, signal);
  }

  /** What the daemon knows beyond the original's protocol, in words; of one that knows nothing of it, none. */
  async features(): Promise<ReadonlySet<string>> {
    return this.#session.features();
  }

  /** Low level: as {@link request} for a Stream request; the final answer is the return value. */
  async *requestStream(
    value: object,
    signal?: AbortSignal,
  ): AsyncGenerator<StreamResponse, StreamResponse, undefined> {
    return yield* this.#session.streamAtHome<StreamResponse>(MessageType.Stream, value, isStreamEnd, signal);
  }

  /** See {@link Warden.close}. What still waits is rejected with `UNAVAILABLE`; the daemon finishes it. */
  async close(): Promise<void> {
    this.#session.close();
  }

  /** As {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Of texts, as many as a request can hold. */
function inPieces(texts: readonly string[]): readonly (readonly string[])[] {
  const pieces: string[][] = [];
  let room = -1;
  for (const text of texts) {
    room -= Buffer.byteLength(text);
    if (room < 0 || pieces.at(-1)!.length === MOST_TEXTS) {
      pieces.push([]);
      room = MOST_TEXT_BYTES - Buffer.byteLength(text);
    }
    pieces.at(-1)!.push(text);
  }
  return pieces;
}

async function isThere(container: ClientContainer): Promise<boolean> {
  try {
    await container.info();
    return true;
  } catch (error) {
    if (isWardenError(error, 'UNKNOWN_HANDLE')) return false;
    throw error;
  }
}

function stillTaken(handle: string, timeoutMs: number, cause: unknown): WardenError {
  return new WardenError(
    'TIMEOUT',
    `the handle ${handle} is taken, and for ${timeoutMs} ms there was no container of it`,
    { cause, fields: { operation: 'get or create', handle, timeoutMs } },
  );
}
