/** `warden top`: a table that goes on, of what containers use. */
import type { WardenClient } from '@warden/client';
import { formatJson } from '../format-answer.ts';
import { columns } from '../human/columns.ts';
import { painter } from '../human/style.ts';
import { parseDuration, parseWhole } from '../human/units.ts';
import { Interruption } from '../jobs/signals.ts';
import { type Terminal, write } from '../terminal.ts';
import { unlessAborted } from '../unless-aborted.ts';
import { cellsOf, headline, type Look, rowsOf, SORT_KEYS, type SortKey, TOP_HEAD } from './top-sample.ts';
import type { Word } from './word.ts';

/** See the file's head. */
export const top: Word = {
  name: 'top',
  summary: 'Show what containers use, again and again: processor, memory, disk, jobs.',
  details: [
    'On a terminal the table takes the screen; q or Ctrl-C leaves it. Elsewhere, and with -n, tables follow one another. CPU is percent of one processor since the last look, so it is missing in the first one. Containers that are there when it starts stay while it runs.',
  ],
  operands: [],
  flags: [
    { name: 'interval', value: 'TIME', text: 'Between two looks (default 2s).' },
    { name: 'count', short: 'n', value: 'N', text: 'End after that many looks.' },
    { name: 'sort', value: 'KEY', choices: SORT_KEYS, text: 'Greatest first (default cpu).' },
  ],
  examples: [
    ['warden top --sort memory', 'who has most memory first'],
    ['warden top --interval 10s --jsonl', 'one object for each look'],
  ],
  async run(given, context) {
    const { terminal, format } = context;
    const intervalMs = parseDuration(given.value('interval') ?? '2s', '--interval');
    const count = given.value('count');
    const most = count === undefined ? Number.POSITIVE_INFINITY : parseWhole(count, '--count', [1, 2 ** 31]);
    const key = (given.value('sort') ?? 'cpu') as SortKey;
    const client = await context.connect();
    using interruption = new Interruption();
    const isScreen = format === 'text' && terminal.stdout.isTTY === true && count === undefined;
    const left = new AbortController();
    const signal = AbortSignal.any([interruption.signal, left.signal]);
    using screen = isScreen ? new Screen(terminal, () => left.abort()) : undefined;
    let before: Look | undefined;
    for (let looks = 1; ; looks += 1) {
      // a daemon that does not answer holds nobody
      const now = await unlessAborted(look(client), signal);
      if (now === undefined) return interruption.exitCode ?? 0;
      const draw = async (): Promise<void> => {
        const rows = rowsOf(now, before, key);
        if (format !== 'text') await write(terminal.stdout, formatJson({ rows, metrics: now.metrics }));
        else if (screen !== undefined) await screen.draw(tableOf(terminal, rows, now, screen.columns));
        else await write(terminal.stdout, `${tableOf(terminal, rows, now).join('\n')}\n\n`);
      };
      await draw();
      if (looks >= most) return 0;
      if (!(await waitFor(intervalMs, signal, screen, draw))) return interruption.exitCode ?? 0;
      before = now;
    }
  },
};

async function look(client: WardenClient): Promise<Look> {
  const [reports, metrics] = await Promise.all([client.infoMany(), client.metrics()]);
  return { at: performance.now(), reports, metrics };
}

function tableOf(
  terminal: Terminal,
  rows: ReturnType<typeof rowsOf>,
  now: Look,
  width?: number,
): readonly string[] {
  const paint = painter(terminal);
  const line = headline(now);
  return [
    width === undefined ? line : line.slice(0, width),
    '',
    ...columns(TOP_HEAD, rows.map(cellsOf), { paint, ...(width !== undefined && { width }) }),
  ];
}

/** False: it is to end. Draws again when the window changes its size. */
function waitFor(
  ms: number,
  signal: AbortSignal,
  screen: Screen | undefined,
  redraw: () => Promise<void>,
): Promise<boolean> {
  return new Promise((resolve) => {
    const end = (goesOn: boolean): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
      if (screen !== undefined) screen.onResize = undefined;
      resolve(goesOn);
    };
    const stop = (): void => end(false);
    const timer = setTimeout(() => end(true), ms);
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop);
    if (screen !== undefined) screen.onResize = () => void redraw();
  });
}

/** The terminal's other screen, so that what was there before is there again afterwards. */
class Screen implements Disposable {
  readonly #terminal: Terminal;
  readonly #stdin: Terminal['stdin'] & { setRawMode?(isRaw: boolean): unknown };
  readonly #onKey: (keys: Uint8Array) => void;
  readonly #onResize = (): void => this.onResize?.();
  /** While somebody waits for it. */
  onResize: (() => void) | undefined;

  constructor(terminal: Terminal, leave: () => void) {
    this.#terminal = terminal;
    this.#stdin = terminal.stdin;
    this.#onKey = (keys) => {
      // q, Q, Ctrl-C, Ctrl-D
      if ([...keys].some((key) => [0x71, 0x51, 3, 4].includes(key))) leave();
    };
    terminal.stdout.write('\x1b[?1049h\x1b[?25l');
    terminal.stdout.on('resize', this.#onResize);
    if (!this.#stdin.isTTY) return;
    this.#stdin.setRawMode?.(true);
    this.#stdin.on('data', this.#onKey);
    this.#stdin.resume();
  }

  get columns(): number {
    return (this.#terminal.stdout as { readonly columns?: number }).columns || 80;
  }

  /** As many lines as there is room for. */
  async draw(lines: readonly string[]): Promise<void> {
    const { rows = 24 } = this.#terminal.stdout as { readonly rows?: number };
    const shownLines = lines.slice(0, Math.max(1, (rows || 24) - 1));
    await write(
      this.#terminal.stdout,
      `\x1b[H${shownLines.map((line) => `${line}\x1b[K\r\n`).join('')}\x1b[J`,
    );
  }

  [Symbol.dispose](): void {
    this.#terminal.stdout.removeListener('resize', this.#onResize);
    this.#stdin.removeListener('data', this.#onKey);
    if (this.#stdin.isTTY) {
      this.#stdin.setRawMode?.(false);
      this.#stdin.pause();
    }
    this.#terminal.stdout.write('\x1b[?25h\x1b[?1049l');
  }
}
