/** What the steps' reports say, counted, with a table of what was skipped and why. */
import fs from 'node:fs';
import path from 'node:path';

/** `{ passed, failed, skipped, skips, failures }` of all steps that began. */
export function summarize(results, steps) {
  const sum = { passed: 0, failed: 0, skipped: 0, skips: new Map(), failures: [] };
  for (const step of steps) addStep(sum, results, step);
  return sum;
}

function addStep(sum, results, { name, state }) {
  const fail = (words) => {
    sum.failed += 1;
    sum.failures.push(`${name}: ${words}`);
  };
  if (state === 'reset') return; // its successor tells what came of it
  const file = path.join(results, `${name}.json`);
  if (!fs.existsSync(file)) return fail(`no result (${state ?? 'it did not begin'})`);
  const { results: files, errors } = JSON.parse(fs.readFileSync(file, 'utf8'));
  for (const one of files) {
    const before = sum.failed;
    for (const test of one.tests) {
      if (test.state === 'pass') sum.passed += 1;
      else if (test.state === 'fail') fail(`${test.name}\n${test.errors.join('\n')}`);
      else addSkip(sum, test);
    }
    if (one.failed && sum.failed === before) fail(`${one.name}: ${one.errors.join('\n')}`);
    else if (one.tests.length === 0) fail(`${one.name}: no test in it`);
  }
  for (const error of errors) fail(`outside the tests: ${error}`);
  if (state !== 'ended') fail('was cut off');
}

function addSkip(sum, { name, note }) {
  const reason = note ?? /\[(?:needs|skipped): ([^\]]+)\]/.exec(name)?.[1] ?? 'no reason given';
  sum.skipped += 1;
  sum.skips.set(reason, (sum.skips.get(reason) ?? 0) + 1);
}
