import { describe, expect, it } from 'vitest';
import { splitLine } from './split-line.ts';

describe('splitLine', () => {
  it.each([
    ['', []],
    ['  a \t b ', ['a', 'b']],
    [`'a b' "c d"`, ['a b', 'c d']],
    [`''`, ['']],
    [`a''b"c"`, ['abc']],
    [`'a\\n$x'`, ['a\\n$x']],
    [`"\\$ \\\` \\" \\\\ \\n"`, ['$ ` " \\ \\n']],
    ['a\\ b \\" \\\\', ['a b', '"', '\\']],
    ['run --script "ls; echo $HOME # x | y"', ['run', '--script', 'ls; echo $HOME # x | y']],
    ['\udcff "\udc80"', ['\udcff', '\udc80']],
  ])('%j', (line, words) => {
    expect(splitLine(line)).toEqual(words);
  });

  it.each([
    [`a "b`, 'Unmatched quote: "a \\"b"'],
    [`a 'b\\`, 'Unmatched quote: "a \'b\\\\"'],
  ])('%j is refused', (line, text) => {
    expect(() => splitLine(line)).toThrow(text);
  });
});
