import { describe, expect, it } from 'vitest';
import { parseOptions } from './options.ts';

describe('parseOptions', () => {
  it('has the defaults of the contract [cli 1]', () => {
    expect(parseOptions([])).toEqual({
      socket: '/tmp/warden.sock',
      trace: false,
      exitOnError: false,
      help: false,
      version: false,
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
    [['--help'], { help: true }],
    [['--version'], { version: true }],
    [['--timeout', '1.5'], { timeoutMs: 1500 }],
    [['--timeout=2', '--extended'], { timeoutMs: 2000, extended: true }],
    [['--', 'rootfs', 'build', '--force', '/d'], { command: ['rootfs', 'build', '--force', '/d'] }],
    [['--socket', ''], { socket: '' }],
  ])('reads %j: abbreviations, =, either spelling, words behind -- [cli 1]', (words, expected) => {
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
    [['--', '--'], "Delimiter: '--' specified multiple times."],
    [['--trace=yes'], 'needless argument: --trace=yes'],
    [['--trace', 'x', '--'], 'unexpected word before --: x (options stand before it, the command behind it)'],
    [['exce', 'box', '--', 'id'], "the command behind it); did you mean 'exec'?"],
    [
      ['run', '--handle', 'box', '--', 'id'],
      'warden exec HANDLE -- COMMAND runs a program in a container that is there, warden run --name HANDLE -- COMMAND in a new one',
    ],
    [['--timeout', 'soon'], 'invalid argument: --timeout soon (seconds, more than 0, at most 2147483)'],
    [['--timeout', '0'], 'invalid argument: --timeout 0'],
    [['--timeout', '3000000'], 'invalid argument: --timeout 3000000'],
  ])('refuses %j with the text of the contract [cli 1]', (words, text) => {
    expect(() => parseOptions(words)).toThrow(text);
  });
});
