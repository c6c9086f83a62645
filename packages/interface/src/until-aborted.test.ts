import { describe, expect, it, vi } from 'vitest';
import { untilAborted } from './until-aborted.ts';

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const one of source) found.push(one);
  return found;
}

describe('what is yielded until a signal', () => {
  it.each([
    ['without one', undefined],
    ['with one that is not aborted', new AbortController().signal],
  ])('is all of it, %s', async (_what, signal) => {
    expect(await collect(untilAborted([1, 2], signal))).toEqual([1, 2]);
    const failing = async function* () {
      yield 1;
      throw new Error('no more');
    };
    await expect(collect(untilAborted(failing(), signal))).rejects.toThrow('no more');
  });

  it('ends in the middle of a step', async () => {
    const leaving = new AbortController();
    const { signal } = leaving;
    let began = (): void => {};
    const waiting = new Promise<void>((resolve) => {
      began = resolve;
    });
    const endless = async function* () {
      yield 1;
      began();
      await new Promise(() => {});
    };
    const found = collect(untilAborted(endless(), signal));
    await waiting;
    leaving.abort();
    expect(await found).toEqual([1]);
    expect(await collect(untilAborted([1], signal))).toEqual([]);
  });

  it('is asked to end by whoever leaves the loop', async () => {
    const ended = vi.fn();
    const endless = async function* () {
      try {
        for (;;) yield 1;
      } finally {
        ended();
      }
    };
    for await (const _ of untilAborted(endless(), new AbortController().signal)) break;
    expect(ended).toHaveBeenCalledTimes(1);
  });
});
