import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Reporter } from 'vitest/node';

const REPORTS = fileURLToPath(new URL('../reports', import.meta.url));

/**
 * Ends a run with the tables it has written to `reports`: those named in `WARDEN_FIGURES` (see `Figures` of
 * the harness).
 */
export default class FiguresReporter implements Reporter {
  readonly #names = (process.env.WARDEN_FIGURES ?? '').split(',').filter((name) => name !== '');

  onInit(): void {
    for (const name of this.#names) fs.rmSync(this.#file(name), { force: true });
  }

  onTestRunEnd(): void {
    for (const name of this.#names) {
      if (!fs.existsSync(this.#file(name))) continue;
      process.stdout.write(`\n${fs.readFileSync(this.#file(name), 'utf8')}\nkept in reports/${name}.md\n`);
    }
  }

  #file(name: string): string {
    return path.join(REPORTS, `${name}.md`);
  }
}
