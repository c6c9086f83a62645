import { onAbort } from './shared-abort.ts';

/**
 * What `source` yields until `signal` is aborted, which ends also a step that waits for what may never come: a
 * loop over it ends quietly then, and looks at the signal. The source is asked to end, and not waited for.
 */
export async function* untilAborted<T>(
  source: AsyncIterable<T> | Iterable<T>,
  signal: AbortSignal | undefined,
): AsyncGenerator<T, void, undefined> {
  if (signal === undefined) {
    yield* source;
    return;
  }
  const steps = stepsOf(source);
  let stop = (): void => {};
  const forget = onAbort(signal, () => stop());
  try {
    while (!signal.aborted) {
      const step = await new Promise<IteratorResult<T, void> | undefined>((resolve, reject) => {
        stop = () => resolve(undefined);
        steps.next().then(resolve, reject);
      });
      if (step === undefined || step.done === true) return;
      yield step.value;
    }
  } finally {
    forget();
    const closing = steps.return();
    if (signal.aborted) closing.catch(() => {});
    else await closing;
  }
}

async function* stepsOf<T>(source: AsyncIterable<T> | Iterable<T>): AsyncGenerator<T, void, undefined> {
  yield* source;
}
