/** What the steps' reports say, counted, with a table of the steps and one of what was skipped and why. */
import fs from 'node:fs';
import path from 'node:path';

/** `{ steps, skips, failures, again }`; of each step its own counts and its result in words. */
export function summarize(results, steps) {
  const sum = { steps: [], skips: new Map(), failures: [], again: [] };
  for (const step of steps) sum.steps.push(addStep(sum, results, step));
  return sum;
}

/** Prints it. `problem`: how the machine ended when it did not end well. Answers the status. */
export function printReport({ steps, skips, failures, again }, problem) {
  const out = (words) => process.stdout.write(words);
  for (const one of failures) out(`\nFAILED ${one}\n`);
  for (const one of again) out(`\npassed at the second try: ${one}\n`);
  out('\n');
  printTable([['step', 'what', 'seconds', 'result'], ...steps.map(row)], out);
  out(skips.size === 0 ? '\nskipped: nothing\n' : '\nskipped | why\n');
  for (const [reason, count] of [...skips].sort()) out(`${String(count).padStart(7)} | ${reason}\n`);
  const total = (key) => steps.reduce((sum, step) => sum + step[key], 0);
  const failed = total('failed') + (problem !== undefined && total('failed') === 0 ? 1 : 0);
  out(`${total('passed')} passed, ${failed} failed, ${total('skipped')} skipped\n`);
  return failed === 0 && total('passed') > 0 ? 0 : 1;
}

function row({ name, what, seconds, state, passed, failed, skipped }) {
  const counts = [
    ...(state === 'ended' ? [] : [state === 'reset' ? 'reset as wanted' : (state ?? 'did not begin')]),
    ...(passed > 0 ? [`${passed} passed`] : []),
    ...(failed > 0 ? [`${failed} FAILED`] : []),
    ...(skipped > 0 ? [`${skipped} skipped`] : []),
  ];
  return [name, what, String(seconds ?? '-'), counts.join(', ')];
}

function printTable(rows, out) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((cells) => cells[column].length)));
  for (const cells of rows)
    out(
      `${cells
        .map((cell, column) => cell.padEnd(widths[column]))
        .join(' | ')
        .trimEnd()}\n`,
    );
}

function addStep(sum, results, step) {
  const { name, state } = step;
  const own = { ...step, passed: 0, failed: 0, skipped: 0 };
  const fail = (words) => {
    own.failed += 1;
    sum.failures.push(`${name}: ${words}`);
  };
  if (state === 'reset') return own; // its successor tells what came of it
  const file = path.join(results, `${name}.json`);
  if (!fs.existsSync(file)) {
    fail(`no result (${state ?? 'it did not begin'})`);
    return own;
  }
  const { results: files, errors } = JSON.parse(fs.readFileSync(file, 'utf8'));
  for (const one of files) {
    const before = own.failed;
    for (const test of one.tests) {
      const words = () => [test.name, ...test.errors].join('\n');
      if (test.state === 'fail') fail(words());
      else if (test.state !== 'pass') own.skipped += addSkip(sum.skips, test);
      else {
        own.passed += 1;
        if (test.tries > 1) sum.again.push(`${name}: ${words()}`);
      }
    }
    if (one.failed && own.failed === before) fail(`${one.name}: ${one.errors.join('\n')}`);
    else if (one.tests.length === 0) fail(`${one.name}: no test in it`);
  }
  for (const error of errors) fail(`outside the tests: ${error}`);
  if (files.length < step.files.length && own.failed === 0) fail(`ran ${files.length} of its files`);
  if (state !== 'ended') fail(`was ${state}`);
  return own;
}

function addSkip(skips, { name, note }) {
  const reason = note ?? /\[(?:needs|skipped): ([^\]]+)\]/.exec(name)?.[1] ?? 'no reason given';
  skips.set(reason, (skips.get(reason) ?? 0) + 1);
  return 1;
}
