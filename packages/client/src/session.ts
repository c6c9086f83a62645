/** Requests of one session, spread over its connections to a daemon. */
import { isWardenError, WardenError } from '@warden/interface';
import { type FeaturesResponse, MessageType } from '@warden/protocol';
import type { Connection } from './connection.ts';
import { type ConnectionPool, sessionClosed } from './connection-pool.ts';
import { Gate } from './gate.ts';
import type { Call, LaneRequest, Transport } from './transport.ts';

/** Patience with a daemon that may not know the question: the original answers unknown requests with silence. */
const FEATURES_PATIENCE_MS = 3_000;

/** See the file's head. */
export class Session implements Transport {
  readonly runs: Gate;
  readonly #pool: ConnectionPool;
  #features: Promise<ReadonlySet<string>> | undefined;

  /** At most `maxRuns` scripts are run to their end at a time. */
  constructor(pool: ConnectionPool, maxRuns: number) {
    this.#pool = pool;
    this.runs = new Gate(maxRuns);
  }

  get isConnected(): boolean {
    return this.#pool.isHomeAlive;
  }

  async call<T extends object>(type: number, value: object, request: LaneRequest = {}): Promise<T> {
    return this.#onLane(request, (connection) => connection.request<T>(type, value, request.signal));
  }

  async *stream<T extends object>(
    type: number,
    value: object,
    isFinal: (answer: T) => boolean,
    request: LaneRequest,
  ): AsyncGenerator<T, T, undefined> {
    const lane = await this.#pool.acquire(request);
    try {
      return yield* lane.connection.stream<T>(type, value, isFinal, { ...request, onFree: lane.release });
    } catch (error) {
      this.#forgetUnknown(request, error);
      throw error;
    } finally {
      lane.release();
    }
  }

  exchange<T>(request: LaneRequest, task: (call: Call) => Promise<T>): Promise<T> {
    return this.#onLane(request, async (connection) => {
      try {
        return await task((type, value) => connection.request(type, value, request.signal));
      } catch (error) {
        // what was begun belongs to the connection, and ends with it
        connection.destroy(isWardenError(error) ? error : abandonedExchange(error));
        throw error;
      }
    });
  }

  async callAtHome<T extends object>(type: number, value: object, signal?: AbortSignal): Promise<T> {
    const home = await this.#pool.home();
    return home.request<T>(type, value, signal);
  }

  async *streamAtHome<T extends object>(
    type: number,
    value: object,
    isFinal: (answer: T) => boolean,
    signal?: AbortSignal,
  ): AsyncGenerator<T, T, undefined> {
    const home = await this.#pool.home();
    return yield* home.stream<T>(type, value, isFinal, { signal });
  }

  async create<T extends { readonly handle: string }>(value: object): Promise<T> {
    const home = await this.#pool.home();
    const answer = await home.request<T>(MessageType.Create, value);
    this.#pool.keepAtHome(answer.handle, home);
    return answer;
  }

  forget(handle: string): void {
    this.#pool.forget(handle);
  }

  features(): Promise<ReadonlySet<string>> {
    this.#features ??= this.#askFeatures().then(
      (features) => {
        // a daemon may be replaced by a newer one under the same path
        if (features.size === 0) this.#features = undefined;
        return features;
      },
      (error: unknown) => {
        this.#features = undefined;
        throw error;
      },
    );
    return this.#features;
  }

  close(): void {
    this.#pool.close();
    this.runs.close(sessionClosed());
  }

  async #askFeatures(): Promise<ReadonlySet<string>> {
    let patience: AbortSignal | undefined;
    try {
      // the daemon's time begins when it is asked: not while a connection is made
      const { features = [] } = await this.#pool.use({ use: 'wait' }, (connection) => {
        patience = AbortSignal.timeout(FEATURES_PATIENCE_MS);
        return connection.request<FeaturesResponse>(MessageType.Features, {}, patience);
      });
      return new Set(features);
    } catch (error) {
      if (isWardenError(error, 'UNSUPPORTED') || isWardenError(error, 'MALFORMED_REQUEST')) return new Set();
      if (isWardenError(error, 'ABORTED') && patience?.aborted) return new Set();
      throw error;
    }
  }

  async #onLane<T>(request: LaneRequest, task: (connection: Connection) => Promise<T>): Promise<T> {
    try {
      return await this.#pool.use(request, task);
    } catch (error) {
      this.#forgetUnknown(request, error);
      throw error;
    }
  }

  /** What the daemon does not have any more needs no lane of its own. */
  #forgetUnknown({ handle }: LaneRequest, error: unknown): void {
    if (handle !== undefined && isWardenError(error, 'UNKNOWN_HANDLE')) this.#pool.forget(handle);
  }
}

function abandonedExchange(cause: unknown): WardenError {
  return new WardenError('ABORTED', 'the caller gave up in the middle', { cause });
}
