import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

const PACKAGE = path.join(import.meta.dirname, '..');
const VITEST = path.join(
  path.dirname(createRequire(import.meta.url).resolve('vitest/package.json')),
  'vitest.mjs',
);
const isRoot = process.getuid?.() === 0;

/** The driver acts on the namespace of its process, so its suites are run by a process of their own in a fresh one. */
describe.runIf(isRoot)('the driver on this kernel [needs: root]', () => {
  it('passes its suites in a network namespace of its own', { timeout: 1_500_000 }, () => {
    const config = path.join(PACKAGE, 'vitest.kernel.config.ts');
    const inside = `ip link set lo up && exec "$0" "$@"`;
    const run = spawnSync(
      'unshare',
      [
        '--net',
        '--mount',
        '--propagation',
        'private',
        '--',
        'sh',
        '-c',
        inside,
        process.execPath,
        VITEST,
        'run',
        '--root',
        PACKAGE,
        '--config',
        config,
        '--reporter',
        'verbose',
      ],
      { encoding: 'utf8', timeout: 1_490_000, env: { ...process.env, NO_COLOR: '1' } },
    );
    expect(run.status, `${run.stdout}${run.stderr}`).toBe(0);
    expect(run.stdout).toMatch(/Tests +\d+ passed/);
  });
});
