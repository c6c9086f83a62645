import v8 from 'node:v8';
import vm from 'node:vm';
import { describe, expect, it } from 'vitest';
import { abortWith } from './shared-abort.ts';

v8.setFlagsFromString('--expose-gc');
const collect = vm.runInNewContext('gc') as () => void;

describe('what is aborted with a signal', () => {
  it('is so for the same reason, also when the signal was aborted before, and not once it is forgotten', () => {
    const [first, second, third] = [new AbortController(), new AbortController(), new AbortController()];
    const cause = new AbortController();
    abortWith(first, cause.signal);
    abortWith(second, cause.signal)();
    cause.abort('why');
    abortWith(third, cause.signal);
    expect([first, third].map(({ signal }) => signal.reason)).toEqual(['why', 'why']);
    expect(second.signal.aborted).toBe(false);
    abortWith(second, undefined)();
    expect(second.signal.aborted).toBe(false);
  });

  it('is not kept by one that lives on', async () => {
    const cause = new AbortController();
    const references = Array.from({ length: 10 }, () => {
      const controller = new AbortController();
      abortWith(controller, cause.signal)();
      return new WeakRef(controller);
    });
    await new Promise((resolve) => setTimeout(resolve)); // a reference may be looked at until its turn ends
    collect();
    expect(references.filter((one) => one.deref() !== undefined)).toEqual([]);
    expect(cause.signal.aborted).toBe(false);
  });
});
