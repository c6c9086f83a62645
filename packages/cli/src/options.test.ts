import { describe, expect, it } from 'vitest';
import { parseOptions } from './options.ts';

describe('parseOptions', () => {
  it('has the defaults of the contract', () => {
    expect(parseOptions([])).toEqual({
      socket: '/tmp/warden.sock',
      trace: false,
      exitOnError: false,
      help: false,
      json: false,
      compatExit: false,
      extended: false,
      command: [],
    });
  });

  it.each([
    [['--socket', '/s'], { socket: '/s' }],
    [['--socket=/s'], { socket: '/s' }],
    [['--so', '/s', '--tra'], { socket: '/s', trace: true }],
    [['--exit_on_error'], { exitOnError: true }],
    [['--exit-on-error', '--compat-exit'], { exitOnError: true, compatExit: true }],
    [['--e'], { exitOnError: true }],
    [['--json', '--', 'list'], { json: true, command: ['list'] }],
    [['--', 'create', '--handle', 'h'], { command: ['create', '--handle', 'h'] }],
    [['create', '--handle', 'h'], { command: ['create', '--handle', 'h'] }],
    [['--socket', '/s', '--json', 'list'], { socket: '/s', json: true, command: ['list'] }],
    [['--socket=/s', 'echo', '--message', '-x'], { socket: '/s', command: ['echo', '--message', '-x'] }],
    [['--trace', '--'], { trace: true, command: [] }],
  ])('%j', (words, expected) => {
    expect(parseOptions(words)).toMatchObject(expected);
  });

  it.each([
    [['--', 'echo', '--', 'x'], "Delimiter: '--' specified multiple times."],
    [['--nope'], 'invalid option: --nope'],
    [['-t'], 'invalid option: -t'],
    [['--js'], 'invalid option: --js'],
    [['--socket'], 'missing argument: --socket'],
    [['create', '--', 'list'], 'unexpected word before --: create'],
    [['--nope', 'list'], 'invalid option: --nope'],
  ])('%j is refused', (words, text) => {
    expect(() => parseOptions(words)).toThrow(text);
  });
});
