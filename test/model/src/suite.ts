/** One of several processes that run histories for some time, or one history again. */
import fs from 'node:fs';
import path from 'node:path';
import { describeWith } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { type HistoryOptions, REPORTS, runHistory } from './history.ts';
import { SEEDS } from './seeds.ts';
import type { Counts } from './world.ts';

const environment = (name: string): string | undefined => process.env[`WARDEN_MODEL_${name}`] || undefined;
const steps = Number(environment('STEPS') ?? 30);
const shrinkMs = Number(environment('SHRINK') ?? 180) * 1_000;
const isLoud = environment('LOUD') !== undefined;

/** What one of `parts` processes does. */
export function modelSuite(part: number, parts: number): void {
  const counts: Counts = {};
  const fresh = environment('SEED');
  describeWith(['root', 'isolated', 'overlayfs', 'nft'], `histories, part ${part + 1} of ${parts}`, () => {
    if (environment('PATH') !== undefined) {
      it.runIf(part === 0)('the history that is asked for holds [SECURITY L01-L08]', async () => {
        const options = { seed: Number(fresh), path: environment('PATH'), replayPath: environment('REPLAY') };
        await mustHold({ ...options, steps, shrinkMs: 0, counts, isLoud: true });
      });
      return;
    }
    const known = SEEDS.filter((_, at) => at % parts === part);
    it.each(known)(
      'the history of seed $seed, which once failed, holds: $why',
      async ({ seed, steps: length, ...rest }) => {
        await mustHold({ seed, ...rest, steps: length, shrinkMs: 0, counts, isLoud });
      },
    );
    it('what is done at random is answered as the model says, and nothing is lost [SECURITY L01-L08]', async () => {
      const seconds = Number(environment('SECONDS') ?? 0);
      const runs = Number(environment('RUNS') ?? Number.POSITIVE_INFINITY);
      const deadline = Date.now() + seconds * 1_000;
      const first = Number(fresh ?? Date.now() % 1_000_000_000);
      process.stdout.write(`histories from seed ${first + part}, every ${parts}th\n`);
      try {
        for (let run = 0; run < runs && (seconds === 0 || Date.now() < deadline); run++) {
          const seed = first + part + run * parts;
          await mustHold({ seed, steps, shrinkMs, counts, isLoud });
        }
      } finally {
        report(part, counts);
      }
      expect(counts.commands ?? 0, 'steps').toBeGreaterThan(0);
    });
  });
}

async function mustHold(options: HistoryOptions): Promise<void> {
  const failure = await runHistory(options);
  if (failure !== undefined) throw new Error(failure);
}

/** What was done, in all parts, as a table. */
function report(part: number, counts: Counts): void {
  fs.mkdirSync(REPORTS, { recursive: true });
  fs.writeFileSync(path.join(REPORTS, `${part}.json`), JSON.stringify(counts));
  const sums: Counts = {};
  for (const name of fs.readdirSync(REPORTS).filter((one) => one.endsWith('.json'))) {
    const found = JSON.parse(fs.readFileSync(path.join(REPORTS, name), 'utf8')) as Counts;
    for (const [what, count] of Object.entries(found)) sums[what] = (sums[what] ?? 0) + count;
  }
  const lines = Object.entries(sums).sort(([a], [b]) => a.localeCompare(b));
  const table = ['| what | times |', '|---|---|', ...lines.map(([what, count]) => `| ${what} | ${count} |`)];
  fs.writeFileSync(path.join(REPORTS, 'counts.md'), `${table.join('\n')}\n`);
  process.stdout.write(`part ${part + 1}: ${JSON.stringify(counts)}\n`);
}
