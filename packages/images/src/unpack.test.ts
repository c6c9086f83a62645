/** Without a descriptor left for all that an unpacking takes, what it had got is given back. */
import fs from 'node:fs';
import { WardenError } from '@warden/interface';
import { expect, it, vi } from 'vitest';
import { startUnpack } from './unpack.ts';

vi.mock(import('@warden/native'), async (original) => ({
  ...(await original()),
  makePipe: () => {
    throw new WardenError('NATIVE_FAILED', 'pipe: EMFILE', { fields: { errno: 'EMFILE' } });
  },
}));

const sockets = (): number =>
  fs.readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:');
    } catch {
      return false; // that of the listing
    }
  }).length;

it('closes its channel when there is no pipe to be had', () => {
  const before = sockets();
  expect(() => startUnpack('/nowhere', [], true)).toThrow('EMFILE');
  expect(sockets()).toBe(before);
});
