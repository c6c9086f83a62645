/** What a helper and a launcher leave behind where nobody can wait for them: nothing. */
import fs from 'node:fs';
import { silentLogger, WardenError } from '@warden/interface';
import { spawnProcess, spawnProcessOnThread, waitForExit } from '@warden/native';
import { expect, it, vi } from 'vitest';
import { PipeSink } from './byte-sink.ts';
import { startPlainCopy } from './copy.ts';
import type { CopyProgram } from './copy-program.ts';
import { HelperProcess } from './helper-process.ts';
import { Launcher } from './launcher.ts';

const SOON = { timeout: 10_000 };

const refuse = (): never => {
  throw new WardenError('NATIVE_FAILED', 'there is no room', { fields: { errno: 'ENOMEM' } });
};
vi.mock(import('@warden/native'), async (original) => {
  const library = await original();
  return {
    ...library,
    spawnProcessOnThread: vi.fn(library.spawnProcessOnThread),
    waitForExit: vi.fn(library.waitForExit),
    watchDescriptor: vi.fn(library.watchDescriptor),
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

/** Whether it is there, be it only as a zombie. */
const exists = (pid: number): boolean => fs.existsSync(`/proc/${pid}`);

const sleeper = (): number =>
  spawnProcess({
    path: '/bin/sleep',
    argv: ['sleep', '60'],
    environment: {},
    cwd: '/',
    descriptors: [],
  });

it('a helper that nobody can wait for is killed and reaped, and its descriptor closed', async () => {
  const before = open();
  const pid = sleeper();
  vi.mocked(waitForExit).mockImplementationOnce(refuse);
  const helper = new HelperProcess(pid);
  await expect(helper.end()).rejects.toThrow('there is no room');
  await vi.waitFor(() => expect(exists(pid)).toBe(false), SOON);
  expect(open()).toBe(before);
});

it('a launcher that nobody can wait for leaves no descriptor and no zombie', async () => {
  const before = open();
  const spec = { directory: '/', program: '/bin/true', options: [], title: 'x', environment: {} };
  const launcher = await Launcher.start({ ...spec, hookTimeout: 1 }, silentLogger);
  await expect(launcher.expect('ready')).rejects.toThrow('without a report');
  vi.mocked(waitForExit).mockImplementationOnce(refuse);
  await expect(launcher.end()).rejects.toThrow('there is no room');
  expect(open()).toBe(before);
});

it('a launcher that outlives its end is reaped when its own comes', async () => {
  const before = open();
  const spec = { directory: '/', program: '/bin/sleep', options: [], title: 'x', environment: {} };
  let pid = 0;
  vi.mocked(spawnProcessOnThread).mockImplementationOnce(async (spawned) => {
    pid = spawnProcess({ ...spawned, argv: ['sleep', '60'] });
    return pid;
  });
  const launcher = await Launcher.start({ ...spec, hookTimeout: 1 }, silentLogger);
  // as if SIGKILL had not ended it
  vi.mocked(waitForExit).mockResolvedValueOnce(true);
  await launcher.end();
  expect(open()).toBe(before);
  process.kill(pid, 'SIGKILL');
  await vi.waitFor(() => expect(exists(pid)).toBe(false), SOON);
});

it('input that cannot wait for room fails, and leaves nobody listening to the signal', async () => {
  const { watchDescriptor, makePipe, closeDescriptor } = await import('@warden/native');
  const pipe = makePipe();
  const sink = new PipeSink(pipe.write);
  const { signal } = new AbortController();
  const listening = vi.spyOn(signal, 'addEventListener');
  vi.mocked(watchDescriptor).mockImplementationOnce(refuse);
  await expect(sink.write(Buffer.alloc(100_000), signal)).rejects.toThrow('there is no room');
  expect(listening).not.toHaveBeenCalled();
  sink.close();
  closeDescriptor(pipe.read);
});

it('a copy that is given up, and whose program nobody can wait for, fails; that is all', async () => {
  const unhandled = vi.fn();
  process.on('unhandledRejection', unhandled);
  const spec = { direction: 'out', hostPath: '/', containerPath: '/', owner: '', user: '', forbidden: [] };
  const program = { path: '/bin/true' } as unknown as CopyProgram;
  vi.mocked(waitForExit).mockImplementation(refuse);
  try {
    const failpoints = { pass: async () => {} } as never;
    const copy = await startPlainCopy(spec as never, '/', { program, failpoints });
    copy.abort();
    await expect(copy.ended).rejects.toThrow('there is no room');
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(unhandled).not.toHaveBeenCalled();
  } finally {
    vi.mocked(waitForExit).mockRestore();
    process.off('unhandledRejection', unhandled);
  }
});
