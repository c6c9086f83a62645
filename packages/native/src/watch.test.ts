import { execFile } from 'node:child_process';
import { openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it, type Mock, vi } from 'vitest';
import { closeDescriptor, makePipe, readDescriptor, setNonBlocking, writeDescriptor } from './descriptors.ts';
import { native } from './load-library.ts';
import { makeSocketPair } from './sockets.ts';
import { type PollReady, type PollWatch, watchDescriptor } from './watch.ts';

/** Deadlines for a machine that is busy with something else. */
const SOON = { timeout: 20_000 };

const watches: PollWatch[] = [];
const opened = new Set<number>();
function pipe(): { read: number; write: number } {
  const ends = makePipe();
  opened.add(ends.read).add(ends.write);
  return ends;
}
function watch(...args: Parameters<typeof watchDescriptor>): PollWatch {
  const made = watchDescriptor(...args);
  watches.push(made);
  return made;
}
function close(fd: number): void {
  opened.delete(fd);
  closeDescriptor(fd);
}
afterEach(() => {
  for (const made of watches.splice(0)) made.close();
  for (const fd of opened) closeDescriptor(fd);
  opened.clear();
});
/** A watch whose descriptor was closed before it, and a pipe whose end to read has its number now. */
function closedUnderItsWatch(): { old: PollWatch; stale: Mock; again: ReturnType<typeof pipe> } {
  const ends = pipe();
  const stale = vi.fn();
  const old = watch(ends.read, { readable: true }, stale);
  close(ends.read);
  const again = pipe();
  expect(again.read).toBe(ends.read);
  return { old, stale, again };
}
const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 15));

describe('watchDescriptor', () => {
  it('reports data while there is some', async () => {
    const ends = pipe();
    const events: PollReady[] = [];
    const made = watch(ends.read, { readable: true }, (ready) => events.push(ready));
    await turn();
    expect(events).toEqual([]);
    writeDescriptor(ends.write, Buffer.of(1));
    await vi.waitFor(() => expect(events.length).toBeGreaterThan(2), SOON); // level-triggered
    expect(events[0]).toEqual({ readable: true, hasData: true, writable: false, hangup: false });
    readDescriptor(ends.read, Buffer.alloc(1));
    await turn();
    const count = events.length;
    await turn();
    expect(events.length).toBe(count);
    made.close();
    made.close();
  });

  it('reports room to write, and a hang-up as ready for what was asked', async () => {
    const ends = pipe();
    setNonBlocking(ends.write);
    const ready: PollReady[] = [];
    const writing = watch(ends.write, { writable: true }, (event) => {
      ready.push(event);
      writing.close();
    });
    await vi.waitFor(
      () => expect(ready).toEqual([{ readable: false, hasData: false, writable: true, hangup: false }]),
      SOON,
    );
    const ended: PollReady[] = [];
    const reading = watch(ends.read, { readable: true }, (event) => {
      ended.push(event);
      reading.close();
    });
    close(ends.write);
    await vi.waitFor(
      () => expect(ended).toEqual([{ readable: true, hasData: false, writable: false, hangup: true }]),
      SOON,
    );
  });

  it('rests without interest, even after a hang-up', async () => {
    const ends = pipe();
    const listener = vi.fn();
    const made = watch(ends.read, {}, listener);
    writeDescriptor(ends.write, Buffer.of(1));
    close(ends.write);
    await turn();
    expect(listener).not.toHaveBeenCalled();
    made.update({ readable: true });
    await vi.waitFor(() => expect(listener).toHaveBeenCalled(), SOON);
    made.update({});
    listener.mockClear();
    await turn();
    expect(listener).not.toHaveBeenCalled();
    made.close();
    expect(() => made.update({ readable: true })).toThrow(TypeError);
  });

  it('lets several watches share a descriptor', async () => {
    const [left, right] = makeSocketPair('stream');
    opened.add(left).add(right);
    const reader = vi.fn();
    const writer = vi.fn();
    watch(left, { readable: true }, reader);
    const writing = watch(left, { writable: true }, writer);
    await vi.waitFor(() => expect(writer).toHaveBeenCalled(), SOON);
    expect(reader).not.toHaveBeenCalled();
    writing.close();
    writeDescriptor(right, Buffer.of(1));
    await vi.waitFor(
      () =>
        expect(reader).toHaveBeenCalledWith({
          readable: true,
          hasData: true,
          writable: false,
          hangup: false,
        }),
      SOON,
    );
  });

  it('does not call a listener that another one closed', async () => {
    const [first, second] = [pipe(), pipe()];
    const called: string[] = [];
    const a = watch(first.read, { readable: true }, () => {
      called.push('a');
      a.close();
      b.close();
    });
    const b = watch(second.read, { readable: true }, () => {
      called.push('b');
      a.close();
      b.close();
    });
    writeDescriptor(first.write, Buffer.of(1));
    writeDescriptor(second.write, Buffer.of(1));
    await turn();
    expect(called).toHaveLength(1);
  });

  it('survives a descriptor that was closed before its watch and reused', async () => {
    const { old, again } = closedUnderItsWatch();
    const listener = vi.fn();
    watch(again.read, { readable: true }, listener);
    old.close();
    writeDescriptor(again.write, Buffer.of(1));
    await vi.waitFor(() => expect(listener).toHaveBeenCalled(), SOON);
  });

  it('does not tell the watch of a descriptor that was closed before it of the file that has its number', async () => {
    const { old, stale, again } = closedUnderItsWatch();
    const listener = vi.fn();
    const made = watch(again.read, { readable: true }, listener);
    writeDescriptor(again.write, Buffer.of(1));
    await vi.waitFor(() => expect(listener).toHaveBeenCalled(), SOON);
    old.update({ writable: true });
    old.update({ readable: true });
    await turn();
    expect(stale).not.toHaveBeenCalled();
    made.close();
    old.close();
  });

  it('an update does not move a watch to the file that has the number of its own', async () => {
    const { old, stale, again } = closedUnderItsWatch();
    writeDescriptor(again.write, Buffer.of(1));
    old.update({ readable: true, writable: true });
    const listener = vi.fn();
    watch(again.read, { readable: true }, listener);
    await vi.waitFor(() => expect(listener).toHaveBeenCalled(), SOON);
    expect(stale).not.toHaveBeenCalled();
    old.close();
  });

  it.each([
    ['ENOSPC', 28],
    ['ENOMEM', 12],
  ])('guesses where the kernel has no room for a watch (%s), until it has', async (_name, errno) => {
    const adding = vi.spyOn(native(), 'warden_epoll_add').mockReturnValue(-errno);
    try {
      const ends = pipe();
      const events: PollReady[] = [];
      const made = watch(ends.read, { readable: true }, (ready) => events.push(ready));
      await vi.waitFor(() => expect(events.length).toBeGreaterThan(2), SOON); // again and again
      expect(events[0]).toEqual({
        readable: true,
        hasData: true,
        writable: false,
        hangup: true,
        isGuess: true,
      });
      made.update({});
      events.length = 0;
      await new Promise((resolve) => setTimeout(resolve, 150));
      expect(events).toEqual([]);
      made.update({ readable: true });
      await vi.waitFor(() => expect(events.length).toBeGreaterThan(0), SOON);
      adding.mockRestore();
      writeDescriptor(ends.write, Buffer.of(1));
      await vi.waitFor(
        () =>
          expect(events.at(-1)).toEqual({ readable: true, hasData: true, writable: false, hangup: false }),
        SOON,
      );
      readDescriptor(ends.read, Buffer.alloc(1));
      await turn();
      const count = events.length;
      await new Promise((resolve) => setTimeout(resolve, 150));
      expect(events.length).toBe(count);
    } finally {
      adding.mockRestore();
    }
  });

  it('serves hundreds at once', async () => {
    const all = Array.from({ length: 400 }, () => pipe());
    const seen = new Set<number>();
    for (const ends of all) {
      const made = watch(ends.read, { readable: true }, () => {
        seen.add(ends.read);
        made.close();
      });
    }
    for (const ends of all) writeDescriptor(ends.write, Buffer.of(1));
    await vi.waitFor(() => expect(seen.size).toBe(400), SOON);
  });

  it('refuses what cannot be polled and leaves nothing behind', async () => {
    const fd = openSync('/etc/passwd', 'r');
    opened.add(fd);
    expect(() => watchDescriptor(fd, { readable: true }, () => {})).toThrow(
      expect.objectContaining({ fields: { operation: 'epoll-add', object: `fd ${fd}`, errno: 'EPERM' } }),
    );
    expect(() => watchDescriptor(-1, { readable: true }, () => {})).toThrow(TypeError);
    expect(() => watchDescriptor(fd, { readable: true }, 1 as never)).toThrow(TypeError);
    expect(() => watchDescriptor(fd, undefined as never, () => {})).toThrow(TypeError);
  });
});

describe('the process', () => {
  const script = fileURLToPath(new URL('../test/watch-and-exit.mjs', import.meta.url));
  const run = promisify(execFile);
  // Node runs no TypeScript before 22: this part runs on the built package (`npm run build`).

  it.each([
    ['closed', ['closed', 'ready']],
    ['throwing', ['boom', 'other', 'ready', 'uncaught']],
    ['waiting', ['closed', 'ready']],
  ])('ends by itself: %s', async (mode, lines) => {
    const { stdout } = await run(process.execPath, [script, mode], { timeout: 25_000 });
    expect(stdout.trim().split('\n').sort()).toEqual(lines);
  });

  it('does what a listener has put off before it waits for anything else', async () => {
    const { stdout } = await run(process.execPath, [script, 'putting off'], { timeout: 25_000 });
    expect(stdout.trim().split('\n')).toEqual(['ready', 'closed', 'tick', 'promise', 'timer']);
  });
});
