import { expect, test } from 'vitest';
import { Samples } from '../lib/samples.mjs';
import { markdown } from './markdown.mjs';
import { plot } from './plot.mjs';

function measured() {
  const samples = new Samples();
  for (let i = 0; i < 10; i++) {
    samples.add('floor create', 3_000 + i);
    samples.add('warden create', 6_000 + i);
    samples.add('runc run --detach', 60_000 + i);
  }
  return samples;
}

test('the table shows value, target and verdict, and what was left out with its reason', () => {
  const row = { what: 'warden create ÷ floor', most: 3 };
  const text = markdown({
    results: [
      { row, result: { value: 2, low: 1.9, high: 2.1 }, met: true, comparison: 'as before' },
      {
        row: { what: 'other', least: 4 },
        result: { value: 2, low: 1.9, high: 2.1 },
        met: false,
        comparison: 'worse',
      },
      { row: { what: 'never measured' }, result: undefined, met: undefined, comparison: 'not compared' },
    ],
    samples: measured(),
    skipped: new Map([['docker', 'no daemon']]),
    about: 'here',
  });
  expect(text).toContain('| warden create ÷ floor | 2.00 | 1.90 … 2.10 | ≤ 3 | met | as before |');
  expect(text).toContain('| other | 2.00 | 1.90 … 2.10 | ≥ 4 | **missed** | worse |');
  expect(text).toContain('Not measured:\n\n- docker: no daemon\n- never measured\n');
  expect(text).toContain('| floor create | 10 | ');
});

test('the plot has a bar for each that was measured, longer for what takes longer', () => {
  const svg = plot(measured());
  const widths = [...svg.matchAll(/<rect x="240" y="\d+" width="([\d.]+)"/g)].map(([, width]) =>
    Number(width),
  );
  expect(widths).toHaveLength(3);
  expect(widths).toEqual([...widths].sort((a, b) => a - b));
  expect(svg).toMatch(/^<svg [^>]+>/);
  expect(svg).not.toContain('NaN');
  expect(plot(new Samples())).toBe('');
});
