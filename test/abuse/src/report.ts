/** Rows for the table at the end: collected in files, because each test file is a process of its own. */
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Where reports go. */
export const REPORTS: string = fileURLToPath(new URL('../../../reports', import.meta.url));
/** Where rows wait for the table. */
export const ROWS: string = path.join(REPORTS, 'abuse-rows');

/** One line of the table; a role that does not apply is `-`. */
export interface Row {
  readonly name: string;
  readonly user: string;
  readonly root: string;
  readonly hostile: string;
  readonly runc: string;
  readonly verdict: string;
}

/** Adds rows under the name of a test file. */
export function addRows(file: string, rows: readonly Row[]): void {
  fs.mkdirSync(ROWS, { recursive: true });
  const target = path.join(ROWS, `${file}.json`);
  const before = fs.existsSync(target) ? (JSON.parse(fs.readFileSync(target, 'utf8')) as Row[]) : [];
  fs.writeFileSync(target, JSON.stringify([...before, ...rows]));
}

/** A row of a case that is tried in one way only. */
export function addRow(file: string, name: string, role: 'user' | 'root' | 'hostile', outcome: string): void {
  addRows(file, [{ name, user: '-', root: '-', hostile: '-', runc: '-', [role]: outcome, verdict: 'held' }]);
}
