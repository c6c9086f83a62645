import { spawn } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';

const PACKAGE = path.join(import.meta.dirname, '..');
const VITEST = path.join(
  path.dirname(createRequire(import.meta.url).resolve('vitest/package.json')),
  'vitest.mjs',
);
const SUITES = fs.readdirSync(path.join(PACKAGE, 'test')).filter((name) => name.endsWith('.kernel.ts'));
/** For all of them together, on a machine as slow as it likes. */
const LIMIT_MS = 3_600_000;
const isRoot = process.getuid?.() === 0;

/** What vitest's JSON reporter says of a suite. */
interface SuiteReport {
  readonly name: string;
  readonly status: string;
  readonly assertionResults: readonly { readonly status: string }[];
}

/**
 * The driver acts on the namespace of its process, so each of its suites has a process of its own in a fresh
 * one. One vitest runs them all: to start it and to transform the driver takes as long as a small suite.
 */
describe.runIf(isRoot)('the driver on this kernel [needs: root]', () => {
  let run: Awaited<ReturnType<typeof runSuites>>;

  beforeAll(async () => {
    run = await runSuites();
  }, LIMIT_MS + 10_000);

  it.each(SUITES)('passes %s in a network namespace of its own', (suite) => {
    const report = run.reports.find(({ name }) => path.basename(name) === suite);
    expect(report?.status, run.output).toBe('passed');
    expect(report?.assertionResults.map(({ status }) => status)).toContain('passed');
  });

  it('has suites, and fails in nothing besides', () => {
    expect(SUITES.length).toBeGreaterThan(5);
    expect(run.status, run.output).toBe(0);
  });
});

async function runSuites(): Promise<{
  reports: readonly SuiteReport[];
  status: number | null;
  output: string;
}> {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-kernel-'));
  try {
    const file = path.join(directory, 'report.json');
    const { status, output } = await vitest(
      '--reporter',
      'verbose',
      '--reporter',
      'json',
      '--outputFile.json',
      file,
    );
    if (!fs.existsSync(file)) throw new Error(output);
    return { reports: JSON.parse(fs.readFileSync(file, 'utf8')).testResults, status, output };
  } finally {
    fs.rmSync(directory, { recursive: true });
  }
}

function vitest(...words: readonly string[]): Promise<{ status: number | null; output: string }> {
  const config = path.join(PACKAGE, 'vitest.kernel.config.ts');
  const child = spawn(process.execPath, [VITEST, 'run', '--root', PACKAGE, '--config', config, ...words], {
    env: { ...process.env, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: LIMIT_MS,
  });
  const output: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes: Buffer) => output.push(bytes));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) => resolve({ status, output: Buffer.concat(output).toString() }));
  });
}
