import { closeDescriptor, setNonBlocking } from './descriptors.ts';
import { receiveMessage } from './sockets.ts';
import { type PollWatch, watchDescriptor } from './watch.ts';

/**
 * The one message that comes by `socket` (SOCK_SEQPACKET), of at most `size` bytes; `undefined`: it ended or
 * broke without one, or cannot be listened to. Owns the socket, and never rejects.
 */
export function receiveOnlyMessage(socket: number, size: number): Promise<Buffer | undefined> {
  const packet = Buffer.alloc(size);
  return new Promise((resolve) => {
    let watch: PollWatch | undefined;
    const settle = (message?: Buffer): void => {
      watch?.close();
      closeDescriptor(socket);
      resolve(message);
    };
    const orSettle = (action: () => void): void => {
      try {
        action();
      } catch {
        settle();
      }
    };
    orSettle(() => {
      setNonBlocking(socket);
      watch = watchDescriptor(socket, { readable: true }, () =>
        orSettle(() => {
          const received = receiveMessage(socket, packet);
          if (received === undefined) return;
          received.fds.forEach(closeDescriptor);
          settle(received.length > 0 ? packet.subarray(0, received.length) : undefined);
        }),
      );
    });
  });
}
