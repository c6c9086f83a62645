/** The jobs of one connection: made by SPAWNED or handed over by JOB and RING, ended by EXIT. */
import type { InitJob, JobSpec, WaitStatus, WardenError } from '@warden/interface';
import { closeDescriptor } from '@warden/native';
import { PipeSink } from './byte-sink.ts';
import { PipeSource, type Prefix } from './byte-source.ts';
import { type MessageReader, protocolError, SPAWN_FLAG } from './protocol.ts';

interface Entry {
  readonly job: InitJob;
  readonly stdout: PipeSource;
  readonly stderr: PipeSource;
  readonly input: PipeSink | undefined;
  readonly resolve: (status: WaitStatus) => void;
  readonly reject: (error: WardenError) => void;
}

/** What of a job's descriptors is which. */
interface Ends {
  readonly input: number | undefined;
  readonly stdout: number | undefined;
  readonly stderr: number | undefined;
  readonly isTerminal: boolean;
}

/** A job between its JOB message and READY. */
interface HandedOver {
  readonly id: number;
  readonly status: WaitStatus | undefined;
  readonly discardOutput: boolean;
  readonly isLive: boolean;
  readonly ends: Ends;
  readonly positions: readonly [bigint, bigint];
  readonly lost: readonly [bigint, bigint];
  readonly rings: readonly [Buffer[], Buffer[]];
}

export class JobTable {
  /** Running jobs, and ended ones whose pipes may still hold output. */
  readonly #entries = new Map<number, Entry>();
  readonly #handedOver = new Map<number, HandedOver>();
  /** Exits that came for a job whose hand-over is not complete. */
  readonly #early = new Map<number, WaitStatus>();
  /** Jobs that are to end, and that nobody here knows. */
  readonly #abandoned = new Set<number>();

  /** SPAWNED: `u32 job_id, i32 pid`, with the descriptors that its spec asks for. */
  spawned(message: MessageReader, fds: readonly number[], spec: JobSpec): InitJob {
    const id = message.u32();
    const isTerminal = spec.terminal !== undefined;
    const ends = assign(id, fds, {
      hasInput: spec.openInput === true,
      isTerminal,
    });
    return this.#add({ id, ends, discardOutput: spec.discardOutput, isLive: spec.isLive === true }).job;
  }

  /** From now on {@link exited} tells of the end of this job. */
  abandon(id: number): void {
    this.#abandoned.add(id);
  }

  /** EXIT. An unknown id is a job that was forgotten meanwhile. The id of one that was abandoned is answered. */
  exited(message: MessageReader): number | undefined {
    const id = message.u32();
    const status = waitStatus(message.i32());
    if (this.#handedOver.has(id)) this.#early.set(id, status);
    this.#entries.get(id)?.resolve(status);
    return this.#abandoned.delete(id) ? id : undefined;
  }

  /** JOB. */
  handOver(message: MessageReader, fds: readonly number[]): void {
    const id = message.u32();
    const ended = message.u32() !== 0;
    const status = waitStatus(message.i32());
    const flags = message.u32();
    const isTerminal = (flags & SPAWN_FLAG.TTY) !== 0;
    // no output: discarded, or a job whose pipes init has read to their ends
    const ends = assign(id, fds, {
      hasInput: (flags & SPAWN_FLAG.INPUT_OPEN) !== 0,
      isTerminal,
    });
    const positions = [message.u64(), message.u64()] as const;
    message.u32(); // the rings' lengths: what comes is what there is
    message.u32();
    this.#handedOver.set(id, {
      id,
      status: ended ? status : undefined,
      discardOutput: (flags & SPAWN_FLAG.DISCARD) !== 0,
      isLive: (flags & SPAWN_FLAG.LIVE) !== 0,
      ends,
      positions,
      lost: [message.u64(), message.u64()],
      rings: [[], []],
    });
  }

  /** RING: the next part of a stream's ring. */
  ring(message: MessageReader): void {
    const id = message.u32();
    const stream = message.u32();
    message.u64(); // position; JOB has told where the ring begins, and its parts come in order
    const rings = this.#handedOver.get(id)?.rings;
    const ring = stream === 1 ? rings?.[0] : stream === 2 ? rings?.[1] : undefined;
    if (ring === undefined)
      throw protocolError(`ring content for stream ${stream} of job ${id}, which was not handed over`);
    ring.push(message.bytes());
  }

  /** READY: all that were handed over. */
  recovered(): readonly InitJob[] {
    const jobs = [...this.#handedOver.values()].map((known) => {
      const prefix = (stream: 0 | 1): Prefix => ({
        position: known.positions[stream],
        lost: known.lost[stream],
        chunks: known.rings[stream],
      });
      const entry = this.#add(known, [prefix(0), prefix(1)]);
      const status = known.status ?? this.#early.get(known.id);
      if (status !== undefined) entry.resolve(status);
      return entry.job;
    });
    this.#handedOver.clear();
    this.#early.clear();
    return jobs;
  }

  /** The job's result was taken or nobody wants it. Its sources are the receiver's to close. */
  forget(id: number): void {
    this.#entries.get(id)?.input?.close();
    this.#entries.delete(id);
  }

  /**
   * The connection is gone. `reading`: what is in the pipes now is still delivered, because init is dead and
   * nobody else will; otherwise init reads them from now on, and a second reader would steal from its rings.
   */
  lost(reason: () => WardenError, reading: boolean): void {
    for (const { ends } of this.#handedOver.values()) {
      for (const fd of [ends.input, ends.stdout, ends.stderr]) if (fd !== undefined) closeDescriptor(fd);
    }
    this.#handedOver.clear();
    for (const entry of this.#entries.values()) {
      for (const source of [entry.stdout, entry.stderr]) {
        if (reading) source.finish();
        else source.close();
      }
      entry.input?.close();
      entry.reject(reason());
    }
    this.#entries.clear();
  }

  #add(
    { id, ends, discardOutput, isLive }: Pick<HandedOver, 'id' | 'ends' | 'discardOutput' | 'isLive'>,
    prefixes: readonly Prefix[] = [],
  ): Entry {
    const { isTerminal } = ends;
    const stdout = new PipeSource(ends.stdout, prefixes[0], isTerminal);
    const stderr = new PipeSource(ends.stderr, prefixes[1]);
    const input = ends.input === undefined ? undefined : new PipeSink(ends.input);
    let resolve!: Entry['resolve'];
    let reject!: Entry['reject'];
    const exited = new Promise<WaitStatus>((onStatus, onError) => {
      resolve = onStatus;
      reject = onError;
    });
    // whoever is interested awaits it; a lost connection must not end a process that is not
    exited.catch(() => {});
    const entry: Entry = {
      job: { id, input, isTerminal, stdout, stderr, discardOutput, isLive, exited },
      stdout,
      stderr,
      input,
      resolve,
      reject,
    };
    this.#entries.set(id, entry);
    return entry;
  }
}

/** The input first, then stdout and stderr, or none of them; a terminal has one of each. */
function assign(
  id: number,
  fds: readonly number[],
  { hasInput, isTerminal }: { readonly hasInput: boolean; readonly isTerminal: boolean },
): Ends {
  const [first, ...others] = fds;
  const withInput = hasInput || (isTerminal && fds.length > 0);
  const outputs = withInput ? others : fds;
  const expected = isTerminal ? 1 : 2;
  if ((withInput && first === undefined) || (outputs.length !== expected && outputs.length !== 0))
    throw protocolError(`job ${id} came with ${fds.length} descriptors`);
  const [stdout, stderr] = outputs;
  return { input: withInput ? first : undefined, stdout, stderr, isTerminal };
}

/** Decodes a status of waitpid(2); stopped and continued are never reported. */
export function waitStatus(status: number): WaitStatus {
  const signal = status & 0x7f;
  return signal === 0 ? { exitCode: (status >> 8) & 0xff } : { signal };
}
