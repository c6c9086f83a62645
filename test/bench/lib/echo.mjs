// Two Node programs and a unix socket: nine bytes there, the same nine back, as many as a ping has, and
// nothing done with them. What a request to a daemon in Node costs at least here, which is above all the
// kernel's waking one program and then the other.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { fileURLToPath } from 'node:url';

const SERVER = fileURLToPath(new URL('echo-server.mjs', import.meta.url));
const MESSAGE = Buffer.from('123456789');

/** Starts the other program, which listens at `path`; `ask` settles when an answer has come. */
export async function startEcho(path) {
  const child = spawn(process.execPath, [SERVER, path], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  const socket = net.connect(path);
  await once(socket, 'connect');
  let answered = () => {};
  socket.on('data', () => answered());
  return {
    pid: child.pid,
    ask: () =>
      new Promise((resolve) => {
        answered = resolve;
        socket.write(MESSAGE);
      }),
    stop: async () => {
      socket.destroy();
      const gone = once(child, 'exit');
      child.kill();
      await gone;
    },
  };
}
