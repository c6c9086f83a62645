/** What the page is told by the daemon. */
import type { Onlooker } from '@warden/interface';
import type { Numbers } from './wire.ts';

/** See the file's head. What is not there yet while a daemon starts is `undefined`. */
export interface PageSource {
  readonly version: string;
  phase(): 'starting' | 'ready' | 'draining';
  numbers(): Numbers | undefined;
  onlooker(): Onlooker | undefined;
}
