/**
 * What debootstrap reports while it works, and how it is shown.
 *
 * With `--debian-installer` it writes records to descriptor 3: `P: <now> <end> [NAME]` (progress), `I:`, `W:`
 * and `E:` with a name, followed by lines `IA:` with one argument each and a line `IF:` with the format.
 */
import { formatJson } from '../format-answer.ts';
import { type Terminal, write } from '../terminal.ts';

/** The four parts of a build, in their order. */
export type Stage = 'retrieving' | 'validating' | 'extracting' | 'configuring';

/** A step forward. */
export interface Step {
  readonly stage: Stage;
  /** Of the stage, where it is known. */
  readonly percent?: number;
  /** What is being worked on, in debootstrap's words. */
  readonly text?: string;
}

/** A message that is no progress. */
export interface Notice {
  readonly level: 'warning' | 'error';
  readonly text: string;
  /** By which debootstrap knows it; absent: it is this program's own. */
  readonly name?: string;
}

const STAGES: readonly (readonly [RegExp, Stage])[] = [
  [/^(DOWN|SIZEDEBS|RETRIEVING|CHECKINGSIZES|RESOLVE|FOUND)/, 'retrieving'],
  [/^(VALID|RELEASESIG)/, 'validating'],
  [/^(EXTRACT|CHOSENEXTRACTOR)/, 'extracting'],
  [/^(INSTCORE|UNPACK|CONF|BASESUCCESS)/, 'configuring'],
];

const RECORD = /^([PIWE])([AF]?): ?(.*)$/;

/** Whether a line is a part of a report rather than of what debootstrap and its programs say. */
export function isRecord(line: string): boolean {
  return RECORD.test(line);
}

/** Turns the lines of descriptor 3 into steps and notices. */
export class ReportReader {
  readonly #onStep: (step: Step) => void;
  readonly #onNotice: (notice: Notice) => void;
  #stage: Stage = 'retrieving';
  /** What records of progress without a name belong to. */
  #measured: Stage = 'retrieving';
  readonly #percents = new Map<Stage, number>();
  #name = '';
  #words: string[] = [];

  constructor(onStep: (step: Step) => void, onNotice: (notice: Notice) => void) {
    this.#onStep = onStep;
    this.#onNotice = onNotice;
  }

  /** Takes in one line. Lines that are not understood are passed over: they are another version's. */
  take(line: string): void {
    const match = RECORD.exec(line);
    if (match === null) return;
    const [, kind, part, text] = match as unknown as [string, string, string, string];
    if (kind === 'P') {
      if (part === '') this.#progress(text);
    } else if (part === '') {
      [this.#name, this.#words] = [text, []];
    } else if (part === 'A') {
      this.#words.push(text);
    } else {
      this.#message(kind, fill(text, this.#words));
    }
  }

  #progress(text: string): void {
    const [now, end, name] = text.split(' ');
    this.#measured = stageOf(name) ?? this.#measured;
    this.#stage = this.#measured;
    const share = Number(now) / Number(end);
    if (Number.isFinite(share)) this.#percents.set(this.#stage, Math.min(100, Math.floor(share * 100)));
    else this.#percents.delete(this.#stage);
    this.#step();
  }

  #message(kind: string, text: string): void {
    if (kind !== 'I') {
      this.#onNotice({ level: kind === 'E' ? 'error' : 'warning', text, name: this.#name });
      return;
    }
    this.#stage = stageOf(this.#name) ?? this.#stage;
    this.#step(text);
  }

  #step(text?: string): void {
    const percent = this.#percents.get(this.#stage);
    this.#onStep({
      stage: this.#stage,
      ...(percent !== undefined && { percent }),
      ...(text !== undefined && { text }),
    });
  }
}

function stageOf(name: string | undefined): Stage | undefined {
  return STAGES.find(([pattern]) => pattern.test(name ?? ''))?.[1];
}

/** `%s` by the arguments in their order. */
function fill(format: string, words: readonly string[]): string {
  let at = 0;
  return format
    .replaceAll('%s', () => words[at++] ?? '')
    .replaceAll(/\s+/g, ' ')
    .trim();
}

/** Shows steps: one line that changes on a terminal, debootstrap's own words elsewhere, or JSON. */
export class ProgressView {
  readonly #terminal: Terminal;
  readonly #isJson: boolean;
  #shown = '';
  /** What was named last: a mere percentage does not blank it. */
  #text = '';

  constructor(terminal: Terminal, isJson: boolean) {
    this.#terminal = terminal;
    this.#isJson = isJson;
  }

  step(step: Step): void {
    const text = this.#isJson ? formatJson(step) : this.#plain(step);
    if (text === undefined || text === this.#shown) return;
    this.#shown = text;
    void write(this.#terminal.stdout, text);
  }

  notice({ level, text }: Notice): void {
    if (this.#isJson) {
      void write(this.#terminal.stderr, formatJson({ level, text }));
      return;
    }
    this.end();
    void write(this.#terminal.stderr, `${level}: ${text}\n`);
  }

  /** Leaves the line that changes. */
  end(): void {
    if (this.#isDrawing && this.#shown !== '') void write(this.#terminal.stdout, '\r\x1b[K');
    this.#shown = '';
  }

  get #isDrawing(): boolean {
    return !this.#isJson && this.#terminal.stdout.isTTY === true;
  }

  #plain({ stage, percent, text }: Step): string | undefined {
    if (!this.#isDrawing) return text === undefined ? undefined : `${text}\n`;
    const columns = (this.#terminal.stdout as { columns?: number }).columns ?? 80;
    const share = percent === undefined ? '' : ` ${percent}%`;
    this.#text = text ?? this.#text;
    const line = `${stage}${share}  ${this.#text}`;
    return `\r\x1b[K${line.slice(0, Math.max(10, columns - 1))}`;
  }
}
