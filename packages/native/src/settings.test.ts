import { describe, expect, it } from 'vitest';
import { writeSetting } from './settings.ts';

describe('settings below /proc/sys', () => {
  it('are refused with a name and a reason', async () => {
    await expect(writeSetting('/proc/sys/net/ipv6/conf/none/disable_ipv6', '1\n')).rejects.toMatchObject({
      code: 'NATIVE_FAILED',
      fields: {
        operation: 'write-setting',
        object: '/proc/sys/net/ipv6/conf/none/disable_ipv6',
        errno: 'ENOENT',
      },
    });
    await expect(writeSetting('a\0b', '1')).rejects.toThrow('file');
  });
});
