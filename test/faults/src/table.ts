/** What was tried and what was lost, as a table in `reports/faults.md` that all files of the suite add to. */
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const REPORTS = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../../reports');
const PARTS = path.join(REPORTS, 'faults');

/** One line. */
export interface Row {
  readonly failpoint: string;
  readonly action: 'kill' | 'error' | 'client gone';
  rounds: number;
  readonly losses: string[];
}

/** Collects the lines of one file of the suite. */
export class Table {
  readonly #part: string;
  readonly #rows = new Map<string, Row>();
  #tries = 0;

  constructor(part: string) {
    this.#part = part;
  }

  /** Runs one round and counts it; a failure is a loss. */
  async round(failpoint: string, action: Row['action'], run: () => Promise<void>): Promise<void> {
    const key = `${failpoint} ${action}`;
    const row = this.#rows.get(key) ?? { failpoint, action, rounds: 0, losses: [] };
    this.#rows.set(key, row);
    row.rounds += 1;
    try {
      await run();
    } catch (error) {
      row.losses.push((error as Error).message.split('\n')[0]!.slice(0, 160));
      throw error;
    }
  }

  /** How often the denied probe was sent meanwhile. */
  addTries(count: number): void {
    this.#tries += count;
  }

  /** Writes this part, and all parts as one table. */
  write(): void {
    fs.mkdirSync(PARTS, { recursive: true });
    const rows = [...this.#rows.values()];
    fs.writeFileSync(path.join(PARTS, `${this.#part}.json`), JSON.stringify({ rows, tries: this.#tries }));
    const parts = fs
      .readdirSync(PARTS)
      .sort()
      .map((name) => JSON.parse(fs.readFileSync(path.join(PARTS, name), 'utf8')))
      .map((part) => part as { rows: Row[]; tries: number });
    fs.writeFileSync(path.join(REPORTS, 'faults.md'), render(parts));
  }
}

function render(parts: readonly { readonly rows: readonly Row[]; readonly tries: number }[]): string {
  const rows = parts.flatMap(({ rows }) => rows);
  const sum = (action: Row['action']): number =>
    rows.reduce((total, row) => total + (row.action === action ? row.rounds : 0), 0);
  const losses = rows.reduce((total, row) => total + row.losses.length, 0);
  const tries = parts.reduce((total, part) => total + part.tries, 0);
  return [
    '# Faults',
    '',
    `${new Set(rows.map(({ failpoint }) => failpoint)).size} failpoints, ${sum('kill')} kills, ${sum('error')} errors, ${sum('client gone')} clients gone, ${losses} losses; ${tries} denied packets tried, 0 seen outside.`,
    '',
    '| failpoint | action | rounds | losses |',
    '|---|---|---|---|',
    ...rows.map(
      ({ failpoint, action, rounds, losses: lost }) =>
        `| \`${failpoint}\` | ${action} | ${rounds} | ${lost.length === 0 ? '0' : `${lost.length}: ${lost.join('; ')}`} |`,
    ),
    '',
  ].join('\n');
}
