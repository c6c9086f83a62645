/** Servers for whoever watches the daemon: a connection brings one question, gets one answer, and ends. */
import net from 'node:net';

const MAX_CONNECTIONS = 64;
/** For who has the answer and sends on: a connection that is closed meanwhile would take it away again. */
const LINGER_MS = 1_000;

/** One that does not listen yet, and what ends it with all its connections. `allowHalfOpen`: see `net.createServer`. */
export function briefServer(
  serve: (socket: net.Socket) => void,
  options: { readonly allowHalfOpen?: boolean } = {},
): { readonly server: net.Server; close(): Promise<void> } {
  const open = new Set<net.Socket>();
  const server = net.createServer(options, (socket) => {
    open.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => open.delete(socket));
    serve(socket);
  });
  server.maxConnections = MAX_CONNECTIONS;
  const close = async (): Promise<void> => {
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of open) socket.destroy();
    await closed;
  };
  return { server, close };
}

/** The last that is said. `onSent`: called when the kernel has it; from then on the peer has a moment to read it. */
export function endWith(socket: net.Socket, answer: string | Buffer, onSent: () => void = () => {}): void {
  socket.end(answer, () => {
    onSent();
    const timer = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.once('close', () => clearTimeout(timer));
  });
}
