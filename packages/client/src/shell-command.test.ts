/** Whatever a value holds, a real shell gives it back as it is; where that cannot be, nothing is made. */
import { execFileSync, spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sh, shellQuote } from './index.ts';

const shell = (command: string): string => execFileSync('/bin/sh', ['-c', command], { encoding: 'utf8' });

describe('a command', () => {
  it('gives a shell each value as one word', () => {
    const odd = ["it's", '$(id)', '`id`', '"', '\\', 'a\nb', '  ', '', '*', '~', '#', ';rm', '-n', "'\\''"];
    expect(shell(sh`printf '%s|' ${odd}`.toString())).toBe(odd.map((one) => `${one}|`).join(''));
    expect(shell(sh`x=${'a b'}; printf '%s' --name=${'c d'} "$x"`.toString())).toBe('--name=c da b');
  });

  it('lets no value become more than a word where bash knows more than other shells', () => {
    const value = 'a[$(echo run >&2)]\necho run >&2\n`echo run >&2`';
    const texts = [
      '"$(',
      '")',
      '"',
      "'",
      "$'",
      '`',
      '${a:-',
      '}',
      '$((',
      '))',
      'a[',
      ']=1',
      '\\\n#',
      '# ',
      ' ',
    ];
    const around = fc.array(fc.constantFrom(...texts, 'echo ', ';', '\n', 'x'), { maxLength: 5 });
    fc.assert(
      fc.property(around, around, (before, behind) => {
        const raw = [before, behind].map((parts) => parts.join('').replaceAll(/`|\$\{/g, '\\$&'));
        let command: string;
        try {
          command = sh(Object.assign([...raw], { raw }) as unknown as TemplateStringsArray, value).toString();
        } catch {
          return; // refused
        }
        const { stderr } = spawnSync('/bin/bash', [], { input: command, encoding: 'utf8' });
        expect(stderr).not.toMatch(/^run$/m);
      }),
      { numRuns: 150 },
    );
  });

  it('tells who calls it as a function what it is', () => {
    const called = sh as unknown as (text?: unknown) => unknown;
    for (const text of ['ls', undefined, ['ls']])
      expect(() => called(text)).toThrow('sh is the tag of a template');
  });

  it('gives back any text', () => {
    const text = fc.string({ unit: 'binary-ascii', maxLength: 30 }).filter((value) => !value.includes('\0'));
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 8 }), (values) => {
        expect(shell(sh`printf '<%s>' ${values}`.toString())).toBe(
          values.map((value) => `<${value}>`).join(''),
        );
      }),
      { numRuns: 60 },
    );
  });

  it('is written as it is around its values', () => {
    expect(sh`printf 'a\n' \`id\` \${HOME} $HOME`.toString()).toBe(
      ["printf 'a\\n' `id` $", '{HOME} $HOME'].join(''),
    );
    expect(sh`echo ${1} ${2n} ${[]}${['a', 3]}`.toString()).toBe("echo '1' '2' 'a' '3'");
    expect(sh`${sh`cat ${'a b'}`} | wc`.toString()).toBe("cat 'a b' | wc");
    expect(sh`echo 'x' "y" \# ${'z'}`.toString()).toBe("echo 'x' \"y\" \\# 'z'");
  });

  it.each([
    ['single quotes', () => sh`echo '${'x'}'`],
    ['double quotes', () => sh`echo "${'x'}"`],
    ['a substitution in double quotes', () => sh`echo "$(cat ${'x'})"`],
    ['backquotes', () => sh`echo \`cat ${'x'}\``],
    ['a comment', () => sh`echo # ${'x'}`],
    ['a here-document', () => sh`cat <<END\n${'x'}\nEND`],
    ['a dollar sign', () => sh`echo $${'x'}`],
    ['double quotes of a substitution in double quotes', () => sh`echo "$(cat "${'x'}")"`],
    ['double quotes of backquotes in double quotes', () => sh`echo "\`cat "${'x'}"\`"`],
    ['double quotes of braces in double quotes', () => sh`echo "\${a:-"${'x'}"}"`],
    ['double quotes behind a case in them', () => sh`echo "$(case a in a) echo "${'x'}";; esac)"`],
    ['quotes in which a backslash counts', () => sh`echo $'it\'s ${'x'}'`],
    ['single quotes behind the number of the shell', () => sh`echo $$'a\'b' ${'x'}'`],
    ['braces', () => sh`echo \${a:-${'x'}}`],
    ['arithmetic', () => sh`echo $((1 + ${'x'}))`],
    ['an arithmetic command', () => sh`for ((i = 0; i < ${'x'}; i++)); do :; done`],
    ['old arithmetic', () => sh`echo $[1 + ${'x'}]`],
    ['a subscript', () => sh`a[${'x'}]=1`],
    [
      'a comment behind a line that goes on',
      () => sh`echo a \
# ${'x'}`,
    ],
    ['a comment behind nothing', () => sh`echo ${[]}# ${'x'}`],
    ['a comment that a part begins', () => sh`${sh`true # note`} ${'x'}`],
    ['a here-document that a part begins', () => sh`${sh`cat <<END`}\n${'x'}\nEND`],
  ])('refuses a value in %s', (_, make) => expect(make).toThrow(TypeError));

  it('takes a value behind what was closed again', () => {
    expect(
      sh`echo 'a'${'x'} "b"${'y'} # c
      ${'z'} a#b ${'w'}`.toString(),
    ).toContain("'w'");
    const behind = [
      sh`echo "$(date '+%H:%M') \${a%b} $((1 + (2 * 3)))" ${'w'}`,
      sh`echo $'it\'s' \${a:-b} $((1 + 2)) a[0]=1 ${'w'}`,
      sh`f() { (cd / && ls); }; f "$(cat "$x")" ${'w'}`,
      sh`case $x in a) echo ${'v'} ;; *) echo ${'w'} ;; esac`,
      sh`echo $(cat $(ls ${'v'})) ${'w'}`,
    ];
    for (const command of behind) expect(command.toString()).toContain("'w'");
  });

  it.each([undefined, null, {}, true, Number.NaN, Symbol('x'), () => 1, 'a\0b'])(
    'refuses %s as a value',
    (value) => {
      expect(() => sh`echo ${value as never}`).toThrow(TypeError);
    },
  );

  it('has its quoting alone, too', () => {
    expect(shellQuote("a'b")).toBe("'a'\\''b'");
    expect(() => shellQuote('\0')).toThrow(TypeError);
  });
});
