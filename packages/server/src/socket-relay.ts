/**
 * A connection as a way for output that does not pass through Node: whoever has the pipe puts frames into the
 * socket himself, behind what was written before.
 */
import type { Socket } from 'node:net';
import { type OutputRelay, type PieceFrame, WardenError } from '@warden/interface';
import { outputFrame } from '@warden/protocol';
import { descriptorOf } from './peer.ts';

/** Of output in one frame: what the original read at a time. */
const PIECE_BYTES = 65_536;

const FRAMES: Readonly<Record<'stdout' | 'stderr', PieceFrame>> = {
  stdout: { ...outputFrame('stdout', PIECE_BYTES), size: PIECE_BYTES },
  stderr: { ...outputFrame('stderr', PIECE_BYTES), size: PIECE_BYTES },
};

/** `undefined`: this socket has no descriptor to be had. */
export function socketRelay(socket: Socket): OutputRelay | undefined {
  if (descriptorOf(socket) === undefined) return undefined;
  return {
    get socket() {
      const descriptor = isOver(socket) ? undefined : descriptorOf(socket);
      if (descriptor !== undefined) return descriptor;
      throw new WardenError('UNAVAILABLE', 'the client is gone', { fields: { operation: 'send' } });
    },
    frame: (stream) => FRAMES[stream],
    ready: () => flushed(socket),
  };
}

/** Whether nothing more may go into it. */
function isOver(socket: Socket): boolean {
  return socket.destroyed || socket.writableEnded;
}

/**
 * Resolves when nothing waits in Node, or nothing may be put behind it any more: a write behind the end would
 * destroy the socket, with all that waits.
 */
async function flushed(socket: Socket): Promise<void> {
  if (socket.writableLength === 0 || isOver(socket)) return;
  await new Promise<void>((resolve) => {
    socket.write('', () => resolve());
  });
}
