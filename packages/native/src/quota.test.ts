import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isWardenError } from '@warden/interface';
import { describe, expect, it } from 'vitest';
import { quotaGet, quotaSet, setProjectId } from './quota.ts';

const zeros = { blockSoft: 0n, blockHard: 0n, inodeSoft: 0n, inodeHard: 0n };

describe('quota calls', () => {
  it('pass the kernel’s refusal on', () => {
    const call = (): unknown => quotaGet('/proc', 'user', 0);
    expect(call).toThrow(
      expect.objectContaining({
        fields: expect.objectContaining({ operation: 'quota-get', object: '/proc' }),
      }),
    );
    try {
      call();
    } catch (error) {
      expect(isWardenError(error) && ['ENOSYS', 'ESRCH', 'EOPNOTSUPP', 'EINVAL']).toContain(
        (error as { fields: { errno: string } }).fields.errno,
      );
    }
    expect(() => setProjectId('/proc/self', 7)).toThrow(expect.objectContaining({ code: 'NATIVE_FAILED' }));
    const directory = mkdtempSync(join(tmpdir(), 'warden-native-'));
    rmSync(directory, { recursive: true });
    expect(() => quotaSet(directory, 'project', 7, zeros)).toThrow(
      expect.objectContaining({ fields: { operation: 'quota-set', object: directory, errno: 'ENOENT' } }),
    );
  });

  it('treat wrong use as TypeError', () => {
    expect(() => quotaGet('/', 'group' as never, 0)).toThrow(TypeError);
    expect(() => quotaGet('/', 'user', -1)).toThrow(TypeError);
    expect(() => quotaSet('/', 'user', 1, { ...zeros, blockHard: 1 as never })).toThrow(TypeError);
    expect(() => quotaSet('/', 'user', 1, { ...zeros, inodeHard: -1n })).toThrow(TypeError);
    expect(() => setProjectId('/', 2 ** 32)).toThrow(TypeError);
  });
});
