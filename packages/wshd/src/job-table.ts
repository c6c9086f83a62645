/** The jobs of one connection: made by SPAWNED or handed over by JOB and RING, ended by EXIT. */
import type { InitJob, WaitStatus, WardenError } from '@warden/interface';
import { closeDescriptor } from '@warden/native';
import { PipeSource, type Prefix } from './byte-source.ts';
import { type MessageReader, protocolError, SPAWN_FLAG } from './protocol.ts';

interface Entry {
  readonly job: InitJob;
  readonly stdout: PipeSource;
  readonly stderr: PipeSource;
  readonly resolve: (status: WaitStatus) => void;
  readonly reject: (error: WardenError) => void;
}

/** A job between its JOB message and READY. */
interface HandedOver {
  readonly id: number;
  readonly status: WaitStatus | undefined;
  readonly discardOutput: boolean;
  readonly fds: readonly number[];
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

  /** SPAWNED: `u32 job_id, i32 pid`, with stdout and stderr unless output is discarded. */
  spawned(message: MessageReader, fds: readonly number[], discardOutput: boolean): InitJob {
    return this.#add({ id: message.u32(), fds, discardOutput }).job;
  }

  /** EXIT. An unknown id is a job that was forgotten meanwhile. */
  exited(message: MessageReader): void {
    const id = message.u32();
    const status = waitStatus(message.i32());
    if (this.#handedOver.has(id)) this.#early.set(id, status);
    this.#entries.get(id)?.resolve(status);
  }

  /** JOB. */
  handOver(message: MessageReader, fds: readonly number[]): void {
    const id = message.u32();
    const ended = message.u32() !== 0;
    const status = waitStatus(message.i32());
    const flags = message.u32();
    // none: discarded, or an ended job whose pipes init has read to their ends
    if (fds.length !== 0 && (fds.length !== 2 || (flags & SPAWN_FLAG.DISCARD) !== 0)) {
      throw protocolError(`job ${id} was handed over with ${fds.length} descriptors`);
    }
    const positions = [message.u64(), message.u64()] as const;
    message.u32(); // the rings' lengths: what comes is what there is
    message.u32();
    this.#handedOver.set(id, {
      id,
      status: ended ? status : undefined,
      discardOutput: (flags & SPAWN_FLAG.DISCARD) !== 0,
      fds,
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
    this.#entries.delete(id);
  }

  /**
   * The connection is gone. `reading`: what is in the pipes now is still delivered, because init is dead and nobody else will; otherwise
   * init reads them from now on, and a second reader would steal from its rings.
   */
  lost(error: WardenError, reading: boolean): void {
    for (const { fds } of this.#handedOver.values()) fds.forEach(closeDescriptor);
    this.#handedOver.clear();
    for (const entry of this.#entries.values()) {
      for (const source of [entry.stdout, entry.stderr]) {
        if (reading) source.finish();
        else source.close();
      }
      entry.reject(error);
    }
    this.#entries.clear();
  }

  #add(
    { id, fds, discardOutput }: Pick<HandedOver, 'id' | 'fds' | 'discardOutput'>,
    prefixes: readonly Prefix[] = [],
  ): Entry {
    const stdout = new PipeSource(fds[0], prefixes[0]);
    const stderr = new PipeSource(fds[1], prefixes[1]);
    let resolve!: Entry['resolve'];
    let reject!: Entry['reject'];
    const exited = new Promise<WaitStatus>((onStatus, onError) => {
      resolve = onStatus;
      reject = onError;
    });
    // whoever is interested awaits it; a lost connection must not end a process that is not
    exited.catch(() => {});
    const entry: Entry = {
      job: { id, stdout, stderr, discardOutput, exited },
      stdout,
      stderr,
      resolve,
      reject,
    };
    this.#entries.set(id, entry);
    return entry;
  }
}

/** Decodes a status of waitpid(2); stopped and continued are never reported. */
export function waitStatus(status: number): WaitStatus {
  const signal = status & 0x7f;
  return signal === 0 ? { exitCode: (status >> 8) & 0xff } : { signal };
}
