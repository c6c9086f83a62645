/**
 * Moves a job's output in whole pieces from its pipe into a client's socket: the kernel hands the pages on,
 * and nobody here looks at them.
 */
import { type PieceFrame, WardenError } from '@warden/interface';
import {
  closeDescriptor,
  duplicateDescriptor,
  growSendBuffer,
  movePieces,
  watchDescriptor,
} from '@warden/native';

/** Pieces between two looks at everything else there is to do: some 1 MiB, half a millisecond. */
const PIECES_PER_TURN = 16;
/**
 * What the socket of a client gets whose reading does not keep up: by default it holds three pieces, and the
 * kernel says only that there is room when it is almost empty, so that daemon and client would take turns.
 */
const SEND_BYTES = 524_288;

/** What to move. */
export interface PieceRelay {
  readonly pipe: number;
  readonly socket: number;
  readonly frame: PieceFrame;
  readonly signal: AbortSignal | undefined;
  /** Asked between pieces. */
  isWanted(): boolean;
}

/**
 * Answers how many were moved when the pipe holds less than a piece, when no more are wanted, or when
 * `signal` is aborted while the socket is full. Errors: the socket's; `UNAVAILABLE` of the operation `relay`
 * in the middle of a piece, behind which the socket is of no use: it broke, or the job has read its own
 * output away.
 */
export async function relayPieces(relay: PieceRelay): Promise<number> {
  // of its own: the owner may close his in the middle, and the number be another connection's a moment later
  const socket = duplicateDescriptor(relay.socket);
  const progress = new Uint32Array(2);
  try {
    return await move({ ...relay, socket }, progress);
  } catch (cause) {
    if (progress[0] === 0) throw cause;
    throw new WardenError('UNAVAILABLE', 'a piece of output was broken off', {
      cause,
      fields: { operation: 'relay' },
    });
  } finally {
    closeDescriptor(socket);
  }
}

async function move(
  { pipe, socket, frame, signal, isWanted }: PieceRelay,
  progress: Uint32Array,
): Promise<number> {
  let moved = 0;
  let isGrown = false;
  const isWhole = (): boolean => progress[0] === 0;
  while ((isWanted() || !isWhole()) && !(signal?.aborted === true && isWhole())) {
    const isFull = movePieces({ pipe, socket }, frame, progress, PIECES_PER_TURN);
    moved += progress[1]!;
    if (isFull) {
      if (signal?.aborted === true) {
        if (!isWhole()) throw signal.reason; // the caller says what that means
        break;
      }
      if (!isGrown) growSendBuffer(socket, SEND_BYTES);
      isGrown = true;
      await writable(socket, signal);
    } else if (progress[1]! < PIECES_PER_TURN) break;
    else await new Promise(setImmediate);
  }
  return moved;
}

/** Also when the other side is gone, which the next write tells. */
function writable(socket: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      watch.close();
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const watch = watchDescriptor(socket, { writable: true }, done);
    signal?.addEventListener('abort', done, { once: true });
  });
}
