// See echo.mjs. Says on its standard output that it listens at the path that it was given.
import net from 'node:net';

const server = net.createServer((socket) => {
  socket.on('data', (bytes) => socket.write(bytes));
  socket.on('error', () => {});
});
server.listen(process.argv[2], () => process.stdout.write('ready\n'));
