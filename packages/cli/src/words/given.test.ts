import { describe, expect, it } from 'vitest';
import { exec } from './exec.ts';
import { parseGiven } from './given.ts';
import { ps } from './ps.ts';
import { run } from './run.ts';
import { WORDS } from './table.ts';
import { flagsOf } from './word.ts';

describe('words behind a word', () => {
  it.each([
    ['-it box', { operands: ['box'], command: [], interactive: '', tty: '' }],
    ['box -- ls -l', { operands: ['box'], command: ['ls', '-l'] }],
    ['box ls -l --json', { operands: ['box'], command: ['ls', '-l', '--json'] }],
    ['box -- -weird -- x', { operands: ['box'], command: ['-weird', '--', 'x'] }],
    ['-e A=1 --env=B=2 box -w /tmp', { operands: ['box'], env: 'B=2', workdir: '/tmp' }],
    ['-w/tmp box --detach_keys none', { operands: ['box'], workdir: '/tmp', 'detach-keys': 'none' }],
    ['-iw /tmp box - x', { operands: ['box'], command: ['-', 'x'], workdir: '/tmp', interactive: '' }],
  ])('reads exec %s', (line, expected) => {
    const given = parseGiven(exec, line.split(' '));
    const { operands, command = [], ...flags } = expected as Record<string, unknown>;
    expect({ operands: given.operands, command: given.command }).toEqual({ operands, command });
    for (const [name, value] of Object.entries(flags)) expect(given.value(name)).toBe(value);
  });

  it('collects a flag that may be given several times', () => {
    expect(parseGiven(run, ['-l', 'a=1', '--label', 'b=2', '--', 'x']).values('label')).toEqual([
      'a=1',
      'b=2',
    ]);
  });

  it.each([
    [exec, ['box', '--', 'x'], undefined],
    [exec, [], 'exec: HANDLE is missing\nUsage: warden exec [FLAGS] HANDLE [-- COMMAND ARGUMENT...]'],
    [
      WORDS.find(({ name }) => name === 'completion')!,
      ['fsh'],
      "completion: SHELL is one of bash, zsh, fish, candidates, not 'fsh'; did you mean 'fish'?",
    ],
    [run, ['-d'], undefined],
    [exec, ['--intractive', 'box'], "exec: unknown flag --intractive; did you mean '--interactive'?"],
    [exec, ['-q', 'box'], 'exec: unknown flag -q'],
    [exec, ['--env'], 'exec: --env needs a value, NAME=VALUE'],
    [exec, ['--tty=yes', 'box'], 'exec: --tty takes no value'],
    [ps, ['box'], "ps: unexpected word 'box'"],
    [
      WORDS.find(({ name }) => name === 'inspect')!,
      [],
      'inspect: HANDLE is missing\nUsage: warden inspect [FLAGS] HANDLE...',
    ],
  ] as const)('%# refuses what it does not understand, and says what was meant', (word, words, text) => {
    if (text === undefined) expect(() => parseGiven(word, words)).not.toThrow();
    else expect(() => parseGiven(word, words)).toThrow(`${text}\nSee: warden ${word.name} --help`);
  });

  it('has no two flags of one name in a word, and examples that it understands', () => {
    for (const word of WORDS) {
      const names = flagsOf(word).flatMap(({ name, short }) => [
        name,
        ...(short === undefined ? [] : [short]),
      ]);
      expect(new Set(names).size, word.name).toBe(names.length);
      expect(word.examples.length, word.name).toBeGreaterThan(0);
      expect(word.summary, word.name).toMatch(/^[A-Z].*\.$/);
    }
  });
});
