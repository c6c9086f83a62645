import { spawn } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

const PACKAGE = path.join(import.meta.dirname, '..');
const VITEST = path.join(
  path.dirname(createRequire(import.meta.url).resolve('vitest/package.json')),
  'vitest.mjs',
);
const SUITES = fs.readdirSync(path.join(PACKAGE, 'test')).filter((name) => name.endsWith('.kernel.ts'));
const LIMIT_MS = 600_000;
const isRoot = process.getuid?.() === 0;

/**
 * The driver acts on the namespace of its process, so each of its suites is run by a process of its own in a
 * fresh one; two at a time, since they wait for packets more than they compute.
 */
describe.runIf(isRoot)('the driver on this kernel [needs: root]', { concurrent: true }, () => {
  it.each(SUITES)(
    'passes %s in a network namespace of its own',
    { timeout: LIMIT_MS + 10_000 },
    async (suite) => {
      const run = await runSuite(suite);
      expect(run.status, run.output).toBe(0);
      expect(run.output).toMatch(/Tests +\d+ passed/);
    },
  );

  it('has suites', () => {
    expect(SUITES.length).toBeGreaterThan(5);
  });
});

function runSuite(suite: string): Promise<{ status: number | null; output: string }> {
  const config = path.join(PACKAGE, 'vitest.kernel.config.ts');
  const vitest = [VITEST, 'run', '--root', PACKAGE, '--config', config, '--reporter', 'verbose'];
  const inside = `ip link set lo up && exec "$0" "$@"`;
  const namespaces = ['--net', '--mount', '--propagation', 'private'];
  const child = spawn(
    'unshare',
    [...namespaces, '--', 'sh', '-c', inside, process.execPath, ...vitest, `test/${suite}`],
    { env: { ...process.env, NO_COLOR: '1' }, stdio: ['ignore', 'pipe', 'pipe'], timeout: LIMIT_MS },
  );
  const output: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes: Buffer) => output.push(bytes));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) => resolve({ status, output: Buffer.concat(output).toString() }));
  });
}
