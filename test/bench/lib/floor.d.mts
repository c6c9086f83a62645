/**
 * A running floor program. Every answer is what it measured itself: microseconds, cycles per second, or
 * gigabytes per second.
 */
export interface Floor {
  readonly groups: number;
  nextNumber(): number;
  ask(...words: readonly (string | number)[]): Promise<number>;
  cycles(creators: number, seconds: number): Promise<number>;
  stop(): Promise<void>;
}

export function startFloor(options: {
  readonly directory: string;
  readonly rootfs: string;
  readonly cache: string;
  readonly enter?: (command: readonly string[]) => string[];
}): Promise<Floor>;
