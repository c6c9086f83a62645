/**
 * One listener for each signal, however many wait by it: a program may well share a signal between hundreds
 * of calls, and beyond ten listeners Node warns of a leak.
 */

/** By the signal that has our one listener. */
const waiting = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Calls `listener`, which does not throw, when the signal is aborted, unless the function it answers was
 * called before. Of a signal that is aborted already, never.
 */
export function onAbort(signal: AbortSignal | undefined, listener: () => void): () => void {
  if (signal === undefined) return () => undefined;
  const listeners = waiting.get(signal) ?? listenTo(signal);
  // of its own, so that the same function can wait twice
  const call = (): void => listener();
  listeners.add(call);
  return () => {
    listeners.delete(call);
  };
}

/**
 * Aborts `controller` when `signal` is aborted, or was already, for the same reason, unless the function it
 * answers was called before. Node 20 keeps something of each `AbortSignal.any` for as long as its signals live.
 */
export function abortWith(controller: AbortController, signal: AbortSignal | undefined): () => void {
  if (signal?.aborted) controller.abort(signal.reason);
  return onAbort(signal, () => controller.abort(signal!.reason));
}

/** The listener stays as long as the signal: it holds nothing but the set, and coming and going costs more. */
function listenTo(signal: AbortSignal): Set<() => void> {
  const listeners = new Set<() => void>();
  waiting.set(signal, listeners);
  signal.addEventListener(
    'abort',
    () => {
      for (const call of [...listeners]) if (listeners.delete(call)) call();
    },
    { once: true },
  );
  return listeners;
}
