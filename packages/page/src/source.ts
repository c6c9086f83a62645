/** What the page is told by the daemon. */
import type { Onlooker } from '@warden/interface';

/** How the daemon stands, in numbers that cost a look at each container. */
export interface Numbers {
  readonly containers: Readonly<Record<'active' | 'stopped' | 'destroying', number>>;
  readonly prepared: number;
  readonly jobs: number;
  readonly pools: Readonly<Record<string, { readonly used: number; readonly limit: number }>>;
  readonly totals: {
    readonly created: number;
    readonly destroyed: number;
    readonly jobsStarted: number;
    readonly outOfMemoryKills: number;
  };
}

/** See the file's head. What is not there yet while a daemon starts is `undefined`. */
export interface PageSource {
  readonly version: string;
  phase(): 'starting' | 'ready' | 'draining';
  numbers(): Numbers | undefined;
  onlooker(): Onlooker | undefined;
}
