/** The two streams that a job prints to. */
import type { OutputChunk } from '@warden/interface';

/** One of them. */
export type StreamName = OutputChunk['stream'];
/** Both, in the order of their descriptors. */
export const STREAMS: readonly StreamName[] = ['stdout', 'stderr'];
/** Something of each. */
export type PerStream<T> = Readonly<Record<StreamName, T>>;
