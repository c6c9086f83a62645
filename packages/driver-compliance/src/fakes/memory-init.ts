/** An init driver whose containers and jobs live in this process: a job is an async function chosen by the test. */
import fs from 'node:fs';
import path from 'node:path';
import {
  type ByteSource,
  type DriverFactory,
  type Init,
  type InitDriver,
  type InitJob,
  type InitSpec,
  type JobSpec,
  type LaunchedInit,
  type OutputFile,
  type WaitStatus,
  WardenError,
} from '@warden/interface';
import { memoryCopy } from './memory-copy.ts';

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
  /** What it says of itself; see `InitSupports`. Default: true. */
  readonly isolation?: boolean;
}

const RING_BYTES = 65_536;

interface Reader {
  readonly onChunk: (chunk: Buffer) => void;
  readonly onEnd: () => void;
  prefix: Buffer[];
}

/**
 * A stream: a pipe without bound while a daemon is there, a ring of the latest bytes otherwise, which stays
 * until a daemon acknowledges it.
 */
class Stream {
  #pipe: Buffer[] = [];
  #ring: Buffer = Buffer.alloc(0);
  /** Bytes that ever came into the ring. */
  #ringTotal = 0n;
  #lost = 0n;
  #ended = false;
  #reader: Reader | undefined;
  #file: OutputFile | undefined;
  #isPaused = false;
  #onReadable: (() => void) | undefined;
  #attended = true;

  write(bytes: Uint8Array | string): void {
    this.#pipe.push(Buffer.from(bytes));
    if (this.#attended) this.#flow();
    else this.leave();
  }

  end(): void {
    this.#ended = true;
    this.#flow();
  }

  /** The daemon has gone: init reads. */
  leave(): void {
    this.#attended = false;
    this.#reader = undefined;
    this.#file = undefined;
    const all = Buffer.concat([this.#ring, ...this.#pipe.splice(0)]);
    const lost = Math.max(0, all.length - RING_BYTES);
    this.#ringTotal += BigInt(all.length - this.#ring.length);
    this.#lost += BigInt(lost);
    this.#ring = all.subarray(lost);
  }

  /** The daemon has put away what the ring held when it came, and nothing has been added since. */
  acknowledge(): void {
    this.#ring = Buffer.alloc(0);
    this.#lost = 0n;
  }

  /** A new daemon reads from here. */
  source(): ByteSource {
    this.#attended = true;
    this.#reader = undefined;
    this.#isPaused = false;
    const kept = this.#ring;
    const flow = (): void => this.#flow();
    return {
      kept: { position: this.#ringTotal - BigInt(kept.length), length: kept.length, lost: this.#lost },
      start: (onChunk, onEnd, skipKept = 0) => {
        this.#reader = { onChunk, onEnd, prefix: [kept.subarray(skipKept)] };
        queueMicrotask(flow);
      },
      pause: () => {
        this.#isPaused = true;
      },
      resume: () => {
        this.#isPaused = false;
        this.#onReadable = undefined;
        queueMicrotask(flow);
      },
      onceReadable: (listener) => {
        this.#onReadable = () => listener();
        queueMicrotask(flow);
      },
      keepIn: (file) => {
        this.#file = file;
      },
      drain: () => {
        const wasPaused = this.#isPaused;
        this.#isPaused = false;
        flow();
        this.#isPaused = wasPaused && !this.#ended;
        return this.#ended;
      },
      close: () => {
        this.#reader = undefined;
        this.#onReadable = undefined;
      },
    };
  }

  #flow(): void {
    if (this.#isPaused) {
      const listener = this.#onReadable;
      if (listener === undefined || !(this.#ended || this.#pipe.length > 0)) return;
      this.#onReadable = undefined;
      listener();
      return;
    }
    while (this.#reader && !this.#isPaused) {
      const chunk = this.#reader.prefix.shift() ?? this.#pipe.shift();
      if (chunk === undefined) break;
      if (chunk.length > 0) this.#deliver(chunk, this.#reader);
    }
    if (this.#ended && this.#pipe.length === 0 && this.#reader && !this.#isPaused) {
      const { onEnd } = this.#reader;
      this.#reader = undefined;
      onEnd();
    }
  }

  #deliver(chunk: Buffer, reader: Reader): void {
    const file = this.#file;
    if (file) {
      try {
        fs.writeSync(file.descriptor, chunk, 0, chunk.length, file.offset);
        file.offset += chunk.length;
      } catch (error) {
        this.#file = undefined;
        file.onFailure(error);
      }
    }
    reader.onChunk(chunk);
  }
}

interface FakeJob {
  readonly id: number;
  readonly stdout: Stream;
  readonly stderr: Stream;
  readonly discardOutput: boolean;
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
    const { id, discardOutput } = spec;
    const job: FakeJob = { id, stdout, stderr, discardOutput, exited, signal, ended: false };
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
    supports: { isolation: options.isolation ?? true },
    probe: async () => ({ ok: true }),
    setup: async () => {},
    prepare: async (spec) => {
      fs.mkdirSync(path.join(spec.directory, 'etc'), { recursive: true });
      const lines = spec.config.map(([key, value]) => `${key}=${value}\n`);
      fs.writeFileSync(path.join(spec.directory, 'etc/config'), lines.join(''));
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
          return connection(machine, options.program, spec.directory);
        },
      };
    },
    connect: async (directory) => {
      const machine = machines.get(directory);
      if (!fs.existsSync(path.join(directory, 'etc/config'))) machine?.end(); // incomplete
      return machine?.alive ? connection(machine, options.program, directory) : undefined;
    },
  });
  return Object.assign(factory, {
    directories: () => [...machines].filter(([, machine]) => machine.alive).map(([directory]) => directory),
  });
}

function connection(machine: Machine, program: Program, directory: string): Init {
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
    const { id, discardOutput } = job;
    return { id, stdout: job.stdout.source(), stderr: job.stderr.source(), discardOutput, exited };
  };
  return {
    pid: machine.pid,
    recoveredJobs: [...machine.jobs.values()].map(handle),
    closed,
    spawn: async (spec) => {
      check();
      return handle(machine.spawn(spec, program));
    },
    acknowledge: () => {
      for (const job of machine.jobs.values()) {
        job.stdout.acknowledge();
        job.stderr.acknowledge();
      }
    },
    signalJob: async (jobId, signal) => {
      check();
      if (signal !== 0) machine.jobs.get(jobId)?.signal(signal);
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
    copy: async (spec) => {
      check();
      return memoryCopy(spec, directory, machine.gone);
    },
    forget: (jobId) => {
      if (machine.jobs.get(jobId)?.ended) machine.jobs.delete(jobId);
    },
    disconnect: () => {
      for (const job of machine.jobs.values()) {
        job.stdout.leave();
        job.stderr.leave();
      }
      close();
    },
    kill: async () => {
      machine.end();
      await Promise.all([...machine.jobs.values()].map(({ exited }) => exited));
    },
  };
}
