/** An init driver whose containers and jobs live in this process: a job is an async function chosen by the test. */
import fs from 'node:fs';
import {
  type ByteSource,
  type DriverFactory,
  type Init,
  type InitDriver,
  type InitJob,
  type InitSpec,
  type JobSpec,
  type LaunchedInit,
  type WaitStatus,
  WardenError,
} from '@warden/interface';

/** What a job of the fake can do. */
export interface ProgramContext {
  readonly spec: JobSpec;
  write(stream: 'stdout' | 'stderr', bytes: Uint8Array | string): void;
  /** Resolves with the signal that ends the job. */
  readonly killed: Promise<number>;
}

/** Runs a job; answers the exit code, or the signal it died of. */
export type Program = (context: ProgramContext) => Promise<WaitStatus>;

/** Options of the fake. */
export interface MemoryInitOptions {
  readonly program: Program;
  /** Makes `proceed` fail for a spec. */
  readonly fails?: (spec: InitSpec) => boolean;
}

const RING_BYTES = 65_536;

/** A stream: buffered without loss while a reader is attached or the daemon is there, a ring otherwise. */
class Stream {
  #chunks: Buffer[] = [];
  #skipped = 0n;
  #ended = false;
  #reader: { onChunk: (chunk: Buffer) => void; onEnd: () => void; paused: boolean } | undefined;
  attended = true;

  write(bytes: Uint8Array | string): void {
    this.#chunks.push(Buffer.from(bytes));
    if (!this.attended) this.#trim();
    this.#flow();
  }

  end(): void {
    this.#ended = true;
    this.#flow();
  }

  /** A new daemon reads from here. */
  source(): ByteSource {
    this.attended = true;
    this.#reader = undefined;
    const flow = (): void => this.#flow();
    const setPaused = (paused: boolean): void => {
      if (this.#reader) this.#reader.paused = paused;
    };
    return {
      skipped: this.#skipped,
      start: (onChunk, onEnd) => {
        this.#reader = { onChunk, onEnd, paused: false };
        queueMicrotask(flow);
      },
      pause: () => setPaused(true),
      resume: () => {
        setPaused(false);
        queueMicrotask(flow);
      },
      drain: () => {
        const paused = this.#reader?.paused ?? false;
        setPaused(false);
        flow();
        if (!this.#ended) setPaused(paused);
        return this.#ended;
      },
      close: () => {
        this.#reader = undefined;
      },
    };
  }

  #flow(): void {
    while (this.#reader && !this.#reader.paused && this.#chunks.length > 0)
      this.#reader.onChunk(this.#chunks.shift()!);
    if (this.#ended && this.#chunks.length === 0 && this.#reader && !this.#reader.paused) {
      const { onEnd } = this.#reader;
      this.#reader = undefined;
      onEnd();
    }
  }

  #trim(): void {
    const all = Buffer.concat(this.#chunks);
    const lost = Math.max(0, all.length - RING_BYTES);
    this.#skipped += BigInt(lost);
    this.#chunks = [all.subarray(lost)];
  }
}

interface FakeJob {
  readonly id: number;
  readonly stdout: Stream;
  readonly stderr: Stream;
  readonly exited: Promise<WaitStatus>;
  signal(number: number): void;
  ended: boolean;
}

class Machine {
  readonly jobs: Map<number, FakeJob> = new Map();
  readonly pid: number;
  readonly gone: Promise<void>;
  #end: () => void = () => {};
  alive = true;

  constructor(pid: number) {
    this.pid = pid;
    this.gone = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  get living(): FakeJob[] {
    return [...this.jobs.values()].filter((job) => !job.ended);
  }

  spawn(spec: JobSpec, program: Program): FakeJob {
    let signal: (number: number) => void = () => {};
    const killed = new Promise<number>((resolve) => {
      signal = resolve;
    });
    const [stdout, stderr] = [new Stream(), new Stream()];
    const write = (stream: 'stdout' | 'stderr', bytes: Uint8Array | string): void => {
      if (!job.ended && !spec.discardOutput) (stream === 'stdout' ? stdout : stderr).write(bytes);
    };
    const death = killed.then((number): WaitStatus => ({ signal: number }));
    // a process never runs before its parent has returned from the spawn
    const life = Promise.resolve().then(() => program({ spec, write, killed }));
    const exited = Promise.race([death, life]).then((status) => {
      job.ended = true;
      stdout.end();
      stderr.end();
      return status;
    });
    const job: FakeJob = { id: spec.id, stdout, stderr, exited, signal, ended: false };
    this.jobs.set(spec.id, job);
    return job;
  }

  end(): void {
    this.alive = false;
    for (const job of this.living) job.signal(9);
    this.#end();
  }
}

/** Makes the fake. Instances made from one call share their machines, as daemons share a host. */
export function memoryInit(
  options: MemoryInitOptions,
): DriverFactory<InitDriver> & { readonly directories: () => readonly string[] } {
  const machines = new Map<string, Machine>();
  let nextPid = 1_000_000;
  const factory: DriverFactory<InitDriver> = () => ({
    role: 'init',
    name: 'memory',
    probe: async () => ({ ok: true }),
    setup: async () => {},
    prepare: async (spec) => {
      fs.mkdirSync(spec.directory, { recursive: true });
    },
    launch: async (spec): Promise<LaunchedInit> => {
      const machine = new Machine(nextPid++);
      const abort = async (): Promise<void> => machine.end();
      return {
        pid: machine.pid,
        abort,
        proceed: async () => {
          if (options.fails?.(spec)) {
            await abort();
            throw new WardenError('NATIVE_FAILED', `init of ${spec.id} cannot start`, {
              fields: { operation: 'start init', object: spec.id, stage: 'mount', errno: 'ENOENT' },
            });
          }
          machines.set(spec.directory, machine);
          return connection(machine, options.program);
        },
      };
    },
    connect: async (directory) => {
      const machine = machines.get(directory);
      return machine?.alive ? connection(machine, options.program) : undefined;
    },
  });
  return Object.assign(factory, {
    directories: () => [...machines].filter(([, machine]) => machine.alive).map(([directory]) => directory),
  });
}

function connection(machine: Machine, program: Program): Init {
  let open = true;
  let close: () => void = () => {};
  const closed = new Promise<void>((resolve) => {
    close = () => {
      open = false;
      resolve();
    };
  });
  void machine.gone.then(() => close());
  const check = (): void => {
    if (!open || !machine.alive)
      throw new WardenError('UNAVAILABLE', 'the init is gone', {
        fields: { operation: 'init', object: machine.pid },
      });
  };
  const lost = closed.then(() => {
    throw new WardenError('UNAVAILABLE', 'the connection to init is closed', {
      fields: { operation: 'job', object: machine.pid },
    });
  });
  lost.catch(() => {});
  const handle = (job: FakeJob): InitJob => {
    const exited = Promise.race([job.exited, lost]);
    exited.catch(() => {});
    return { id: job.id, stdout: job.stdout.source(), stderr: job.stderr.source(), exited };
  };
  return {
    pid: machine.pid,
    recoveredJobs: [...machine.jobs.values()].map(handle),
    closed,
    spawn: async (spec) => {
      check();
      return handle(machine.spawn(spec, program));
    },
    signalJob: async (jobId, signal) => {
      check();
      machine.jobs.get(jobId)?.signal(signal);
    },
    signalAll: async (signal) => {
      check();
      for (const job of machine.living) job.signal(signal);
    },
    waitEmpty: async (timeoutMs) => {
      check();
      const empty = Promise.all(machine.living.map(({ exited }) => exited)).then(() => true);
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<boolean>((resolve) => {
        timer = setTimeout(() => resolve(false), timeoutMs);
      });
      const result = await Promise.race([empty, late]);
      clearTimeout(timer);
      return result;
    },
    forget: (jobId) => {
      if (machine.jobs.get(jobId)?.ended) machine.jobs.delete(jobId);
    },
    disconnect: () => {
      for (const job of machine.jobs.values()) {
        job.stdout.attended = false;
        job.stderr.attended = false;
      }
      close();
    },
    kill: async () => {
      machine.end();
      await Promise.all([...machine.jobs.values()].map(({ exited }) => exited));
    },
  };
}
