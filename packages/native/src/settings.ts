import { checkPath } from './argument-checks.ts';
import { callOnThread } from './load-library.ts';
import { checked } from './native-failure.ts';

/**
 * Writes a setting below `/proc/sys` that the kernel takes its lock around all links for, such as
 * `net/ipv6/conf/<link>/disable_ipv6`, on a thread. Where somebody else has that lock a plain write is a loop
 * in the kernel; this one rests in between. Errors: `ENOENT` (no such link, or no IPv6), `EROFS`, `EINVAL`.
 */
export async function writeSetting(file: string, value: string): Promise<void> {
  const bytes = Buffer.from(value, 'latin1');
  checked(
    await callOnThread('warden_write_setting', checkPath(file, 'file'), bytes, bytes.length),
    'write-setting',
    file,
  );
}
