/**
 * Tells subscribers what happens to containers. Publishing never waits and never fails: each subscriber has a
 * bounded buffer, and who reads too slowly loses the oldest events and is told how many.
 */
import {
  type ContainerEvent,
  EVENT_TYPES,
  type EventFilter,
  type Properties,
  WardenError,
} from '@warden/interface';

/** Events that wait for one subscriber. */
const BUFFER_EVENTS = 1_024;
/** Each may hold a full buffer. */
const MAX_SUBSCRIBERS = 256;

type Distribute<T> = T extends unknown ? Omit<T, 'time' | 'lost'> : never;
/** An event as it is published. */
export type EventBody = Distribute<ContainerEvent>;

/** How many of each have happened since the start. */
export interface EventTotals {
  created: number;
  destroyed: number;
  exits: number;
  outOfMemory: number;
}

/** See the file's head. */
export class EventBus {
  readonly totals: EventTotals = { created: 0, destroyed: 0, exits: 0, outOfMemory: 0 };
  readonly #subscriptions = new Set<Subscription>();

  get subscribers(): number {
    return this.#subscriptions.size;
  }

  /** `properties`: those of the container, for the filters. */
  publish(event: EventBody, properties: Properties): void {
    this.#count(event);
    for (const subscription of this.#subscriptions) subscription.offer(event, properties);
  }

  /** Errors: `INVALID_SPEC`, `POOL_EXHAUSTED`, `ABORTED`. */
  subscribe(filter: EventFilter): Subscription {
    for (const type of filter.types ?? []) {
      if (EVENT_TYPES.includes(type)) continue;
      throw new WardenError(
        'INVALID_SPEC',
        `there are no events of type ${type}, only ${EVENT_TYPES.join(', ')}`,
        {
          fields: { operation: 'events', object: type },
        },
      );
    }
    if (filter.signal?.aborted) throw givenUp(filter.signal);
    if (this.#subscriptions.size >= MAX_SUBSCRIBERS) {
      const used = this.#subscriptions.size;
      throw new WardenError(
        'POOL_EXHAUSTED',
        `too many subscriptions to events: ${used} of ${MAX_SUBSCRIBERS}`,
        {
          fields: { operation: 'events', pool: 'subscribers', used, limit: MAX_SUBSCRIBERS },
        },
      );
    }
    const subscription: Subscription = new Subscription(filter, () => {
      this.#subscriptions.delete(subscription);
    });
    this.#subscriptions.add(subscription);
    return subscription;
  }

  #count({ type }: EventBody): void {
    if (type === 'created') this.totals.created += 1;
    else if (type === 'destroyed') this.totals.destroyed += 1;
    else if (type === 'exit') this.totals.exits += 1;
    else if (type === 'oom') this.totals.outOfMemory += 1;
  }
}

/** One subscriber's events, to be iterated once. */
export class Subscription implements AsyncIterableIterator<ContainerEvent, undefined, undefined> {
  readonly #filter: EventFilter;
  readonly #leave: () => void;
  /** Who does not read any more has no use for what comes, either. */
  readonly #onAbort = (): void => {
    this.#leave();
    this.#wakeUp();
  };
  #buffer: ContainerEvent[] = [];
  /** Dropped since the last one that was taken. */
  #lost = 0;
  /** Steps that wait: nothing forbids to ask for several. */
  readonly #waiting: (() => void)[] = [];
  #isOver = false;

  constructor(filter: EventFilter, leave: () => void) {
    this.#filter = filter;
    this.#leave = leave;
    filter.signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Takes an event if it is admitted. */
  offer(event: EventBody, properties: Properties): void {
    if (this.#isOver || !this.#admits(event, properties)) return;
    if (this.#buffer.length >= BUFFER_EVENTS) {
      this.#lost += (this.#buffer.shift()?.lost ?? 0) + 1;
    }
    this.#buffer.push({ ...event, time: Date.now(), lost: 0 } as ContainerEvent);
    this.#wakeUp();
  }

  async next(): Promise<IteratorResult<ContainerEvent, undefined>> {
    const { signal } = this.#filter;
    for (;;) {
      if (signal?.aborted) {
        this.end();
        throw givenUp(signal);
      }
      const event = this.#buffer.shift();
      if (event !== undefined) {
        const lost = this.#lost;
        this.#lost = 0;
        return { done: false, value: { ...event, lost } };
      }
      if (this.#isOver) return { done: true, value: undefined };
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    }
  }

  async return(): Promise<IteratorResult<ContainerEvent, undefined>> {
    this.end();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Nothing follows. Idempotent. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#buffer = [];
    this.#filter.signal?.removeEventListener('abort', this.#onAbort);
    this.#leave();
    this.#wakeUp();
  }

  #admits({ handle, type }: EventBody, properties: Properties): boolean {
    const { handle: wanted, types, properties: required } = this.#filter;
    if (wanted !== undefined && wanted !== handle) return false;
    if (types !== undefined && !types.includes(type)) return false;
    return required === undefined || hasProperties(properties, required);
  }

  #wakeUp(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

function givenUp(signal: AbortSignal): WardenError {
  return new WardenError('ABORTED', 'the caller gave the subscription up', { cause: signal.reason });
}

/** Whether all of `required` are among `properties`. */
export function hasProperties(properties: Properties, required: Properties): boolean {
  return Object.entries(required).every(
    ([name, value]) => Object.hasOwn(properties, name) && properties[name] === value,
  );
}
