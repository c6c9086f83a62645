/** A job of the fake. */
import type { ExitVerdict, TerminalSize } from '@warden/interface';
import { WardenError } from '@warden/interface';
import type { FakeFiles } from './fake-files.ts';
import type { FakeProgram } from './fake-programs.ts';
import { wakeUp } from './wake-up.ts';

/** What is written and not yet read: as much as a pipe holds. */
const PIPE_BYTES = 65_536;

/** How one is started. */
export interface FakeJobSpec {
  readonly id: number;
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly workingDirectory: string;
  readonly privileged: boolean;
  /** The whole input; `undefined`: it stays open. */
  readonly input: Uint8Array | undefined;
  readonly terminal: TerminalSize | undefined;
  readonly discardOutput: boolean;
  readonly isLive: boolean;
}

/** How one ended. */
export interface FakeEnd {
  readonly exitStatus: number;
  readonly verdict: ExitVerdict;
}

/** See the file's head. */
export class FakeJob {
  readonly id: number;
  readonly output: { readonly stream: 'stdout' | 'stderr'; readonly data: Uint8Array }[] = [];
  readonly ended: Promise<FakeEnd>;
  hasEnded = false;
  end: FakeEnd | undefined;
  /** Each piece goes to one stream, and one at a time. */
  readonly isLive: boolean;
  isStreamed = false;
  readonly #spec: FakeJobSpec;
  readonly #killed = new AbortController();
  readonly #input: Uint8Array[] = [];
  #isInputEnded: boolean;
  #terminal: TerminalSize | undefined;
  #resolve!: (end: FakeEnd) => void;
  #waiting: (() => void)[] = [];

  constructor(spec: FakeJobSpec, program: FakeProgram | undefined, files: FakeFiles) {
    this.id = spec.id;
    this.#spec = spec;
    this.isLive = spec.isLive;
    this.#terminal = spec.terminal;
    this.#isInputEnded = spec.input !== undefined;
    if (spec.input !== undefined && spec.input.length > 0) this.#input.push(spec.input);
    this.ended = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    void this.#run(program, files);
  }

  /** Ends it with a signal. */
  kill(signal: number, reason?: 'timeout' | 'container-stopped'): void {
    this.#finish({ exitStatus: 255, verdict: { reason: reason ?? 'signal', signal } as ExitVerdict });
  }

  /** Errors: `BAD_STATE`, `ABORTED`, `NATIVE_FAILED` with errno EPIPE. */
  async write(data: Uint8Array, signal?: AbortSignal): Promise<void> {
    this.#requireInput();
    for (let at = 0; at < data.length; ) {
      if (signal?.aborted)
        throw new WardenError('ABORTED', 'the caller gave up writing to the job', { cause: signal.reason });
      this.#requireInput();
      const held = this.#input.reduce((size, { length }) => size + length, 0);
      if (held >= PIPE_BYTES) {
        await this.change(signal);
        continue;
      }
      const piece = data.slice(at, at + PIPE_BYTES - held);
      this.#input.push(piece);
      at += piece.length;
      this.#tell();
    }
  }

  endInput(): void {
    if (this.#spec.input !== undefined) return;
    this.#isInputEnded = true;
    this.#tell();
  }

  /** Errors: `BAD_STATE`. */
  resize(size: TerminalSize): void {
    if (this.#terminal === undefined)
      throw new WardenError('BAD_STATE', 'the job has no terminal', {
        fields: { operation: 'resize', job: this.id },
      });
    this.#terminal = size;
  }

  /** Resolves when something about it is new, or the signal is aborted. */
  change(signal?: AbortSignal): Promise<void> {
    return wakeUp(signal, (wake) => this.#waiting.push(wake));
  }

  /** All of one stream. */
  collect(stream: 'stdout' | 'stderr'): Uint8Array {
    if (this.isLive) return new Uint8Array();
    return Buffer.concat(this.output.filter((piece) => piece.stream === stream).map(({ data }) => data));
  }

  async #run(program: FakeProgram | undefined, files: FakeFiles): Promise<void> {
    await Promise.resolve(); // a process never runs before its parent has returned from the spawn
    const { argv, environment, workingDirectory, privileged } = this.#spec;
    const job = this;
    const write = (stream: 'stdout' | 'stderr', data: string | Uint8Array): void => {
      if (this.hasEnded || this.#spec.discardOutput) return;
      const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : data.slice();
      this.output.push({ stream: this.#spec.terminal ? 'stdout' : stream, data: bytes });
      this.#tell();
    };
    try {
      if (program === undefined) throw new Error(`execvpe: ${argv[0]}: No such file or directory`);
      const context = {
        ...{ argv, environment, workingDirectory, privileged, files, write },
        get terminal() {
          return job.#terminal;
        },
        stdin: this.#read(),
        killed: this.#killed.signal,
      };
      this.#finish({ exitStatus: (await program(context)) & 0xff, verdict: { reason: 'exited' } });
    } catch (error) {
      write('stderr', `${(error as Error).message}\n`);
      this.#finish({ exitStatus: 255, verdict: { reason: 'exited' } });
    }
  }

  async *#read(): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      const piece = this.#input.shift();
      if (piece !== undefined) {
        this.#tell();
        yield piece;
      } else if (this.#isInputEnded || this.hasEnded) return;
      else await this.change();
    }
  }

  #requireInput(): void {
    if (this.#spec.input === undefined && !this.#isInputEnded && !this.hasEnded) return;
    throw new WardenError('BAD_STATE', "the job's standard input was not left open, or is ended", {
      fields: { operation: 'write input', job: this.id },
    });
  }

  #finish(end: FakeEnd): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.end = end;
    this.#killed.abort();
    this.#resolve(end);
    this.#tell();
  }

  #tell(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
