// A disk that is still writing takes part in whatever is measured next.
import { setTimeout as delay } from 'node:timers/promises';
import { run } from './programs.mjs';

/** Milliseconds after which a disk that does not come to rest is not waited for. */
const PATIENCE = 30_000;

/** Waits until the disk has what was written to the file system of `directory`. */
export async function settle(directory) {
  const patience = new AbortController();
  await Promise.race([
    run('sync', ['--file-system', directory]),
    delay(PATIENCE, undefined, { signal: patience.signal }).catch(() => {}),
  ]);
  patience.abort();
}
