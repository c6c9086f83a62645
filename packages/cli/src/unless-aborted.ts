import { onAbort } from '@warden/interface';

/**
 * What `value` resolves with, or `undefined` as soon as `signal` is aborted. Not by `Promise.race` with a
 * promise of that: one that lives long would keep every value that it ever lost to.
 */
export function unlessAborted<T>(value: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const leave = (): void => resolve(undefined);
    const forget = onAbort(signal, leave);
    if (signal.aborted) leave();
    value.then(resolve, reject).finally(forget);
  });
}
