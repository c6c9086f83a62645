/** `log_tag`: every line a job prints, on its way to syslog (spec behaviour.md 6.4). */
import type { OnPressure, OutputTap } from './output-tap.ts';
import { type PerStream, STREAMS, type StreamName } from './stream-name.ts';

/** Longer lines are sent in pieces. */
export const MAX_LINE_BYTES = 8_192;
/**
 * Lines sent in one turn of the event loop: a job that prints nothing but newlines is slowed down, not
 * everybody else.
 */
const LINES_PER_TURN = 256;
/** And so long at most: on a busy machine, or with a receiver that is slow to refuse, a line costs a multiple. */
const TURN_MS = 1;
/** The shortest that a timer of Node waits: others have their turns, and a receiver that is busy its time. */
const NEXT_TURN_MS = 1;
const NEWLINE = 10;
const NOTHING = Buffer.alloc(0);

/** Takes lines and never fails. */
export interface Syslog {
  /**
   * `line` has no newline and at most 8,192 bytes. Never waits. Answers false when it should be tried again a
   * little later; true when it is on its way, or lost because nobody takes it.
   */
  send(severity: 'info' | 'error', tag: string, line: Uint8Array): boolean;
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
  readonly #streams: PerStream<Lines>;
  #isEnded = false;
  #turn: NodeJS.Timeout | undefined;

  /** `tag`: of the request. `partial`: what an earlier daemon had read of lines whose ends it did not see. */
  constructor(
    syslog: Syslog,
    tag: string,
    options: { readonly onPressure: OnPressure; readonly partial?: PerStream<Buffer> },
  ) {
    const { stdout, stderr } = options.partial ?? { stdout: NOTHING, stderr: NOTHING };
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

  /** What was read is sent, as far as it is taken: the next daemon begins with the line that is not complete. */
  detach(): void {
    clearTimeout(this.#turn);
    this.#turn = undefined;
    if (this.#isEnded) return;
    for (const stream of STREAMS) this.#sendLines(stream, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY);
  }

  #work(): void {
    this.#turn = undefined;
    let budget = LINES_PER_TURN;
    const until = performance.now() + TURN_MS;
    for (const stream of STREAMS) {
      budget = this.#sendLines(stream, budget, until);
    }
    const isWaiting = Object.values(this.#streams).some(({ queue }) => queue.length > 0);
    if (isWaiting) this.#turn = setTimeout(() => this.#work(), NEXT_TURN_MS);
    else if (this.#isEnded) this.#sendPartials();
  }

  /** Sends what is complete, until that time; answers what is left of the budget. */
  #sendLines(stream: StreamName, budget: number, until: number): number {
    const lines = this.#streams[stream];
    let left = budget;
    while (left > 0 && lines.queue.length > 0 && performance.now() < until) {
      const { line, rest, isWhole, isCut } = nextPiece(lines.partial, lines.queue[0]!);
      const isRestOfCut = lines.isCut && line.length === 0;
      if (isWhole && !isRestOfCut && !this.#send(stream, line)) return 0;
      if (rest.length > 0) lines.queue[0] = rest;
      else lines.queue.shift();
      // a copy: the rest of a line must not keep a whole chunk in memory
      lines.partial = isWhole ? NOTHING : Buffer.from(line);
      if (isWhole) lines.isCut = isCut;
      left -= 1;
    }
    if (lines.queue.length === 0) this.#onPressure(stream, false);
    return left;
  }

  #sendPartials(): void {
    for (const stream of STREAMS) {
      const lines = this.#streams[stream];
      if (lines.partial.length === 0) continue;
      lines.queue.push(Buffer.of(NEWLINE)); // as if it were complete
      this.#work();
      if (lines.queue.length > 0) return;
    }
  }

  #send(stream: StreamName, line: Buffer): boolean {
    return this.#syslog.send(stream === 'stdout' ? 'info' : 'error', this.#tag, line);
  }
}

interface Piece {
  readonly line: Buffer;
  /** What comes behind it in the chunk. */
  readonly rest: Buffer;
  /** It can be sent. */
  readonly isWhole: boolean;
  /** The line goes on. */
  readonly isCut: boolean;
}

function nextPiece(partial: Buffer, chunk: Buffer): Piece {
  const room = MAX_LINE_BYTES - partial.length;
  const at = chunk.subarray(0, room + 1).indexOf(NEWLINE);
  const taken = chunk.subarray(0, at === -1 ? room : at);
  const line = partial.length > 0 ? Buffer.concat([partial, taken]) : taken;
  const isCut = at === -1 && line.length === MAX_LINE_BYTES;
  return {
    line,
    rest: chunk.subarray(taken.length + (at === -1 ? 0 : 1)),
    isWhole: at !== -1 || isCut,
    isCut,
  };
}

/** The beginning of a line at the end of `output`. */
export function partialLine(output: Buffer): Buffer {
  const line = output.subarray(output.lastIndexOf(NEWLINE) + 1);
  return Buffer.from(line.subarray(line.length - (line.length % MAX_LINE_BYTES)));
}
