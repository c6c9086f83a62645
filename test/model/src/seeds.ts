/** Histories that once failed, replayed each time. */
export const SEEDS: readonly {
  readonly seed: number;
  readonly steps: number;
  readonly path?: string;
  readonly replayPath?: string;
  readonly why: string;
}[] = [];
