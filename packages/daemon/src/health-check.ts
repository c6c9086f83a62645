/** The health-check listener of spec behaviour.md 12: whatever arrives is answered with status 200 and an empty body. */

import { once } from 'node:events';
import net from 'node:net';
import { WardenError } from '@warden/interface';

const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n';
/** A peer that says nothing must not hold a descriptor for ever. */
const IDLE_MS = 10_000;
/** Nor one that has been answered and goes on talking. */
const LINGER_MS = 1_000;

/** Listens on 127.0.0.1 and answers the function that ends it. Errors: `ALREADY_EXISTS` when the port is taken. */
export async function listenForHealthChecks(port: number): Promise<() => Promise<void>> {
  const open = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    open.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => open.delete(socket));
    socket.setTimeout(IDLE_MS, () => socket.destroy());
    socket.once('data', () => {
      // not at once: what it sends on meanwhile would take the answer away from it
      socket.end(ANSWER, () => {
        const timer = setTimeout(() => socket.destroy(), LINGER_MS);
        socket.once('close', () => clearTimeout(timer));
      });
    });
  });
  server.maxConnections = 64;
  server.listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch (cause) {
    throw new WardenError(
      'ALREADY_EXISTS',
      `the health-check port 127.0.0.1:${port} cannot be used: ${(cause as Error).message}`,
      {
        cause,
        fields: {
          operation: 'listen for health checks',
          object: `127.0.0.1:${port}`,
          errno: (cause as NodeJS.ErrnoException).code,
        },
      },
    );
  }
  return async () => {
    for (const socket of open) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
}
