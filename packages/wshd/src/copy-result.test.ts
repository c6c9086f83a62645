import type { CopySpec } from '@warden/interface';
import { describe, expect, test } from 'vitest';
import { abortedError, copyError, parseCopyResult } from './copy-result.ts';

const spec: CopySpec = {
  direction: 'out',
  hostPath: '/host',
  containerPath: '/inside',
  user: 'vcap',
  owner: 'nobody-here',
  forbidden: [],
};

function failure(...fields: readonly string[]): Exclude<ReturnType<typeof parseCopyResult>, { ok: true }> {
  const result = parseCopyResult(Buffer.from(`${fields.join('\0')}\0`));
  if (result.ok) throw new Error('it is ok');
  return result;
}

describe('the result of warden-copy', () => {
  test('ok', () => expect(parseCopyResult(Buffer.from('ok\0'))).toEqual({ ok: true }));

  test('a failure has step, path, side, errno and count', () => {
    const error = copyError(spec, failure('error', '13', 'container', '3', 'open', '/inside/x'), '');
    expect(error).toMatchObject({
      code: 'FORBIDDEN',
      message: 'command exited with failure: open /inside/x in the container: EACCES, and 2 more failures',
      fields: {
        operation: 'copy out',
        step: 'open',
        object: '/inside/x',
        side: 'container',
        errno: 'EACCES',
        failures: 3,
        advice: expect.stringContaining(
          'vcap may not do this inside: do it as root inside (warden cp --privileged',
        ),
      },
    });
    expect(copyError(spec, failure('error', '1', 'container', '1', 'open source', '/x'), '').code).toBe(
      'FORBIDDEN',
    );
    // the host's side is the daemon's, and another errno is no matter of rights
    for (const [number, side] of [
      ['13', 'host'],
      ['28', 'container'],
    ] as const) {
      const other = copyError(spec, failure('error', number, side, '1', 'open', '/x'), '');
      expect(other.code).toBe('COMMAND_FAILED');
      expect(other.fields).not.toHaveProperty('advice');
    }
  });

  test('what the caller can correct is INVALID_SPEC', () => {
    const missing = failure('error', '2', 'container', '1', 'open source', '/inside');
    expect(copyError(spec, missing, '').code).toBe('INVALID_SPEC');
    const forbidden = failure('error', '1', 'host', '1', 'write into a directory of the daemon', '/depot');
    expect(copyError(spec, forbidden, '').code).toBe('INVALID_SPEC');
    const owner = copyError(spec, failure('error', '2', 'host', '1', 'find owner', 'nobody-here'), '');
    expect(owner).toMatchObject({ code: 'INVALID_SPEC', fields: { object: 'nobody-here' } });
  });

  test.each([undefined, Buffer.alloc(0), Buffer.from('nonsense'), Buffer.from('error\0')])(
    'a helper without a word has failed: %j',
    (bytes) => {
      const result = parseCopyResult(bytes);
      expect(result).toMatchObject({ ok: false, errno: 'EPIPE' });
    },
  );

  test('an ended other side is told as such, with its last words', () => {
    const lost = failure('error', '104', 'host', '1', 'talk to the other side', '/host');
    expect(copyError(spec, lost, 'getpwnam: no user vcap')).toMatchObject({
      code: 'COMMAND_FAILED',
      message: expect.stringMatching(/^command exited with failure: the side in the container ended/),
      fields: { stderr: 'getpwnam: no user vcap' },
    });
  });

  test('an aborted copy is ABORTED with the original text in front', () => {
    expect(abortedError(spec)).toMatchObject({
      code: 'ABORTED',
      message: expect.stringMatching(/^command exited with failure: /),
    });
  });
});
