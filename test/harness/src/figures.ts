/**
 * What a suite has measured: a table in `reports/<name>.md`, which the closing reporter shows, and the same
 * as JSON.
 */
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const REPORTS = fileURLToPath(new URL('../../../reports', import.meta.url));

/** See the file's head. */
export class Figures {
  readonly #name: string;
  readonly #title: string;
  readonly #head: readonly string[];
  readonly #rows: (readonly string[])[] = [];

  constructor(name: string, title: string, head: readonly string[]) {
    this.#name = name;
    this.#title = title;
    this.#head = head;
  }

  /** Adds a line and writes the files anew: what was measured before a failure is kept. */
  add(...row: readonly (string | number)[]): void {
    this.#rows.push(row.map(String));
    const head = this.#head;
    const lines = [head, head.map(() => '---'), ...this.#rows];
    const table = lines.map((line) => `| ${line.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`);
    fs.mkdirSync(REPORTS, { recursive: true });
    const file = path.join(REPORTS, this.#name);
    fs.writeFileSync(`${file}.md`, `# ${this.#title}\n\n${table.join('\n')}\n`);
    const objects = this.#rows.map((cells) => Object.fromEntries(cells.map((cell, at) => [head[at]!, cell])));
    fs.writeFileSync(`${file}.json`, JSON.stringify({ title: this.#title, rows: objects }, null, 1));
  }
}
