import v8 from 'node:v8';
import vm from 'node:vm';
import { describe, expect, it } from 'vitest';
import { unlessAborted } from './unless-aborted.ts';

v8.setFlagsFromString('--expose-gc');
const collect = vm.runInNewContext('gc') as () => void;

describe('what is awaited until a signal', () => {
  const never = new Promise<undefined>(() => {});

  it('is the value, its error, or nothing when the signal comes first', async () => {
    const left = new AbortController();
    expect(await unlessAborted(Promise.resolve(1), left.signal)).toBe(1);
    await expect(unlessAborted(Promise.reject(new Error('no')), left.signal)).rejects.toThrow('no');
    const waiting = unlessAborted(never, left.signal);
    left.abort();
    expect(await waiting).toBeUndefined();
    expect(await unlessAborted(never, left.signal)).toBeUndefined();
    // nobody awaits it any more
    expect(await unlessAborted(Promise.reject(new Error('late')), left.signal)).toBeUndefined();
  });

  it('is not kept by a signal that lives on', async () => {
    const left = new AbortController();
    const references = await Promise.all(
      Array.from({ length: 10 }, async () => {
        const value = { large: new Array(1_000).fill(0) };
        await unlessAborted(Promise.resolve(value), left.signal);
        return new WeakRef(value);
      }),
    );
    await new Promise((resolve) => setTimeout(resolve)); // a reference may be looked at until its turn ends
    collect();
    expect(references.filter((one) => one.deref() !== undefined)).toEqual([]);
    expect(left.signal.aborted).toBe(false);
  });
});
