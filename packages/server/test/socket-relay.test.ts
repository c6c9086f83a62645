import { once } from 'node:events';
import net from 'node:net';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { socketRelay } from '../src/socket-relay.ts';
import { freshDirectory, pause } from './test-client.ts';

/** Of which the client reads nothing yet. */
async function connection(): Promise<{ socket: net.Socket; client: net.Socket }> {
  const place = path.join(freshDirectory(), 'relay.sock');
  const server = net.createServer({ allowHalfOpen: true }).listen(place);
  await once(server, 'listening');
  const connected = once(server, 'connection') as Promise<[net.Socket]>;
  const client = net.connect(place).pause();
  const [socket] = await connected;
  onTestFinished(() => {
    client.destroy();
    socket.destroy();
    server.close();
  });
  return { socket, client };
}

describe('the way past Node', () => {
  it('is free when nothing waits in Node any more, or the socket is gone', async () => {
    const { socket, client } = await connection();
    const relay = socketRelay(socket)!;
    await relay.ready();
    // more than the kernel takes, in front of what is to come
    socket.write(new Uint8Array(8 * 1024 * 1024));
    let isReady = false;
    const ready = relay.ready().then(() => {
      isReady = true;
    });
    await pause(100);
    expect([isReady, socket.writableLength > 0]).toEqual([false, true]);
    client.resume();
    await ready;
    expect(socket.writableLength).toBe(0);
    socket.destroy();
    await relay.ready();
    expect(() => relay.socket).toThrow(expect.objectContaining({ code: 'UNAVAILABLE' }));
  });

  it('harms nothing that was written before the end', async () => {
    const { socket, client } = await connection();
    socket.on('error', () => {});
    const SIZE = 8 * 1024 * 1024;
    socket.write(new Uint8Array(SIZE));
    socket.end();
    const relay = socketRelay(socket)!;
    // a stream that is ended by the same asks once more
    await relay.ready();
    expect(() => relay.socket).toThrow(expect.objectContaining({ code: 'UNAVAILABLE' }));
    let read = 0;
    client.on('data', (chunk) => {
      read += chunk.length;
    });
    client.resume();
    await once(client, 'end');
    expect(read).toBe(SIZE);
  });
});
