import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const ROOT = path.resolve(import.meta.dirname, '../../..');
const CHECK = path.join(ROOT, 'scripts/check-conformance.mjs');

function check(...args: string[]): { status: number | null; stderr: string; stdout: string } {
  const { status, stderr, stdout } = spawnSync(process.execPath, [CHECK, ...args], { encoding: 'utf8' });
  return { status, stderr, stdout };
}

describe('the conformance tables', () => {
  it('name only tests that exist', () => expect(check('--check')).toMatchObject({ status: 0, stderr: '' }));
});

describe('the check of conformance tables', () => {
  const source = [
    "it('plain', () => {});",
    'it("it\'s quoted", async () => {});',
    "it.each([[1, (2)]])('%s of $what | that [spec 1.2]', () => {});",
    "describe('a group', () => {});",
    "it.each`\n a\n 1\n`('templated', () => {});",
    "it(\n  'on a line of its own',\n  () => {},\n);",
  ].join('\n');
  let copy: string;
  beforeEach(() => {
    copy = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-conformance-'));
    fs.mkdirSync(path.join(copy, 'docs/conformance'), { recursive: true });
    fs.writeFileSync(path.join(copy, 'a.test.ts'), source);
    fs.writeFileSync(path.join(copy, 'b.c'), 'static void test_one(void) {}\nrun("two words");\n');
  });
  afterEach(() => fs.rmSync(copy, { recursive: true, force: true }));

  const write = (...rows: string[]): void =>
    fs.writeFileSync(
      path.join(copy, 'docs/conformance/topic.md'),
      [
        '# Topic',
        '',
        '| row | what holds | mark | test |',
        '| --- | --- | --- | --- |',
        ...rows,
        '',
        '## Deliberate departures',
        '',
      ].join('\n'),
    );

  it('takes titles as the source has them, several in a cell, and counts them in the index', () => {
    write(
      '| a 1 | x | C | `a.test.ts` › plain |',
      "| a 2 | x | C, T | `a.test.ts` › it's quoted<br>`a.test.ts` › templated |",
      '| a 3 | x | Q | `a.test.ts` › %s of $what \\| that [spec 1.2] |',
      '| a 4 | x | M T | `a.test.ts` › on a line of its own |',
      '| a 5 | x | D | `b.c` › test_one <br> `b.c` › two words |',
      '| a 6 | x | R | none: the kernel here has no aufs |',
    );
    expect(check(copy)).toEqual({
      status: 0,
      stderr: '',
      stdout: '7 tests named in 1 files of docs/conformance exist\n',
    });
    const index = fs.readFileSync(path.join(copy, 'docs/conformance/README.md'), 'utf8');
    expect(index).toContain('| [Topic](topic.md) | 6 | 7 | 1 |');
    expect(index).toContain('| all | 6 | 7 | 1 |');
  });

  it.each([
    ['a file that is not there', '| a | x | C | `none.test.ts` › plain |', 'there is no file none.test.ts'],
    [
      'a title that is not there',
      '| a | x | C | `a.test.ts` › plai |',
      'a.test.ts has no test with the title: plai',
    ],
    ['the title of a group', '| a | x | C | `a.test.ts` › a group |', 'has no test with the title: a group'],
    ['a missing C test', '| a | x | C | `b.c` › three |', 'b.c has no test with the title: three'],
    ['another form', '| a | x | C | a.test.ts: plain |', 'expected `path/to/file.test.ts` › exact title'],
    ['an empty test cell', '| a | x | C | |', 'expected `path/to/file.test.ts` › exact title'],
    ['none without a reason', '| a | x | C | none: |', 'expected `path/to/file.test.ts` › exact title'],
    ['an unknown mark', '| a | x | Z | `a.test.ts` › plain |', 'mark must be of'],
    ['an empty row name', '| | x | C | `a.test.ts` › plain |', 'must not be empty'],
    ['a bar in a cell', '| a | x | y | C | `a.test.ts` › plain |', '5 cells instead of 4'],
  ])('refuses %s', (_what, row, reason) => {
    write('| ok | x | C | `a.test.ts` › plain |', row);
    const { status, stderr } = check(copy);
    expect(status).toBe(1);
    expect(stderr).toContain('docs/conformance/topic.md:6: ');
    expect(stderr).toContain(reason);
    expect(fs.existsSync(path.join(copy, 'docs/conformance/README.md'))).toBe(false);
  });

  it('refuses a file without title, table or departures', () => {
    fs.writeFileSync(path.join(copy, 'docs/conformance/topic.md'), 'words\n');
    const { stderr } = check(copy);
    expect(stderr).toContain('the first line must be a title');
    expect(stderr).toContain('no table row');
    expect(stderr).toContain('"## Deliberate departures" is missing');
  });

  it('refuses a table with another head or without its second line', () => {
    fs.writeFileSync(
      path.join(copy, 'docs/conformance/topic.md'),
      '# T\n\n| row | mark | test |\n| --- | --- | --- |\n\n| row | what holds | mark | test |\n| a | x | C | `a.test.ts` › plain |\n\n## Deliberate departures\n',
    );
    const { stderr } = check(copy);
    expect(stderr).toContain('topic.md:3: the head of a table must be');
    expect(stderr).toContain('topic.md:7: the second line of a table');
  });
});
