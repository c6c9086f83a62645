/** Who gets a job's output while it is printed, besides those who wait for all of it. */
import type { WaitStatus } from '@warden/interface';
import type { StreamName } from './stream-name.ts';

/** Tells that a listener cannot keep up with a stream, or can again. */
export type OnPressure = (stream: StreamName, isPressing: boolean) => void;

/** A listener. Nothing it does ends or changes the job; it may only slow it down, by pressure. */
export interface OutputTap {
  write(stream: StreamName, chunk: Buffer): void;
  /** No output comes any more; what is known of the process comes by `exited`, which may reject. */
  end(exited: Promise<WaitStatus>): void;
  /** The daemon lets go of the job, which lives on. Idempotent. */
  detach(): void;
}
