/** How output gets from a job's pipe to whoever wants it without passing through those in between. */

/** What goes around each piece of output, and the bytes of one. None of the three is empty. */
export interface PieceFrame {
  readonly head: Uint8Array;
  readonly size: number;
  readonly tail: Uint8Array;
}

/** A descriptor of a process, and by what whoever opens it there knows that it is the one. */
export interface DescriptorPlace {
  readonly descriptor: number;
  readonly device: bigint;
  readonly inode: bigint;
}

/** Where whole pieces of a live job's output go. */
export interface OutputRelay {
  /** A socket, not blocking. */
  readonly socket: number;
  /** What goes around a piece of the stream. */
  frame(stream: 'stdout' | 'stderr'): PieceFrame;
  /** Resolves when nothing else is on its way into the socket. */
  ready(): Promise<void>;
}

/** Where a process of the same host that has the right to finds the pipes of a live job: below `/proc/<pid>/fd`. */
export interface OutputPipes {
  readonly pid: number;
  /** `undefined`: nothing comes any more. */
  readonly stdout: DescriptorPlace | undefined;
  readonly stderr: DescriptorPlace | undefined;
}
