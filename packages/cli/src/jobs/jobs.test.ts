import type { JobEnd } from '@warden/interface';
import { describe, expect, it } from 'vitest';
import { DetachScanner, parseDetachKeys } from './detach-keys.ts';
import { exitCodeOf, StartWatch } from './exit-code.ts';

const info = { state: 'active', events: [], jobIds: [] } as const;
const end = (exitStatus: number, verdict?: JobEnd['verdict']): JobEnd => ({ exitStatus, verdict, info });

describe('exit statuses', () => {
  it.each([
    [end(0, { reason: 'exited' }), 0],
    [end(7), 7],
    [end(255, { reason: 'exited' }), 255],
    [end(255, { reason: 'signal', signal: 15 }), 143],
    [end(255, { reason: 'timeout', signal: 9 }), 124],
    [end(255, { reason: 'out-of-memory', signal: 9 }), 137],
    [end(1, { reason: 'disk-limit' }), 1],
    [end(255, { reason: 'container-stopped', signal: 15 }), 143],
    [end(255, { reason: 'init-lost' }), 125],
    [end(255, { reason: 'internal' }), 125],
  ])("%#: the job's own, or one that says what came in its way", (given, expected) => {
    expect(exitCodeOf(given)).toBe(expected);
  });

  it.each([
    ['execvpe: nope: No such file or directory\n', 127],
    ['execvpe: nope: No such file or directory\r\n', 127],
    ['execvpe: nope: Permission denied\n', 126],
    ['chdir: /nope: No such file or directory\n', 126],
    ['execvpe: other: No such file or directory\n', 255],
    ['hello\nexecvpe: nope: No such file or directory\n', 255],
    ['execvpe: nope: No such file or directory\nmore\n', 255],
    ['', 255],
    [`execvpe: nope: ${'x'.repeat(10_000)}\n`, 255],
  ])('a program that could not be started is told from one that ended with 255: %j', (text, expected) => {
    const watch = new StartWatch('nope');
    for (const piece of [text.slice(0, 5), text.slice(5)]) watch.take(Buffer.from(piece));
    expect(exitCodeOf(end(255, { reason: 'exited' }), watch.failure)).toBe(expected);
    expect(exitCodeOf(end(3, { reason: 'exited' }), watch.failure)).toBe(3);
  });
});

describe('keys to leave', () => {
  it.each([
    ['ctrl-p,ctrl-q', [16, 17]],
    ['ctrl-A,x', [1, 120]],
    ['ctrl-]', [29]],
    ['none', []],
  ])('reads %s', (text, expected) => {
    expect([...parseDetachKeys(text)]).toEqual(expected);
  });

  it('refuses what is no key', () => {
    for (const text of ['', 'ctrl-', 'ctrl-1', 'ab', 'ctrl-p,'])
      expect(() => parseDetachKeys(text)).toThrow('--detach-keys');
  });

  it.each([
    [['ab\x10\x11cd'], 'ab', true],
    [['a\x10', '\x11'], 'a', true],
    [['a\x10', 'b'], 'a\x10b', false],
    [['\x10\x10', '\x11'], '\x10', true],
    [['\x11'], '\x11', false],
  ])('finds them in %j, and holds back only what may be one', (pieces, passed, isComplete) => {
    const scanner = new DetachScanner(parseDetachKeys('ctrl-p,ctrl-q'));
    let text = '';
    let last = false;
    for (const piece of pieces) {
      const answer = scanner.take(Buffer.from(piece));
      text += Buffer.from(answer.passed).toString();
      last = answer.isComplete;
    }
    expect({ text, last }).toEqual({ text: passed, last: isComplete });
  });

  it.each([
    ['a,a,b', 'xaaab', 'xa'],
    ['a,b,a,b,c', 'abababc', 'ab'],
    ['a,a', 'baa', 'b'],
  ])('finds %s also where they begin anew within themselves: in %s', (keys, typed, passed) => {
    const scanner = new DetachScanner(parseDetachKeys(keys));
    const answers = [...typed].map((key) => scanner.take(Buffer.from(key)));
    expect(Buffer.concat(answers.map((answer) => answer.passed)).toString()).toBe(passed);
    expect(answers.map(({ isComplete }) => isComplete).lastIndexOf(true)).toBe(typed.length - 1);
  });

  it('without keys everything is passed on', () => {
    expect(new DetachScanner(new Uint8Array()).take(Buffer.from('\x10\x11'))).toEqual({
      passed: Uint8Array.of(16, 17),
      isComplete: false,
    });
  });
});
