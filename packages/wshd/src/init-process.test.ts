import fs from 'node:fs';
import { reapChild, spawnProcess } from '@warden/native';
import { expect, it, vi } from 'vitest';
import { InitProcess, NAMESPACE_END } from './init-process.ts';

const pidfds = (): number =>
  fs.readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${fd}`).includes('pidfd');
    } catch {
      return false; // that of the listing
    }
  }).length;

it('keeps its descriptor as long as somebody waits for the end, and no longer', async () => {
  const pid = spawnProcess({
    path: '/bin/sleep',
    argv: ['sleep', '60'],
    environment: {},
    cwd: '/',
    descriptors: [],
  });
  const before = pidfds();
  const init = new InitProcess(pid, NAMESPACE_END);
  const [ended, long] = [init.hasEnded(300), init.hasEnded(20_000)];
  init.release();
  init.release();
  expect(pidfds()).toBe(before + 1);
  expect(await ended).toBe(false);
  expect(pidfds()).toBe(before + 1);
  process.kill(pid, 'SIGKILL');
  expect(await long).toBe(true);
  expect(pidfds()).toBe(before);
  expect(await init.hasEnded(0)).toBe(false); // nobody looks any more
  await expect(init.kill(0)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  await vi.waitFor(() => expect(reapChild(pid)).toEqual({ signal: 9 }));
});
