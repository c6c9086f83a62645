import { execFile, execFileSync } from 'node:child_process';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

const NATIVE = path.join(import.meta.dirname, '../../../native');
/** Each builds first what it tests. What takes longer has `too late` as its status. */
const LIMIT_MS = 300_000;
const PROGRAMS = execFileSync('make', ['-s', '-C', NATIVE, 'list-tests'], { encoding: 'utf8' })
  .trim()
  .split(/\s+/);

/**
 * The tests of the C code are programs that speak TAP; they wait far more than they compute, so two of them
 * go at a time.
 */
describe('the tests of the C code', { concurrent: true }, () => {
  it.for(PROGRAMS)('%s passes', { timeout: LIMIT_MS + 10_000 }, async (program, context) => {
    const { status, output } = await run(program);
    expect(status, output).toBe(0);
    expect(output).not.toMatch(/^not ok/m);
    const skips = output.match(/(?<=# SKIP ).*/g) ?? [];
    if (skips.length > 0) context.skip([...new Set(skips)].join('; '));
    expect(output).toMatch(/^ok \d+/m);
  });

  it('are many', () => {
    expect(PROGRAMS.length).toBeGreaterThan(15);
  });
});

function run(program: string): Promise<{ status: number | string | null; output: string }> {
  const words = ['-s', '-C', NATIVE, 'test', `TESTS=${program}`];
  const limits = { timeout: LIMIT_MS, maxBuffer: 64 << 20 };
  return new Promise((resolve) => {
    execFile('make', words, limits, (error, stdout, stderr) =>
      resolve({
        status: error === null ? 0 : error.killed ? 'too late' : (error.code ?? error.signal ?? null),
        output: stdout + stderr,
      }),
    );
  });
}
