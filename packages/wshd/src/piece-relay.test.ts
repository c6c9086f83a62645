import {
  closeDescriptor,
  growPipe,
  makePipe,
  makeSocketPair,
  readDescriptor,
  setNonBlocking,
  writeDescriptor,
} from '@warden/native';
import { expect, it } from 'vitest';
import { relayPieces } from './piece-relay.ts';

const PIECE = 65_536;
const FRAME = { head: Buffer.from('<'), size: PIECE, tail: Buffer.from('>') };

/** A pipe with many pieces, and a client that reads nothing by itself. */
function ends(): { pipe: number; socket: number; received: () => number; close: () => void } {
  const pipe = makePipe();
  growPipe(pipe.write, 16 * PIECE);
  writeDescriptor(pipe.write, Buffer.alloc(16 * PIECE, 'x'));
  const [socket, reader] = makeSocketPair('stream');
  setNonBlocking(socket);
  setNonBlocking(reader);
  return {
    pipe: pipe.read,
    socket,
    received: () => {
      let total = 0;
      const buffer = Buffer.alloc(PIECE);
      for (let length = 1; length > 0; total += Math.max(0, length)) length = readDescriptor(reader, buffer);
      return total;
    },
    close: () => {
      for (const fd of [pipe.read, pipe.write, socket, reader]) closeDescriptor(fd);
    },
  };
}

it('says so when it is given up in the middle of a piece', async () => {
  const { pipe, socket, received, close } = ends();
  const leaving = new AbortController();
  const relaying = relayPieces({
    ...{ pipe, socket, frame: FRAME, signal: leaving.signal },
    isWanted: () => true,
  });
  leaving.abort();
  await expect(relaying).rejects.toMatchObject({ code: 'UNAVAILABLE', fields: { operation: 'relay' } });
  expect(received() % (PIECE + 2)).not.toBe(0);
  close();
});

it('ends with a whole piece when it is given up before one begins', async () => {
  const { pipe, socket, received, close } = ends();
  const moved = await relayPieces({
    ...{ pipe, socket, frame: FRAME, signal: AbortSignal.abort() },
    isWanted: () => true,
  });
  expect([moved, received()]).toEqual([0, 0]);
  close();
});
