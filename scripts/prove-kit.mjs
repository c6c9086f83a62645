// Proves that the compliance kits bite: every seeded fault of test/compliance/src/faults is caught by the kit
// of its contract, and the driver without it passes. Prints what caught what. The faults stand before a
// driver's own members: no file is changed, nothing is to be reverted. Called by `pnpm run prove-kit`, which
// builds first and isolates.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const report = path.join(root, 'reports/prove-kit.json');
fs.rmSync(report, { force: true });
// a driver with a fault may leave behind what it should remove
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-bite-'));
const { status } = spawnSync(
  process.execPath,
  [
    'node_modules/vitest/vitest.mjs',
    'run',
    '--reporter=dot',
    '--reporter=./scripts/closing-line.reporter.ts',
    'test/compliance/src/bite.test.ts',
  ],
  { cwd: root, stdio: 'inherit', env: { ...process.env, WARDEN_TEST_BITE: '1', TMPDIR: scratch } },
);
fs.rmSync(scratch, { recursive: true, force: true });
if (fs.existsSync(report)) {
  const rows = JSON.parse(fs.readFileSync(report, 'utf8')).map((row) => [
    row.contract,
    row.fault,
    row.caughtBy || 'NOTHING',
  ]);
  const widths = [0, 1].map((column) => Math.max(...rows.map((row) => row[column].length)));
  for (const row of [['contract', 'fault', 'caught by'], ...rows])
    process.stdout.write(`${row[0].padEnd(widths[0])} | ${row[1].padEnd(widths[1])} | ${row[2]}\n`);
  const missed = rows.filter((row) => row[2] === 'NOTHING').length;
  process.stdout.write(`${rows.length - missed} of ${rows.length} faults caught\n`);
}
process.exit(status ?? 1);
