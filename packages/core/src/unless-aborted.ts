import { onAbort } from '@warden/interface';

/**
 * As `value`, unless `signal` is aborted before: then it rejects with what `givenUp` makes of the signal's
 * reason. For what settles soon: until then `value` keeps whoever has given up.
 */
export function unlessAborted<T>(
  value: Promise<T>,
  signal: AbortSignal | undefined,
  givenUp: (reason: unknown) => Error,
): Promise<T> {
  if (signal === undefined) return value;
  return new Promise((resolve, reject) => {
    const giveUp = (): void => reject(givenUp(signal.reason));
    const forget = onAbort(signal, giveUp);
    if (signal.aborted) giveUp();
    value.then(resolve, reject).finally(forget);
  });
}
