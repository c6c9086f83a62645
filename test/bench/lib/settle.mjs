// What was left to be done takes part in whatever is measured next.
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

/**
 * Milliseconds after which what was destroyed is taken down (namespaces, files, memory groups), which goes on
 * behind the answers.
 */
const REST = 2_000;

/** Waits before requests that take less time than anything that still goes on would take from them. */
export async function rest() {
  await delay(REST);
}
