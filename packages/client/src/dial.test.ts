import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { dial } from './dial.ts';

/** Lets two wait in line (one more than its backlog), and takes nobody in until there is a file of the given name. */
const LISTENER = `
  const server = require('node:net').createServer();
  server.listen({ path: process.argv[1], backlog: 1 }, () => {
    process.stdout.write('listening', () => {
      const nobody = new Int32Array(new SharedArrayBuffer(4));
      while (!require('node:fs').existsSync(process.argv[2])) Atomics.wait(nobody, 0, 0, 10);
    });
  });
  process.stdin.on('end', () => process.exit()).resume();
`;

describe('dialling where others stand in line', () => {
  let directory: string;
  let socket: string;
  const waiting: net.Socket[] = [];
  beforeEach(() => {
    directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-dial-'));
    socket = path.join(directory, 'socket');
  });
  afterEach(() => {
    for (const one of waiting.splice(0)) one.destroy();
    fs.rmSync(directory, { recursive: true });
  });

  async function withFullLine(body: (takeIn: () => void) => Promise<void>): Promise<void> {
    const signal = path.join(directory, 'take-in');
    const listener = spawn(process.execPath, ['-e', LISTENER, socket, signal], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    try {
      await once(listener.stdout, 'data');
      for (let place = 0; place < 2; place++) {
        const one = net.connect(socket);
        waiting.push(one);
        await once(one, 'connect');
        one.on('error', () => {}); // of a listener that ends
      }
      const [refusal] = await once(net.connect(socket), 'error');
      expect(refusal).toMatchObject({ code: 'EAGAIN' });
      await body(() => fs.writeFileSync(signal, ''));
    } finally {
      const gone = once(listener, 'exit');
      listener.kill('SIGKILL');
      await gone;
    }
  }

  it('gets in when there is room', () =>
    withFullLine(async (takeIn) => {
      const dialled = dial({ path: socket, connectTimeoutMs: 60_000 });
      setTimeout(takeIn, 300); // by then it has been refused more than once
      const line = await dialled;
      line.socket.destroy();
    }));

  it('is connected in time although this program was busy until behind it', async () => {
    const server = net.createServer().listen(socket);
    await once(server, 'listening');
    // behind the turn's look for what has come, and before its timers
    await new Promise((resolve) => setImmediate(resolve));
    const dialled = dial({ path: socket, connectTimeoutMs: 50 });
    for (const until = performance.now() + 100; performance.now() < until; );
    const line = await dialled;
    line.socket.destroy();
    server.close();
  });

  it('gives up in time, or when it is told', () =>
    withFullLine(async () => {
      await expect(dial({ path: socket, connectTimeoutMs: 100 })).rejects.toMatchObject({ code: 'TIMEOUT' });
      const signal = AbortSignal.timeout(100);
      await expect(dial({ path: socket, signal })).rejects.toMatchObject({ code: 'ABORTED' });
    }));
});
