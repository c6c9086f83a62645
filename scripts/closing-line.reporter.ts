import type { Reporter, TestCase, TestModule } from 'vitest/node';

/**
 * Ends the run with a table of what was skipped and why, and the closing line
 * `N passed, N failed, N skipped`.
 *
 * A skip needs a reason: the note given to `context.skip(note)` or put into the name of a skipped test by
 * `requires()`. `WARDEN_TEST_REQUIRE=all` (or a list of words) turns skips whose reason contains a word into
 * failures, so that a CI cannot stay green by not running anything.
 */
export default class ClosingLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    let passed = 0;
    let failed = errors.length;
    const skips = new Map<string, string[]>();
    for (const module of modules) {
      let failedInFile = 0;
      for (const test of module.children.allTests()) {
        const result = test.result();
        if (result.state === 'passed') passed += 1;
        else if (result.state === 'failed') {
          failed += 1;
          failedInFile += 1;
        } else {
          const reason = reasonOf(test);
          skips.set(reason, [...(skips.get(reason) ?? []), test.fullName]);
        }
      }
      if (module.state() === 'failed' && failedInFile === 0) failed += 1; // the file did not load, or a hook failed
    }
    const skipped = [...skips.values()].reduce((sum, names) => sum + names.length, 0);
    const forbidden = [...skips.keys()].filter((reason) => isRequired(reason));
    const lines = ['', skipped === 0 ? 'skipped: nothing' : 'skipped | why', ...table(skips)];
    for (const reason of forbidden) lines.push(`WARDEN_TEST_REQUIRE forbids this skip: ${reason}`);
    failed += forbidden.length;
    lines.push(`${passed} passed, ${failed} failed, ${skipped} skipped`, '');
    process.once('exit', () => process.stdout.write(lines.join('\n'))); // after all other reporters
    if (forbidden.length > 0) process.exitCode = 1;
  }
}

function reasonOf(test: TestCase): string {
  const result = test.result();
  if (result.state === 'skipped' && result.note) return result.note;
  const named = /\[(?:needs|skipped): ([^\]]+)\]/.exec(test.fullName);
  return named?.[1] ?? 'no reason given';
}

function isRequired(reason: string): boolean {
  const words = (process.env.WARDEN_TEST_REQUIRE ?? '').split(',').filter((word) => word !== '');
  return words.some((word) => word === 'all' || reason.includes(word));
}

function* table(skips: ReadonlyMap<string, readonly string[]>): Generator<string> {
  for (const [reason, names] of [...skips].sort()) {
    const shown = names.slice(0, 3).join('; ');
    yield `${String(names.length).padStart(7)} | ${reason} (${shown}${names.length > 3 ? '; …' : ''})`;
  }
}
