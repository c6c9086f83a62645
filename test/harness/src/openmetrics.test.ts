import { describe, expect, it } from 'vitest';
import { parseOpenMetrics } from './openmetrics.ts';

const GOOD = `# TYPE a_seconds histogram
# UNIT a_seconds seconds
# HELP a_seconds What \\\\ \\n \\" it is.
a_seconds_bucket{kind="x",le="0.5"} 1
a_seconds_bucket{kind="x",le="+Inf"} 2
a_seconds_count{kind="x"} 2
a_seconds_sum{kind="x"} 3.5
# TYPE b counter
b_total{code="\\"\\\\\\n"} 7
# TYPE c gauge
c -1e3
# TYPE d info
d_info{version="1"} 1
# EOF
`;

describe('the reader of OpenMetrics', () => {
  it('reads what is allowed', () => {
    const families = parseOpenMetrics(GOOD);
    expect(families.map(({ name, type }) => `${name} ${type}`)).toEqual([
      'a_seconds histogram',
      'b counter',
      'c gauge',
      'd info',
    ]);
    expect(families[1]!.samples).toEqual([{ name: 'b_total', labels: { code: '"\\\n' }, value: 7 }]);
  });

  it.each([
    ['no end', '# EOF\n', ''],
    ['something behind the end', '# EOF\n', '# EOF\nx 1\n'],
    ['an empty line', '# TYPE b', '\n# TYPE b'],
    ['a comment', '# TYPE b', '# comment\n# TYPE b'],
    ['a counter without _total', 'b_total', 'b'],
    ['a negative counter', '} 7', '} -7'],
    ['a family that comes back', '# TYPE d info\nd_info', '# TYPE b counter\nb_total'],
    ['metadata twice', '# TYPE c gauge', '# TYPE c gauge\n# TYPE c gauge'],
    ['a unit that is not in the name', '# UNIT a_seconds seconds', '# UNIT a_seconds bytes'],
    ['a sample twice', 'c -1e3', 'c -1e3\nc 1'],
    ['no bucket +Inf', 'a_seconds_bucket{kind="x",le="+Inf"} 2\n', ''],
    ['buckets that do not add up', 'le="0.5"} 1', 'le="0.5"} 3'],
    ['a count that is another', 'a_seconds_count{kind="x"} 2', 'a_seconds_count{kind="x"} 3'],
    ['a boundary without a fraction', 'le="0.5"', 'le="1"'],
    ['a label twice', '{version="1"}', '{version="1",version="2"}'],
    ['a label that is not closed', '{version="1"}', '{version="1}'],
    ['a value that is none', 'c -1e3', 'c many'],
    ['a carriage return', 'c -1e3\n', 'c -1e3\r\n'],
    ['a reserved name', '# TYPE c gauge\nc ', '# TYPE c_total gauge\nc_total '],
    ['two blanks', 'c -1e3', 'c  -1e3'],
  ])('refuses %s', (_what, from, to) => {
    expect(GOOD).toContain(from);
    expect(() => parseOpenMetrics(GOOD.replace(from, to))).toThrow();
  });
});
