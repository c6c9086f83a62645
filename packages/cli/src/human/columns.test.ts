import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { writtenTo } from '../../test/written-to.ts';
import { columns } from './columns.ts';
import { barLine, ProgressBar } from './progress-bar.ts';
import { painter } from './style.ts';

const terminal = (isTTY: boolean, env: Record<string, string> = {}) => {
  const stream = () => Object.assign(new PassThrough(), { isTTY, columns: 60 });
  return { stdin: stream(), stdout: stream(), stderr: stream(), env };
};

describe('a table', () => {
  const head = [{ title: 'NAME' }, { title: 'SIZE', isNumber: true }, { title: 'LABELS' }];
  const rows = [
    ['a', '1 B', ''],
    ['longer', '100 B', { text: 'x\x1b[31m', tone: 'bad' as const }],
  ];

  it('aligns, and shows no order to the terminal', () => {
    expect(columns(head, rows, { paint: painter(terminal(false)) })).toEqual([
      'NAME     SIZE  LABELS',
      'a         1 B  ',
      'longer  100 B  x\\x1b[31m',
    ]);
  });

  it('is coloured on a terminal, unless NO_COLOR or a dumb terminal forbid it', () => {
    const isColoured = (env: Record<string, string>) =>
      columns(head, rows, { paint: painter(terminal(true, env)) })
        .join('')
        .includes('\x1b[');
    expect([{}, { NO_COLOR: '' }, { NO_COLOR: '1' }, { TERM: 'dumb' }].map(isColoured)).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });

  it('is cut at the width, colours not counted', () => {
    const [, , line] = columns(head, rows, { paint: painter(terminal(true)), width: 18 });
    expect(line).toBe('longer  100 B  \x1b[31mx\\x\x1b[0m');
  });
});

describe('a progress bar', () => {
  it.each([
    [
      { label: 'a', done: 512, total: 1024 },
      1024,
      'a [============            ] 50%  512 B of 1.0 KiB  1.0 KiB/s  0 s left',
    ],
    [{ label: 'a\x1b', done: 5 }, undefined, 'a\\x1b  5 B'],
    [{ label: 'a', done: 9, total: 4 }, undefined, 'a [========================] 100%  4 B of 4 B'],
    [{ label: 'a', done: 0, total: 0 }, undefined, 'a  0 B of 0 B'],
  ])('%# shows how far', (progress, rate, expected) => {
    expect(barLine(progress, rate, 200)).toBe(expected);
  });

  it('draws ten times a second at most, the end always, and goes away', () => {
    let now = 0;
    const screen = terminal(true);
    const bar = new ProgressBar(screen, true, () => now);
    for (const done of [1, 2, 3, 100]) {
      now += 40;
      bar.show({ label: 'x', done, total: 100 });
    }
    bar.end();
    bar.end();
    const drawn = writtenTo(screen.stderr).split('\r\x1b[K');
    expect(drawn).toEqual(['', expect.stringContaining(' 1%'), expect.stringContaining('100%'), '']);
  });

  it('is not there without a terminal', () => {
    const screen = terminal(false);
    const bar = new ProgressBar(screen);
    bar.show({ label: 'x', done: 1, total: 1 });
    bar.end();
    expect(writtenTo(screen.stderr)).toBe('');
  });
});
