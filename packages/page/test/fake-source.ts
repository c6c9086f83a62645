/** A daemon with as many containers as a test wants, made of numbers. */
import type {
  ContainerEvent,
  ContainerLook,
  ContainerMeasure,
  EventFilter,
  Onlooker,
} from '@warden/interface';
import type { PageSource } from '../src/index.ts';

/** See the file's head. */
export class FakeSource implements PageSource {
  readonly version = '1.2.3';
  containers: ContainerLook[] = [];
  measures = 0;
  /** Nanoseconds that each container has used. */
  cpu = 0;
  /** What reading a container takes of the daemon's time. */
  readMs = 0;
  readonly #subscribers = new Set<(event: ContainerEvent) => void>();

  constructor(count = 0) {
    for (let at = 0; at < count; at++) this.containers.push(container(`box-${at}`, at));
  }

  get subscribers(): number {
    return this.#subscribers.size;
  }

  phase(): 'ready' {
    return 'ready';
  }

  numbers(): ReturnType<PageSource['numbers']> {
    return {
      containers: { active: this.containers.length, stopped: 0, destroying: 0 },
      prepared: 0,
      jobs: this.containers.length,
      pools: { network: { used: 1, limit: 4 } },
      totals: { created: 0, destroyed: 0, jobsStarted: 0, outOfMemoryKills: 0 },
    };
  }

  onlooker(): Onlooker {
    return {
      looks: () => this.containers,
      measure: async (handle) => this.#measure(handle),
      events: (filter) => this.#subscribe(filter),
    };
  }

  publish(event: ContainerEvent): void {
    for (const subscriber of this.#subscribers) subscriber(event);
  }

  #measure(handle: string): ContainerMeasure | undefined {
    this.measures += 1;
    const until = performance.now() + this.readMs;
    while (performance.now() < until);
    const found = this.containers.find((one) => one.handle === handle);
    if (found === undefined) return undefined;
    const memory = (Number(handle.replace(/\D/g, '')) + 1) * 1_024;
    return { id: found.id, limits: { memory: 2 ** 30 }, usage: { memory, cpu: this.cpu } };
  }

  #subscribe(_filter?: EventFilter): AsyncIterableIterator<ContainerEvent, undefined, undefined> {
    const waiting: ContainerEvent[] = [];
    let wake: (() => void) | undefined;
    let isOver = false;
    const take = (event: ContainerEvent): void => {
      waiting.push(event);
      wake?.();
    };
    this.#subscribers.add(take);
    return {
      next: async () => {
        while (waiting.length === 0 && !isOver)
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        const value = waiting.shift();
        return value === undefined ? { done: true, value: undefined } : { done: false, value };
      },
      return: async () => {
        isOver = true;
        this.#subscribers.delete(take);
        wake?.();
        return { done: true, value: undefined };
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }
}

/** A container with a job. */
export function container(handle: string, number: number): ContainerLook {
  return {
    handle,
    id: `id${number}`,
    state: 'active',
    isPaused: false,
    events: [],
    unsafe: [],
    hostIp: '10.254.0.1',
    containerIp: '10.254.0.2',
    ports: [],
    egressRules: 0,
    jobs: [{ id: number + 1, startedAt: 1_000, hasEnded: false, outputBytes: 7 }],
  };
}
