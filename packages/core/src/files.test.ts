import type { FileAnswer, FileChannel } from '@warden/interface';
import { describe, expect, it, vi } from 'vitest';
import type { ManagedContainer } from './container.ts';
import type { Engine } from './engine.ts';
import { SessionFiles } from './files.ts';

/** A task that answers nothing and takes nothing, until it is closed. */
class SilentTask implements FileChannel {
  #close: () => void = () => {};
  readonly #closed = new Promise<void>((resolve) => {
    this.#close = resolve;
  });

  // biome-ignore lint/correctness/useYield: it has nothing to say
  async *answers(): AsyncGenerator<FileAnswer, void, undefined> {
    await this.#closed;
    throw new Error('it ended without a word');
  }
  send(): Promise<void> {
    return this.#closed;
  }
  finish(): Promise<void> {
    return this.#closed;
  }
  async close(): Promise<void> {
    this.#close();
  }
}

describe('whoever gives up while a file is opened has given up', () => {
  const file = '/tmp/file';
  it.each([
    ['a read', (files: SessionFiles, signal: AbortSignal) => files.read(file, { signal }).next()],
    ['a list', (files: SessionFiles, signal: AbortSignal) => files.list(file, { signal }).next()],
    ['a watch', (files: SessionFiles, signal: AbortSignal) => files.watch(file, { signal })],
    ['a write', (files: SessionFiles, signal: AbortSignal) => files.write(file, Buffer.of(1), { signal })],
  ])('%s', async (_what, begin) => {
    const leaving = new AbortController();
    const opened: FileChannel[] = [];
    const openFiles = async (): Promise<FileChannel> => {
      leaving.abort(new Error('enough'));
      const task = new SilentTask();
      opened.push(task);
      return task;
    };
    const fileTasks = new Set<FileChannel>();
    const container = {
      fileTasks,
      record: { isPaused: false },
      requireState: () => {},
      requireInit: () => ({ openFiles }),
      exclusive: (action: () => Promise<unknown>) => action(),
    } as unknown as ManagedContainer;
    const files = new SessionFiles({} as Engine, () => container);
    await expect(begin(files, leaving.signal)).rejects.toMatchObject({
      code: 'ABORTED',
      cause: { message: 'enough' },
    });
    expect([opened.length, fileTasks.size]).toEqual([1, 0]);
  });
});

/** Bytes that never come, and when somebody waits for them. */
function silence(): { readonly content: AsyncIterable<Uint8Array>; readonly waited: Promise<void> } {
  let began = (): void => {};
  const waited = new Promise<void>((resolve) => {
    began = resolve;
  });
  const content = {
    [Symbol.asyncIterator]: () => ({
      next: () => {
        began();
        return new Promise<never>(() => {});
      },
    }),
  };
  return { content, waited };
}

describe('a write whose content does not come', () => {
  const over = (channel: FileChannel): SessionFiles =>
    new SessionFiles(
      {} as Engine,
      () =>
        ({
          fileTasks: new Set(),
          record: { isPaused: false },
          requireState: () => {},
          requireInit: () => ({ openFiles: async () => channel }),
          exclusive: (action: () => Promise<unknown>) => action(),
        }) as unknown as ManagedContainer,
    );

  it('ends with its signal', async () => {
    const { content, waited } = silence();
    const leaving = new AbortController();
    const writing = over(new SilentTask()).write('/tmp/file', content, { signal: leaving.signal });
    await waited;
    leaving.abort();
    await expect(writing).rejects.toMatchObject({ code: 'ABORTED' });
  });

  it('fails as soon as the container says why', async () => {
    const { content, waited } = silence();
    const task = new SilentTask();
    const writing = over(task).writeTar('/tmp', content);
    await waited;
    await task.close();
    await expect(writing).rejects.toThrow('it ended without a word');
  });
});

describe('a task on files', () => {
  const MOST = 24;
  const tasks = new Set<FileChannel>();
  const over = (record: object = { isPaused: false }): SessionFiles =>
    new SessionFiles(
      {} as Engine,
      () =>
        ({
          handle: 'box',
          fileTasks: tasks,
          record,
          requireState: () => {},
          requireInit: () => ({ openFiles: async () => new SilentTask() }),
          exclusive: (action: () => Promise<unknown>) => action(),
        }) as unknown as ManagedContainer,
    );

  it('is refused for a path that is none, and a mode that only chmod gives', async () => {
    const files = over();
    for (const path of ['etc/passwd', '', './x', '/a\0b', `/${'x'.repeat(4_095)}`])
      await expect(files.stat(path), path.slice(0, 20)).rejects.toMatchObject({
        code: 'INVALID_SPEC',
        fields: { operation: 'stat', errno: 'EINVAL' },
      });
    for (const mode of [0o2000, 0o4755, -1, 0.5])
      await expect(files.write('/x', Buffer.of(1), { mode }), String(mode)).rejects.toMatchObject({
        code: 'INVALID_SPEC',
      });
    await expect(over({ isPaused: true }).stat('/x')).rejects.toMatchObject({ code: 'BAD_STATE' });
    expect(tasks.size).toBe(0);
  });

  it('is one of 24 at a time, and makes room when it ends', async () => {
    const leaving = new AbortController();
    const { signal } = leaving;
    const files = over();
    const waiting = Array.from({ length: MOST }, () => files.stat('/x', { signal }).catch(() => 'left'));
    await vi.waitFor(() => expect(tasks.size).toBe(MOST), 20_000);
    await expect(files.stat('/x')).rejects.toMatchObject({
      code: 'POOL_EXHAUSTED',
      fields: { used: MOST, limit: MOST },
    });
    leaving.abort();
    await Promise.all(waiting);
    expect(tasks.size).toBe(0);
  });
});
