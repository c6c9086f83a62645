import { describe, expect, test } from 'vitest';
import { parseLaunchReport } from './launch-report.ts';

describe('parseLaunchReport', () => {
  test('milestones and log lines', () => {
    expect(parseLaunchReport('cloned 1234')).toEqual({ kind: 'cloned', pid: 1234 });
    expect(parseLaunchReport('ready')).toEqual({ kind: 'ready' });
    expect(parseLaunchReport('log warn mount two words')).toEqual({
      kind: 'log',
      level: 'warn',
      stage: 'mount',
      text: 'two words',
    });
  });

  test('a kernel failure has its errno', () => {
    expect(parseLaunchReport('error bind-mount 2 0 /a\\040b no such source')).toMatchObject({
      error: {
        code: 'NATIVE_FAILED',
        message: 'no such source',
        fields: { stage: 'bind-mount', object: '/a b', errno: 'ENOENT' },
      },
    });
  });

  test('a failed hook has its exit status', () => {
    expect(parseLaunchReport('error hook 0 3 lib/hook-x.sh ')).toMatchObject({
      error: {
        code: 'COMMAND_FAILED',
        message: 'hook lib/hook-x.sh: exit status 3',
        fields: { exitStatus: 3 },
      },
    });
  });

  test.each(['', 'cloned 0', 'cloned x', 'error mount', 'log loud a b', 'go'])('%o is refused', (packet) => {
    expect(() => parseLaunchReport(packet)).toThrow(expect.objectContaining({ code: 'NATIVE_FAILED' }));
  });
});
