import fs from 'node:fs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { PathLooks } from './path-looks.ts';

describe('a look at a path', () => {
  it('tells what is there, and nothing where nothing can be', async () => {
    const looks = new PathLooks();
    expect((await looks.look('/'))?.isDirectory()).toBe(true);
    for (const path of [
      '/nowhere/at/all',
      '/with\0zero',
      `/${'x'.repeat(5_000)}`,
      Buffer.from('/\xff', 'latin1'),
    ])
      expect(await looks.look(path)).toBeUndefined();
  });

  it.each(['EIO', 'ENOMEM'])('fails with %s: nobody knows', async (code) => {
    const error = Object.assign(new Error('no'), { code });
    await expect(new PathLooks(() => Promise.reject(error)).look('/a')).rejects.toBe(error);
  });
});

describe('where a file system does not answer', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());
  const facts = fs.statSync('/');

  it('looks take two threads at most, whoever asks is told, and all is well when it answers again', async () => {
    const held: (() => void)[] = [];
    const asked: string[] = [];
    const stat = (path: string | Buffer): Promise<fs.Stats> => {
      asked.push(String(path));
      if (!String(path).startsWith('/hung')) return Promise.resolve(facts);
      return new Promise((resolve) => held.push(() => resolve(facts)));
    };
    const looks = new PathLooks(stat);
    const first = looks.look('/hung/1').catch((error: unknown) => error);
    expect(await looks.look('/a')).toBe(facts); // the second thread
    const others = ['/hung/2', '/hung/3', '/b'].map((path) =>
      looks.look(path).catch((error: unknown) => error),
    );
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await first).toMatchObject({ code: 'TIMEOUT', fields: { object: '/hung/1', errno: 'ETIMEDOUT' } });
    for (const other of others) expect(await other).toMatchObject({ code: 'TIMEOUT' });
    expect(asked).toEqual(['/hung/1', '/a', '/hung/2']);
    for (const answer of held) answer();
    await vi.advanceTimersByTimeAsync(0);
    expect(await Promise.all(['/c', '/d', '/e'].map((path) => looks.look(path)))).toEqual([
      facts,
      facts,
      facts,
    ]);
    expect(asked).toEqual(['/hung/1', '/a', '/hung/2', '/c', '/d', '/e']); // nobody waits for those any more
    expect(vi.getTimerCount()).toBe(0);
  });
});
