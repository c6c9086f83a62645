/**
 * The health-check listener of spec behaviour.md 12: whatever arrives is answered with status 200 and an
 * empty body.
 */

import { once } from 'node:events';
import { WardenError } from '@warden/interface';
import { briefServer, endWith } from './brief-server.ts';

const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n';
/** A peer that says nothing must not hold a descriptor for ever. */
const IDLE_MS = 10_000;

/** Listens on 127.0.0.1 and answers the function that ends it. Errors: `ALREADY_EXISTS` when the port is taken. */
export async function listenForHealthChecks(port: number): Promise<() => Promise<void>> {
  const { server, close } = briefServer((socket) => {
    socket.setTimeout(IDLE_MS, () => socket.destroy());
    socket.once('data', () => endWith(socket, ANSWER));
  });
  server.listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch (cause) {
    throw new WardenError(
      'ALREADY_EXISTS',
      `the health-check port 127.0.0.1:${port} cannot be used: ${(cause as Error).message}; configure another health_check_server.port, or null for none`,
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
  return close;
}
