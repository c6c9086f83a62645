/** `log_tag`: every line a job prints, on its way to syslog (spec behaviour.md 6.4). */
import type { OutputChunk } from '@warden/interface';
import type { OnPressure, OutputTap } from './output-tap.ts';

type StreamName = OutputChunk['stream'];

/** Longer lines are sent in pieces. */
export const MAX_LINE_BYTES = 8_192;
/** Lines sent in one turn of the event loop: a job that prints nothing but newlines is slowed down, not everybody else. */
const LINES_PER_TURN = 256;
const NEWLINE = 10;

/** Takes lines and never fails. */
export interface Syslog {
  /** `line` has no newline and at most {@link MAX_LINE_BYTES}. */
  send(severity: 'info' | 'error', tag: string, line: Uint8Array): void;
}

interface Lines {
  /** The beginning of a line that is not complete. */
  partial: Buffer;
  /** The piece before was cut for its length: a newline right behind it ends that line, not an empty one. */
  isCut: boolean;
  readonly queue: Buffer[];
}

/** See the file's head. */
export class JobLog implements OutputTap {
  readonly #syslog: Syslog;
  readonly #tag: string;
  readonly #onPressure: OnPressure;
  readonly #streams: Readonly<Record<StreamName, Lines>>;
  #isEnded = false;
  #turn: NodeJS.Immediate | undefined;

  /** `tag`: of the request. `partial`: what an earlier daemon had read of lines whose ends it did not see. */
  constructor(
    syslog: Syslog,
    tag: string,
    options: { readonly onPressure: OnPressure; readonly partial?: Readonly<Record<StreamName, Buffer>> },
  ) {
    const none = Buffer.alloc(0);
    const { stdout, stderr } = options.partial ?? { stdout: none, stderr: none };
    this.#syslog = syslog;
    this.#tag = tag;
    this.#onPressure = options.onPressure;
    this.#streams = {
      stdout: { partial: stdout, isCut: false, queue: [] },
      stderr: { partial: stderr, isCut: false, queue: [] },
    };
  }

  write(stream: StreamName, chunk: Buffer): void {
    this.#streams[stream].queue.push(chunk);
    if (this.#turn === undefined) this.#work();
    // what one turn could not send: the stream waits until it is sent
    if (this.#streams[stream].queue.length > 0) this.#onPressure(stream, true);
  }

  end(): void {
    this.#isEnded = true;
    if (this.#turn === undefined) this.#work();
  }

  detach(): void {
    clearImmediate(this.#turn);
    this.#turn = undefined;
  }

  #work(): void {
    this.#turn = undefined;
    let budget = LINES_PER_TURN;
    for (const stream of ['stdout', 'stderr'] as const) budget = this.#sendLines(stream, budget);
    const isWaiting = Object.values(this.#streams).some(({ queue }) => queue.length > 0);
    if (isWaiting) this.#turn = setImmediate(() => this.#work());
    else if (this.#isEnded) this.#sendPartials();
  }

  #sendLines(stream: StreamName, budget: number): number {
    const lines = this.#streams[stream];
    const wasWaiting = lines.queue.length > 0;
    let left = budget;
    while (left > 0 && lines.queue.length > 0) {
      const chunk = lines.queue[0]!;
      const room = MAX_LINE_BYTES - lines.partial.length;
      const at = chunk.subarray(0, room + 1).indexOf(NEWLINE);
      const taken = at === -1 ? Math.min(room, chunk.length) : at;
      const line =
        lines.partial.length > 0
          ? Buffer.concat([lines.partial, chunk.subarray(0, taken)])
          : chunk.subarray(0, taken);
      const isWhole = at !== -1 || line.length === MAX_LINE_BYTES;
      const rest = chunk.subarray(at === -1 ? taken : taken + 1);
      if (rest.length > 0) lines.queue[0] = rest;
      else lines.queue.shift();
      // a copy: the rest of a line must not keep a whole chunk in memory
      lines.partial = isWhole ? Buffer.alloc(0) : Buffer.from(line);
      if (!isWhole) continue;
      const isRestOfCut = lines.isCut && line.length === 0;
      lines.isCut = at === -1;
      if (isRestOfCut) continue;
      this.#send(stream, line);
      left -= 1;
    }
    if (wasWaiting && lines.queue.length === 0) this.#onPressure(stream, false);
    return left;
  }

  #sendPartials(): void {
    for (const stream of ['stdout', 'stderr'] as const) {
      const lines = this.#streams[stream];
      if (lines.partial.length > 0) this.#send(stream, lines.partial);
      lines.partial = Buffer.alloc(0);
    }
  }

  #send(stream: StreamName, line: Buffer): void {
    this.#syslog.send(stream === 'stdout' ? 'info' : 'error', this.#tag, line);
  }
}

/** The beginning of a line at the end of `output`. */
export function partialLine(output: Buffer): Buffer {
  const line = output.subarray(output.lastIndexOf(NEWLINE) + 1);
  return Buffer.from(line.subarray(line.length - (line.length % MAX_LINE_BYTES)));
}
