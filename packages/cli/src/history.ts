/** The prompt's history: a JSON array of lines, oldest first, in `$HOME/.warden-history`. */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** Lines kept; the original kept all, and rewrote the whole file after each command. */
const LIMIT = 1000;

/** Lines entered so far. Without a home directory nothing is loaded or saved. */
export class History {
  readonly #file: string | undefined;
  #lines: string[];

  constructor(home: string | undefined) {
    this.#file = home === undefined || home === '' ? undefined : path.join(home, '.warden-history');
    this.#lines = this.#file === undefined ? [] : load(this.#file);
  }

  /** Oldest first. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  /** Remembers a line that is not empty; on disk only after {@link save}. */
  add(line: string): void {
    if (line === '') return;
    this.#lines = [...this.#lines, line].slice(-LIMIT);
  }

  /**
   * Rewrites the file, readable by its owner alone, since scripts may hold secrets. A home that cannot be
   * written to is no reason to fail a command.
   */
  save(): void {
    if (this.#file === undefined) return;
    const draft = `${this.#file}.${process.pid}`;
    try {
      writeFileSync(draft, JSON.stringify(this.#lines), { mode: 0o600, flag: 'wx' });
      renameSync(draft, this.#file);
    } catch {
      rmSync(draft, { force: true });
    }
  }
}

function load(file: string): string[] {
  try {
    const parsed: unknown = JSON.parse(readFileSync(file, 'utf8'));
    return Array.isArray(parsed) ? parsed.filter((line) => typeof line === 'string').slice(-LIMIT) : [];
  } catch {
    // Absent, unreadable or malformed: the prompt starts with an empty history, as the contract says.
    return [];
  }
}
