/**
 * What carries a client's requests: the connections to a daemon, or a fake in memory. Everything above speaks
 * in messages to this, and in values to the user.
 */
import type { LaneRequest } from './connection-pool.ts';
import type { Gate } from './gate.ts';

export type { LaneRequest } from './connection-pool.ts';

/** Sends one message and awaits its answer. */
export type Call = <T extends object>(type: number, value: object) => Promise<T>;

/** See the file's head. */
export interface Transport {
  /** Whether the session's references stand. */
  readonly isConnected: boolean;
  /** Scripts that are run to their end: more at a time would only be more load. */
  readonly runs: Gate;
  /** One request, one answer, not behind others of this client. */
  call<T extends object>(type: number, value: object, request?: LaneRequest): Promise<T>;
  /**
   * One request, many answers; `isFinal` knows the last one, which is the return value. The request goes out
   * with the first `next()`.
   */
  stream<T extends object>(
    type: number,
    value: object,
    isFinal: (answer: T) => boolean,
    request: LaneRequest,
  ): AsyncGenerator<T, T, undefined>;
  /**
   * Several requests of which each belongs to the one before. When `task` fails, whatever they have begun is
   * given up.
   */
  exchange<T>(request: LaneRequest, task: (call: Call) => Promise<T>): Promise<T>;
  /** As {@link call}, in order with the others sent this way: by the session's own connection. */
  callAtHome<T extends object>(type: number, value: object, signal?: AbortSignal): Promise<T>;
  /** As {@link stream}, by the session's own connection. */
  streamAtHome<T extends object>(
    type: number,
    value: object,
    isFinal: (answer: T) => boolean,
    signal?: AbortSignal,
  ): AsyncGenerator<T, T, undefined>;
  /** Sends a Create by the session's own connection, which references the container from then on. */
  create<T extends { readonly handle: string }>(value: object): Promise<T>;
  /** The container is gone. */
  forget(handle: string): void;
  /** Words for what the other side knows beyond the original's requests. */
  features(): Promise<ReadonlySet<string>>;
  /** Idempotent. */
  close(): void;
}
