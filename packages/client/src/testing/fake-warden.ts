/**
 * A warden in memory, for tests of programs that use warden: its sessions are `WardenClient`s like those of
 * `connect`, and pass the same cases (`CLIENT_CONTRACT`). Jobs are functions of the test; nothing is started,
 * nothing is isolated, and nothing outlives it.
 */

import { WardenError } from '@warden/interface';
import { MessageType } from '@warden/protocol';
import { sessionClosed } from '../connection-pool.ts';
import { Gate } from '../gate.ts';
import type { Call, LaneRequest, Transport } from '../transport.ts';
import { WardenClient } from '../warden-client.ts';
import { FakeDaemon, type FakeWardenOptions } from './fake-daemon.ts';
import { FAKE_HANDLERS, type FakeCall } from './fake-requests.ts';
import { FAKE_STREAMS, FakeUpload } from './fake-streams.ts';

/** See the file's head. */
export interface FakeWarden extends AsyncDisposable {
  /** A session of its own. */
  connect(): Promise<WardenClient>;
  /** Destroys all containers. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Makes one.
 *
 * @example
 * await using fake = fakeWarden({ programs: { compile: ({ write }) => (write('stdout', 'ok\n'), 0) } });
 * await using warden = await fake.connect();
 */
export function fakeWarden(options: FakeWardenOptions = {}): FakeWarden {
  const daemon = new FakeDaemon(options);
  return {
    connect: async () => new WardenClient(new FakeTransport(daemon)),
    [Symbol.asyncDispose]: async () => {
      await Promise.all([...daemon.containers.values()].map((container) => daemon.destroy(container)));
    },
  };
}

class FakeTransport implements Transport {
  readonly runs = new Gate(Number.POSITIVE_INFINITY);
  readonly #daemon: FakeDaemon;
  readonly #closed = new AbortController();

  constructor(daemon: FakeDaemon) {
    this.#daemon = daemon;
    for (const container of daemon.containers.values()) daemon.reference(container, this);
  }

  get isConnected(): boolean {
    return !this.#closed.signal.aborted;
  }

  async call<T extends object>(type: number, value: object, request: LaneRequest = {}): Promise<T> {
    const handler = FAKE_HANDLERS[type];
    if (handler === undefined) throw unsupported(type);
    const call = this.#begin(request.signal);
    // an answer never comes before the question's turn is over
    await Promise.resolve();
    return (await this.#orClosed(Promise.resolve(handler(call, value as never)), request.signal)) as T;
  }

  async *stream<T extends object>(
    type: number,
    value: object,
    isFinal: (answer: T) => boolean,
    request: LaneRequest,
  ): AsyncGenerator<T, T, undefined> {
    const handler = FAKE_STREAMS[type];
    if (handler === undefined) throw unsupported(type);
    const answers = handler(this.#begin(request.signal), value as never);
    try {
      for (;;) {
        const step = await answers.next();
        if (step.done || isFinal(step.value as T)) return step.value as T;
        yield step.value as T;
      }
    } catch (error) {
      if (this.#closed.signal.aborted) throw sessionClosed();
      throw error;
    } finally {
      await answers.return({});
    }
  }

  async exchange<T>(request: LaneRequest, task: (call: Call) => Promise<T>): Promise<T> {
    const upload = new FakeUpload(this.#begin(request.signal));
    return task(async (type, value) => {
      if (type in FAKE_HANDLERS) return this.call(type, value, request);
      await Promise.resolve();
      this.#begin(request.signal);
      return upload.handle(type, value) as never;
    });
  }

  callAtHome<T extends object>(type: number, value: object, signal?: AbortSignal): Promise<T> {
    return this.call(type, value, { signal });
  }

  streamAtHome<T extends object>(
    type: number,
    value: object,
    isFinal: (answer: T) => boolean,
    signal?: AbortSignal,
  ): AsyncGenerator<T, T, undefined> {
    return this.stream(type, value, isFinal, { signal });
  }

  create<T extends { readonly handle: string }>(value: object): Promise<T> {
    return this.call(MessageType.Create, value);
  }

  forget(): void {
    // references of what is gone went with it
  }

  async features(): Promise<ReadonlySet<string>> {
    const { features } = await this.call<{ features: readonly string[] }>(MessageType.Features, {});
    return new Set(features);
  }

  close(): void {
    if (this.#closed.signal.aborted) return;
    this.#closed.abort(sessionClosed());
    for (const container of this.#daemon.containers.values()) this.#daemon.release(container, this);
  }

  #begin(signal: AbortSignal | undefined): FakeCall {
    if (this.#closed.signal.aborted) throw sessionClosed();
    if (signal?.aborted) throw new WardenError('ABORTED', 'the caller gave up', { cause: signal.reason });
    const either = signal ? AbortSignal.any([signal, this.#closed.signal]) : this.#closed.signal;
    return { daemon: this.#daemon, session: this, signal: either };
  }

  /** What still waits when the session is closed is rejected; what was asked for goes on. */
  async #orClosed<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    try {
      return await work;
    } catch (error) {
      throw this.#closed.signal.aborted && !signal?.aborted ? sessionClosed() : error;
    }
  }
}

function unsupported(type: number): WardenError {
  return new WardenError('UNSUPPORTED', `the fake does not know requests of type ${type}`, {
    fields: { type },
  });
}
