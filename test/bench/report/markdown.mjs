import { summary } from '../lib/statistics.mjs';

const number = (value) => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3));

function target({ most, least }) {
  if (most !== undefined) return `≤ ${most}`;
  return least === undefined ? '' : `≥ ${least}`;
}

const VERDICTS = new Map([
  [true, 'met'],
  [false, '**missed**'],
]);

/** What was compared with what, and what was left out and why. */
export function table({ results, skipped, about }) {
  const lines = [
    `${about}.`,
    '',
    '| what | value | bounds | target | | beside the baseline |',
    '|---|---|---|---|---|---|',
  ];
  for (const { row, result, met, comparison } of results) {
    if (result === undefined) continue;
    const bounds = `${number(result.low)} … ${number(result.high)}`;
    lines.push(
      `| ${row.what} | ${number(result.value)} | ${bounds} | ${target(row)} | ${VERDICTS.get(met) ?? ''} | ${comparison} |`,
    );
  }
  lines.push(
    '',
    'Bounds: of a ratio those within which it lies with 95 % certainty, of a value its 10th and 90th percentile.',
    '',
  );
  const absent = results.filter(({ result }) => result === undefined).map(({ row }) => `- ${row.what}`);
  const reasons = [...skipped].map(([what, reason]) => `- ${what}: ${reason}`);
  if (absent.length + reasons.length > 0) lines.push('Not measured:', '', ...reasons, ...absent, '');
  return lines.join('\n');
}

/** The whole report: the table, and everything that was measured for it. */
export function markdown({ results, samples, skipped, about }) {
  const lines = ['# Bench', '', table({ results, skipped, about })];
  lines.push('| measured | n | median | p10 | p90 |', '|---|---|---|---|---|');
  for (const name of samples.names) {
    const { n, median, p10, p90 } = summary(samples.get(name));
    lines.push(`| ${name} | ${n} | ${number(median)} | ${number(p10)} | ${number(p90)} |`);
  }
  lines.push('', 'Microseconds where no unit stands in the name.');
  return `${lines.join('\n')}\n`;
}
