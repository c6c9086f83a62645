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
    ['a\\', ['a\\']],
    ['a\u00a0b', ['a\u00a0b']],
  ])('splits %j as a shell does, expanding nothing [cli 2.1]', (line, words) => {
    expect(splitLine(line)).toEqual(words);
  });

  it.each([
    [`a "b`, 'Unmatched quote: "a \\"b"'],
    [`a 'b\\`, 'Unmatched quote: "a \'b\\\\"'],
    [`'`, `Unmatched quote: "'"`],
  ])('refuses the unbalanced quote in %j with the text [cli 2.1]', (line, text) => {
    expect(() => splitLine(line)).toThrow(text);
  });
});
