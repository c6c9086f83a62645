/** How far something is: one line on a terminal, replaced again and again; nothing elsewhere. */
import { type Terminal, write } from '../terminal.ts';
import { shown } from './shown.ts';
import { ageText, sizeText } from './units.ts';

/** How far. */
export interface Progress {
  readonly label: string;
  /** Bytes. */
  readonly done: number;
  /** Bytes; absent: nobody knows. */
  readonly total?: number | undefined;
}

/** Redraws no more often: a terminal far away must not make the work wait. */
const INTERVAL_MS = 100;
const BAR_COLUMNS = 24;

/** See the file's head. Drawn on standard error, so that output can go elsewhere. */
export class ProgressBar {
  readonly #terminal: Terminal;
  readonly #isShown: boolean;
  readonly #now: () => number;
  #drawnAt = Number.NEGATIVE_INFINITY;
  #begun: { readonly label: string; readonly at: number; readonly done: number } | undefined;
  #isOpen = false;

  /** `isWanted`: false where a program reads. */
  constructor(terminal: Terminal, isWanted = true, now: () => number = () => performance.now()) {
    this.#terminal = terminal;
    this.#isShown = isWanted && terminal.stderr.isTTY === true && terminal.env.TERM !== 'dumb';
    this.#now = now;
  }

  show(progress: Progress): void {
    if (!this.#isShown) return;
    const now = this.#now();
    if (this.#begun?.label !== progress.label)
      this.#begun = { label: progress.label, at: now, done: progress.done };
    const isLast = progress.total !== undefined && progress.done >= progress.total;
    if (!isLast && now - this.#drawnAt < INTERVAL_MS) return;
    this.#drawnAt = now;
    this.#isOpen = true;
    const seconds = (now - this.#begun.at) / 1000;
    const columns = (this.#terminal.stderr as { readonly columns?: number }).columns || 80;
    const rate = seconds > 0.5 ? (progress.done - this.#begun.done) / seconds : undefined;
    void write(this.#terminal.stderr, `\r\x1b[K${barLine(progress, rate, columns - 1)}`);
  }

  /** Takes the line away. */
  end(): void {
    if (this.#isOpen) void write(this.#terminal.stderr, '\r\x1b[K');
    this.#isOpen = false;
  }
}

/** The line; `rate` in bytes per second. */
export function barLine({ label, done, total }: Progress, rate: number | undefined, columns: number): string {
  const share = total === undefined || total === 0 ? undefined : Math.min(1, done / total);
  const amount =
    total === undefined ? sizeText(done) : `${sizeText(Math.min(done, total))} of ${sizeText(total)}`;
  const filled = Math.round((share ?? 0) * BAR_COLUMNS);
  const bar =
    share === undefined ? '' : ` [${'='.repeat(filled).padEnd(BAR_COLUMNS)}] ${Math.floor(share * 100)}%`;
  const speed = rate === undefined || rate <= 0 ? '' : `  ${sizeText(rate)}/s`;
  const left =
    speed === '' || total === undefined || done >= total
      ? ''
      : `  ${ageText(((total - done) / rate!) * 1000)} left`;
  const line = `${shown(label)}${bar}  ${amount}${speed}${left}`;
  return [...line].slice(0, Math.max(1, columns)).join('');
}
