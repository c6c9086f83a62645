/**
 * Requests of one session, spread over its connections. Everything above speaks in messages to this, and in
 * values to the user.
 */
import { isWardenError } from '@warden/interface';
import type { ConnectionPool, LaneRequest } from './connection-pool.ts';

/** See the file's head. */
export class Session {
  readonly pool: ConnectionPool;

  constructor(pool: ConnectionPool) {
    this.pool = pool;
  }

  /** One request, one answer, on a connection of its own. */
  async call<T extends object>(type: number, value: object, request: LaneRequest = {}): Promise<T> {
    try {
      return await this.pool.use(request, (connection) => connection.request<T>(type, value, request.signal));
    } catch (error) {
      if (request.handle !== undefined && isWardenError(error, 'UNKNOWN_HANDLE'))
        this.pool.forget(request.handle);
      throw error;
    }
  }

  /** One request, many answers, on a connection of its own. The request goes out with the first `next()`. */
  async *stream<T extends object>(
    type: number,
    value: object,
    isFinal: (answer: T) => boolean,
    request: LaneRequest,
  ): AsyncGenerator<T, T, undefined> {
    const lane = await this.pool.acquire(request);
    try {
      return yield* lane.connection.stream<T>(type, value, isFinal, request.signal);
    } finally {
      lane.release();
    }
  }
}
