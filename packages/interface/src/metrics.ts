/** Numbers of the whole daemon. (An extension.) */

/** How much of a pool is taken. */
export interface PoolUsage {
  readonly name: 'networks' | 'uids' | 'ports';
  readonly used: number;
  readonly limit: number;
}

/** Numbers at one moment. */
export interface WardenMetrics {
  readonly containers: number;
  /** Jobs that have not ended. */
  readonly jobs: number;
  readonly pools: readonly PoolUsage[];
  /** Since the daemon has started. */
  readonly totals: {
    readonly created: number;
    readonly destroyed: number;
    readonly exits: number;
    readonly outOfMemory: number;
  };
  /** Of the daemon. */
  readonly uptimeMs: number;
  /** Subscriptions to events. */
  readonly subscribers: number;
}
