import type { FileAnswer, FileChannel } from '@warden/interface';
import { describe, expect, it } from 'vitest';
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
