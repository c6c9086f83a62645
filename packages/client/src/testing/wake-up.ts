/** A wait that leaves nothing behind on a signal which many share. */
import { onAbort } from '@warden/interface';

/** Resolves when the callback that `arm` gets is called, or the signal is aborted. */
export function wakeUp(signal: AbortSignal | undefined, arm: (wake: () => void) => void): Promise<void> {
  return new Promise((resolve) => {
    const leave = onAbort(signal, resolve);
    arm(() => {
      leave();
      resolve();
    });
    if (signal?.aborted) resolve();
  });
}
