import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { closeDescriptor, makeEventFd, makePipe, readDescriptor, writeDescriptor } from './descriptors.ts';
import { native } from './load-library.ts';
import { openPidfd, reapChild, reapLater, signalPidfd, waitForExit } from './process.ts';
import { type SpawnSpec, spawnProcess, spawnProcessOnThread } from './spawn.ts';

const opened = new Set<number>();
function pipe(): { read: number; write: number } {
  const ends = makePipe();
  opened.add(ends.read).add(ends.write);
  return ends;
}
function close(fd: number): void {
  opened.delete(fd);
  closeDescriptor(fd);
}
afterEach(() => {
  for (const fd of opened) closeDescriptor(fd);
  opened.clear();
});

async function end(pid: number): Promise<ReturnType<typeof reapChild>> {
  const pidfd = openPidfd(pid);
  try {
    expect(await waitForExit(pidfd, 10_000)).toBe(true);
    return reapChild(pid);
  } finally {
    closeDescriptor(pidfd);
  }
}

/** Runs a shell script with `output.write` as its descriptor 1 and answers what it printed. */
async function shell(script: string, more: Partial<SpawnSpec> = {}): Promise<string> {
  const output = pipe();
  const pid = spawnProcess({
    path: '/bin/sh',
    argv: ['sh', '-c', script],
    environment: { PATH: '/usr/bin:/bin' },
    cwd: '/',
    ...more,
    descriptors: [[output.write, 1], ...(more.descriptors ?? [])],
  });
  close(output.write);
  const text = readAll(output.read);
  expect(await end(pid)).toEqual({ exitCode: 0 });
  return text;
}

function readAll(fd: number): string {
  const parts: Buffer[] = [];
  const buffer = Buffer.alloc(4096);
  for (let count = readDescriptor(fd, buffer); count > 0; count = readDescriptor(fd, buffer)) {
    parts.push(Buffer.from(buffer.subarray(0, count)));
  }
  return Buffer.concat(parts).toString();
}

const PLAIN: SpawnSpec = { path: '/bin/true', argv: ['true'], environment: {}, cwd: '/', descriptors: [] };

describe('spawnProcess', () => {
  it('gives argv, environment and working directory as they are', async () => {
    const text = await shell('printf "%s|%s|%s|%s" "$0" "$1" "$A" "$PWD"', {
      argv: ['sh', '-c', 'printf "%s|%s|%s|%s" "$0" "$1" "$A" "$(pwd)"', 'zéro', ''],
      environment: { A: 'x=\n y', PATH: '/bin:/usr/bin' },
      cwd: '/usr',
    });
    expect(text).toBe('zéro||x=\n y|/usr');
  });

  it('passes bytes that are not UTF-8', async () => {
    const text = await shell('', { argv: ['sh', '-c', 'printf %s "$0" | od -An -tx1', 'a\udcffb'] });
    expect(text.trim()).toBe('61 ff 62');
  });

  it('gives /dev/null for the standard descriptors that are not mapped, and nothing else', async () => {
    const stray = makeEventFd();
    const text = await shell('', { path: '/bin/ls', argv: ['ls', '-l', '/proc/self/fd'] });
    closeDescriptor(stray);
    const links = [...text.matchAll(/(\d+) -> (.*)$/gm)].map(
      ([, fd, target]) => `${fd} ${target!.replace(/\d+/g, 'N')}`,
    );
    // 3 is the directory that ls itself reads
    expect(links).toEqual(['0 /dev/null', '1 pipe:[N]', '2 /dev/null', '3 /proc/N/fd']);
  });

  it('maps descriptors correctly when maps overlap in circles', async () => {
    const [first, second, third] = [pipe(), pipe(), pipe()];
    for (const [ends, text] of [
      [first, '1st'],
      [second, '2nd'],
      [third, '3rd'],
    ] as const) {
      writeDescriptor(ends.write, Buffer.from(text));
      close(ends.write);
    }
    const [a, b, c] = [first.read, second.read, third.read];
    // each takes the number of the next: a circle, so that any fixed order would overwrite a source
    const text = await shell('', {
      path: '/bin/bash',
      argv: ['bash', '-c', `read x <&${a}; read y <&${b}; read z <&${c}; echo $x $y $z`],
      descriptors: [
        [a, b],
        [b, c],
        [c, a],
      ],
    });
    expect(text.trim()).toBe('3rd 1st 2nd');
  });

  it('maps one descriptor to itself and to several', async () => {
    const out = pipe();
    const text = await shell('', {
      path: '/bin/bash',
      argv: ['bash', '-c', `echo a >&${out.write}; echo b >&2; echo c >&9`],
      descriptors: [
        [out.write, out.write],
        [out.write, 2],
        [out.write, 9],
      ],
    });
    close(out.write);
    expect(text).toBe('');
    expect(readAll(out.read)).toBe('a\nb\nc\n');
  });

  it('starts with default dispositions and nothing blocked', async () => {
    const status = await shell('', { path: '/bin/cat', argv: ['cat', '/proc/self/status'] });
    expect(status).toMatch(/SigBlk:\t0{16}\nSigIgn:\t0{16}\nSigCgt:\t0{16}/);
  });

  it('makes a session on demand', async () => {
    const session = (
      await shell('', { newSession: true, argv: ['sh', '-c', 'cut -d" " -f1,6 /proc/$$/stat'] })
    )
      .trim()
      .split(' ');
    expect(session[0]).toBe(session[1]);
    const ours = (await shell('', { argv: ['sh', '-c', 'cut -d" " -f1,6 /proc/$$/stat'] })).trim().split(' ');
    expect(ours[0]).not.toBe(ours[1]);
  });

  it('throws the errno of the step that failed and leaves no process', () => {
    const failure = (operation: string, object: string, errno: string): unknown =>
      expect.objectContaining({ code: 'NATIVE_FAILED', fields: { operation, object, errno } });
    expect(() => spawnProcess({ ...PLAIN, path: '/no/such' })).toThrow(
      failure('execve', '/no/such', 'ENOENT'),
    );
    expect(() => spawnProcess({ ...PLAIN, path: '/etc/passwd' })).toThrow(
      failure('execve', '/etc/passwd', 'EACCES'),
    );
    expect(() => spawnProcess({ ...PLAIN, cwd: '/no' })).toThrow(failure('chdir', '/no', 'ENOENT'));
    const ends = makePipe();
    closeDescriptor(ends.read);
    closeDescriptor(ends.write);
    expect(() => spawnProcess({ ...PLAIN, descriptors: [[ends.read, 5]] })).toThrow(
      failure('descriptors', '/bin/true', 'EBADF'),
    );
    expect(readFileSync(`/proc/self/task/${process.pid}/children`, 'latin1').trim()).toBe('');
  });

  it('does the same on a thread', async () => {
    const output = pipe();
    const pid = await spawnProcessOnThread({
      ...PLAIN,
      path: '/bin/sh',
      argv: ['sh', '-c', 'echo from a thread; exit 7'],
      descriptors: [[output.write, 1]],
    });
    close(output.write);
    expect(readAll(output.read)).toBe('from a thread\n');
    expect(await end(pid)).toEqual({ exitCode: 7 });
    await expect(spawnProcessOnThread({ ...PLAIN, path: '/no/such' })).rejects.toMatchObject({
      code: 'NATIVE_FAILED',
      fields: { operation: 'execve', object: '/no/such', errno: 'ENOENT' },
    });
    await expect(spawnProcessOnThread({ ...PLAIN, argv: [] })).rejects.toThrow(TypeError);
  });

  it('treats wrong use as TypeError', () => {
    expect(() => spawnProcess({ ...PLAIN, argv: [] })).toThrow(TypeError);
    expect(() => spawnProcess({ ...PLAIN, argv: ['a\0b'] })).toThrow(TypeError);
    expect(() => spawnProcess({ ...PLAIN, argv: [1 as never] })).toThrow(TypeError);
    expect(() => spawnProcess({ ...PLAIN, environment: { 'A=B': '' } })).toThrow(TypeError);
    expect(() => spawnProcess({ ...PLAIN, environment: { A: undefined as never } })).toThrow(TypeError);
    expect(() =>
      spawnProcess({
        ...PLAIN,
        descriptors: [
          [0, 3],
          [1, 3],
        ],
      }),
    ).toThrow(TypeError);
    expect(() => spawnProcess({ ...PLAIN, descriptors: [[0] as never] })).toThrow(TypeError);
    expect(() => spawnProcess({ ...PLAIN, descriptors: [[0, -1]] })).toThrow(TypeError);
  });

  it('starts 200 programs without leaking', async () => {
    const before = readdirSync('/proc/self/fd').length;
    const ends = await Promise.all(Array.from({ length: 200 }, () => end(spawnProcess(PLAIN))));
    expect(ends).toEqual(Array.from({ length: 200 }, () => ({ exitCode: 0 })));
    expect(readdirSync('/proc/self/fd').length).toBeLessThanOrEqual(before + 1); // the epoll descriptor
  });
});

describe('processes', () => {
  it('tells exit codes and signals, once', async () => {
    const pid = spawnProcess({ ...PLAIN, path: '/bin/sh', argv: ['sh', '-c', 'exit 42'] });
    expect(await end(pid)).toEqual({ exitCode: 42 });
    expect(() => reapChild(pid)).toThrow(
      expect.objectContaining({ fields: expect.objectContaining({ errno: 'ECHILD' }) }),
    );

    const sleeper = spawnProcess({ ...PLAIN, path: '/bin/sleep', argv: ['sleep', '60'] });
    expect(reapChild(sleeper)).toBeUndefined();
    const pidfd = openPidfd(sleeper);
    expect(await waitForExit(pidfd, 20)).toBe(false);
    expect(signalPidfd(pidfd, 0)).toBe(true);
    expect(signalPidfd(pidfd, 9)).toBe(true);
    expect(await waitForExit(pidfd, 10_000)).toBe(true);
    expect(reapChild(sleeper)).toEqual({ signal: 9 });
    expect(signalPidfd(pidfd, 9)).toBe(false);
    closeDescriptor(pidfd);
    expect(() => openPidfd(sleeper)).toThrow(
      expect.objectContaining({ fields: expect.objectContaining({ errno: 'ESRCH' }) }),
    );
  });

  it('an end that came while this process was busy is one', async () => {
    const pid = spawnProcess({ ...PLAIN, path: '/bin/true', argv: ['true'] });
    const pidfd = openPidfd(pid);
    // behind the turn's look for what has come, and before its timers
    await new Promise((resolve) => setImmediate(resolve));
    const ended = waitForExit(pidfd, 20);
    for (let result: unknown; result === undefined; ) result = reapChild(pid);
    for (const until = performance.now() + 40; performance.now() < until; );
    expect(await ended).toBe(true);
    closeDescriptor(pidfd);
  });

  it('an end is noticed where the kernel has no room for a watch, and not before it came', async () => {
    const adding = vi.spyOn(native(), 'warden_epoll_add').mockReturnValue(-28);
    try {
      const sleeper = spawnProcess({ ...PLAIN, path: '/bin/sleep', argv: ['sleep', '60'] });
      const pidfd = openPidfd(sleeper);
      expect(await waitForExit(pidfd, 200)).toBe(false);
      signalPidfd(pidfd, 9);
      expect(await waitForExit(pidfd, 10_000)).toBe(true);
      expect(reapChild(sleeper)).toEqual({ signal: 9 });
      expect(await waitForExit(pidfd, 10_000)).toBe(true); // reaped
      closeDescriptor(pidfd);
    } finally {
      adding.mockRestore();
    }
  });

  it('treats wrong use as TypeError', async () => {
    expect(() => openPidfd(0)).toThrow(TypeError);
    expect(() => reapChild(-1)).toThrow(TypeError);
    expect(() => signalPidfd(3, 65)).toThrow(TypeError);
    await expect(waitForExit(3, Number.NaN)).rejects.toThrow(TypeError);
    await expect(waitForExit(3, 2 ** 31)).rejects.toThrow(TypeError);
  });
});

describe('reapLater', () => {
  it('takes the end of a child whenever it comes, and minds no other process', async () => {
    const pid = spawnProcess({ ...PLAIN, path: '/bin/sleep', argv: ['sleep', '60'] });
    reapLater(pid);
    reapLater(1);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(reapChild(pid)).toBeUndefined();
    process.kill(pid, 'SIGKILL');
    await vi.waitFor(() => expect(existsSync(`/proc/${pid}`)).toBe(false), { timeout: 20_000 });
    expect(() => reapChild(pid)).toThrow('ECHILD');
  });

  it('minds no child that somebody else reaps first', async () => {
    const uncaught = vi.fn();
    process.on('uncaughtException', uncaught);
    try {
      const pid = spawnProcess({ ...PLAIN, path: '/bin/sleep', argv: ['sleep', '60'] });
      reapLater(pid);
      process.kill(pid, 'SIGKILL');
      for (let result: unknown; result === undefined; ) result = reapChild(pid);
      await new Promise((resolve) => setTimeout(resolve, 1_200));
      expect(uncaught).not.toHaveBeenCalled();
    } finally {
      process.off('uncaughtException', uncaught);
    }
  });
});
