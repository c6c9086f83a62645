import { describe, expect, it } from 'vitest';
import { Histogram, writeOpenMetrics } from './openmetrics.ts';

describe('OpenMetrics text', () => {
  it('has type, unit and help before the samples, and an end [operations OpenMetrics]', () => {
    const text = writeOpenMetrics([
      {
        name: 'x_bytes',
        type: 'gauge',
        unit: 'bytes',
        help: 'A "b" \\ and\nc.',
        samples: [{ value: 1.5 }, { labels: { a: '"\\\n', b: '' }, value: Number.POSITIVE_INFINITY }],
      },
      { name: 'nothing', type: 'gauge', help: '', samples: [] },
      { name: 'y', type: 'counter', help: 'C.', samples: [{ suffix: '_total', value: 7 }] },
    ]);
    expect(text).toBe(
      [
        '# TYPE x_bytes gauge',
        '# UNIT x_bytes bytes',
        '# HELP x_bytes A \\"b\\" \\\\ and\\nc.',
        'x_bytes 1.5',
        'x_bytes{a="\\"\\\\\\n",b=""} +Inf',
        '# TYPE y counter',
        '# HELP y C.',
        'y_total 7',
        '# EOF',
        '',
      ].join('\n'),
    );
  });

  it('of a histogram is cumulative; a boundary belongs to its bucket', () => {
    const histogram = new Histogram([0.5, 1]);
    for (const value of [0.1, 0.5, 0.6, 1, 2]) histogram.observe(value);
    expect(histogram.samples({ a: 'b' })).toEqual([
      { suffix: '_bucket', labels: { a: 'b', le: '0.5' }, value: 2 },
      { suffix: '_bucket', labels: { a: 'b', le: '1.0' }, value: 4 },
      { suffix: '_bucket', labels: { a: 'b', le: '+Inf' }, value: 5 },
      { suffix: '_count', labels: { a: 'b' }, value: 5 },
      { suffix: '_sum', labels: { a: 'b' }, value: 4.2 },
    ]);
  });
});
