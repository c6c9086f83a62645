/** An unpacking whose end nobody can wait for. */
import fs from 'node:fs';
import { WardenError } from '@warden/interface';
import { expect, it, vi } from 'vitest';
import { startUnpack } from './unpack.ts';

let pid = 0;
vi.mock(import('@warden/native'), async (original) => {
  const native = await original();
  return {
    ...native,
    spawnProcess: (spec) => {
      pid = native.spawnProcess({ ...spec, argv: ['sleep', '60'] });
      return pid;
    },
    receiveOnlyMessage: async (socket) => {
      native.closeDescriptor(socket);
      return Buffer.from('ok\x000\x000\x000');
    },
    waitForExit: async () => {
      throw new WardenError('NATIVE_FAILED', 'there is no room', { fields: { errno: 'ENOMEM' } });
    },
  };
});

/** Sockets and processes; loading the library opens others. */
const open = (): number =>
  fs.readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return /^socket:|pidfd/.test(fs.readlinkSync(`/proc/self/fd/${fd}`));
    } catch {
      return false; // that of the listing
    }
  }).length;

it('is killed and reaped, and leaves no descriptor', async () => {
  const before = open();
  await expect(startUnpack('/bin/sleep', [], false).result).rejects.toThrow('there is no room');
  await vi.waitFor(() => expect(fs.existsSync(`/proc/${pid}`)).toBe(false), { timeout: 10_000 });
  expect(open()).toBe(before);
});
