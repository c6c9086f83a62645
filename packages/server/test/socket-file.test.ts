import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { isWardenError, type Logger, silentLogger } from '@warden/interface';
import { MessageType } from '@warden/protocol';
import { describe, expect, it, vi } from 'vitest';
import { requireSocketPlace, wardenServer } from '../src/index.ts';
import { ProgrammableHost } from './programmable-host.ts';
import { freshDirectory, pause, startServer, TestClient, until } from './test-client.ts';

const host = new ProgrammableHost({ warden: { ping: async () => {} } });

async function listenError(socketPath: string): Promise<{ code: string; message: string }> {
  const server = wardenServer({ host, path: socketPath });
  try {
    await server.listen();
  } catch (error) {
    if (!isWardenError(error)) throw error;
    return { code: error.code, message: error.message };
  } finally {
    await server.close();
  }
  throw new Error('it listens');
}

/** Leaves a socket file behind on which nobody listens, as a killed daemon does. */
async function staleSocket(socketPath: string): Promise<void> {
  const server = net.createServer().listen(`${socketPath}.bound`);
  await once(server, 'listening');
  fs.renameSync(`${socketPath}.bound`, socketPath);
  server.close();
  await once(server, 'close');
  expect(fs.lstatSync(socketPath).isSocket()).toBe(true);
}

describe('the socket file', () => {
  it.each([
    [undefined, 0o660],
    [0o600, 0o600],
    [0o777, 0o777],
    [0, 0],
  ])('has mode %s whatever the umask', async (mode, expected) => {
    const umask = process.umask(0o077);
    try {
      const { path: socketPath } = await startServer(host, mode === undefined ? {} : { mode });
      expect(fs.lstatSync(socketPath).mode & 0o7777).toBe(expected);
      expect(fs.readdirSync(path.dirname(socketPath))).toEqual([path.basename(socketPath)]);
    } finally {
      process.umask(umask);
    }
  });

  it('is born closed to everybody else, whatever the umask: the kernel makes it so, no later change [SECURITY P27]', async () => {
    const directory = freshDirectory();
    const listen = vi.spyOn(net.Server.prototype, 'listen');
    const born: { mode: number; umask: number; names: string[] }[] = [];
    listen.mockImplementation(function (this: net.Server, ...args: unknown[]) {
      const umask = process.umask();
      listen.mockRestore();
      const result = Reflect.apply(this.listen, this, args) as net.Server;
      // bind(2) has happened, nothing else has
      const names = fs.readdirSync(directory);
      const mode = fs.lstatSync(path.join(directory, names[0]!)).mode & 0o7777;
      born.push({ mode, umask, names });
      return result;
    });
    const umask = process.umask(0);
    try {
      await startServer(host, { path: path.join(directory, 'warden.sock'), mode: 0o666 });
    } finally {
      process.umask(umask);
      vi.restoreAllMocks();
    }
    expect(born).toEqual([{ mode: 0o600, umask: 0o177, names: [expect.stringMatching(/^\.w[0-9a-f]{6}$/)] }]);
    expect(fs.lstatSync(path.join(directory, 'warden.sock')).mode & 0o7777).toBe(0o666);
  });

  it('never shows another mode than the right one under its name, to whoever looks all the time [SECURITY P27]', async () => {
    const directory = freshDirectory();
    const met = new Int32Array(new SharedArrayBuffer(4));
    const watcher = new Worker(
      `const fs = require('node:fs'), { parentPort, workerData: { directory, met } } = require('node:worker_threads');
       const seen = {}; let isOver = false; parentPort.on('message', () => { isOver = true; });
       const look = () => {
         for (let n = 0; n < 200; n++) for (const name of fs.readdirSync(directory)) {
           const facts = fs.lstatSync(directory + '/' + name, { throwIfNoEntry: false });
           if (facts) (seen[name] ??= {})[(facts.mode & 0o7777).toString(8)] = true;
           if (facts && name === 'warden.sock') Atomics.store(met, 0, 1);
         }
         if (isOver) { parentPort.postMessage(seen); parentPort.close(); } else setImmediate(look);
       };
       parentPort.postMessage('ready'); look();`,
      { eval: true, workerData: { directory, met } },
    );
    await once(watcher, 'message');
    const umask = process.umask(0);
    try {
      // on a busy machine the one who looks may be away for long
      for (let n = 0; n < 60 || (Atomics.load(met, 0) === 0 && n < 10_000); n++) {
        const server = wardenServer({ host, path: path.join(directory, 'warden.sock'), mode: 0o640 });
        await server.listen();
        await server.close();
      }
    } finally {
      process.umask(umask);
    }
    watcher.postMessage('end');
    const [seen] = (await once(watcher, 'message')) as [Record<string, Record<string, boolean>>];
    const { 'warden.sock': final = {}, ...others } = seen;
    expect(Object.keys(final)).toEqual(['640']);
    // The name before it lives too shortly to be met each time.
    for (const modes of Object.values(others))
      expect(['600', '640']).toEqual(expect.arrayContaining(Object.keys(modes)));
  }, 60_000);

  it('is refused while a daemon listens on it, which goes on', async () => {
    const { path: socketPath } = await startServer(host);
    const { code, message } = await listenError(socketPath);
    expect(code).toBe('ALREADY_EXISTS');
    expect(message).toContain(`the socket ${socketPath} is in use by a running daemon; `);
    expect((await (await TestClient.connect(socketPath)).ask(MessageType.Ping)).type).toBe(MessageType.Ping);
  });

  it('is not taken from a daemon that is too busy to be tried', async () => {
    const socketPath = path.join(freshDirectory(), 'warden.sock');
    const busy = net.createServer().listen({ path: socketPath, backlog: 1 });
    const inode = fs.lstatSync(socketPath).ino;
    // before it accepts anybody: those who connect now fill its queue, and the kernel turns the next one away
    const others = Array.from({ length: 4 }, () => net.connect(socketPath).on('error', () => {}));
    try {
      expect(await listenError(socketPath)).toEqual({
        code: 'ALREADY_EXISTS',
        message: expect.stringMatching(/^the socket .*warden\.sock cannot be tried: .*EAGAIN/),
      });
      expect(fs.lstatSync(socketPath).ino).toBe(inode);
    } finally {
      for (const other of others) other.destroy();
      busy.close();
    }
  });

  it('replaces one that a dead daemon left', async () => {
    const socketPath = path.join(freshDirectory(), 'warden.sock');
    await staleSocket(socketPath);
    await startServer(host, { path: socketPath });
    expect((await (await TestClient.connect(socketPath)).ask(MessageType.Ping)).type).toBe(MessageType.Ping);
  });

  it.each(['file', 'directory', 'dangling link'])('never deletes a %s', async (kind) => {
    const socketPath = path.join(freshDirectory(), 'warden.sock');
    if (kind === 'file') fs.writeFileSync(socketPath, 'precious');
    else if (kind === 'directory') fs.mkdirSync(socketPath);
    else fs.symlinkSync('nowhere', socketPath);
    const before = fs.lstatSync(socketPath);
    const { code, message } = await listenError(socketPath);
    expect(code).toBe('ALREADY_EXISTS');
    expect(message).toContain(`${socketPath} exists and is no socket; `);
    expect(fs.lstatSync(socketPath).ino).toBe(before.ino);
  });

  it('says what to do about a path without a directory, by the name of its setting', () => {
    const nowhere = path.join(freshDirectory(), 'missing/warden.sock');
    expect(() => requireSocketPlace(nowhere, 'monitoring.socket')).toThrow(
      `cannot listen on ${nowhere}: its directory is missing (ENOENT); make ${path.dirname(nowhere)} or configure another monitoring.socket`,
    );
  });

  it('touches no other file of the directory', async () => {
    const socketPath = path.join(freshDirectory(), 'warden.sock');
    fs.writeFileSync(`${socketPath}.new`, 'precious');
    const { server } = await startServer(host, { path: socketPath });
    await server.close();
    expect(fs.readFileSync(`${socketPath}.new`, 'utf8')).toBe('precious');
  });

  it('refuses a path that no socket address holds, naming it', async () => {
    const directory = freshDirectory();
    const socketPath = path.join(directory, 'x'.repeat(107 - directory.length));
    expect(Buffer.byteLength(socketPath)).toBe(108);
    const { code, message } = await listenError(socketPath);
    expect(code).toBe('INVALID_SPEC');
    expect(message).toContain(socketPath);
  });

  it('takes the longest path that a socket address holds', async () => {
    const directory = freshDirectory();
    const socketPath = path.join(directory, 'x'.repeat(106 - directory.length));
    expect(Buffer.byteLength(socketPath)).toBe(107);
    await startServer(host, { path: socketPath });
    expect((await (await TestClient.connect(socketPath)).ask(MessageType.Ping)).type).toBe(MessageType.Ping);
  });

  it('fails with the reason when the directory is missing', async () => {
    const { code, message } = await listenError(path.join(freshDirectory(), 'missing', 'warden.sock'));
    expect(code).toBe('NATIVE_FAILED');
    expect(message).toMatch(/ENOENT|EACCES/);
  });

  it('is removed on close, and leaves the directory empty', async () => {
    const { server, path: socketPath } = await startServer(host);
    await server.close();
    expect(fs.readdirSync(path.dirname(socketPath))).toEqual([]);
    await server.close();
  });

  it('stays when another daemon has taken the path meanwhile', async () => {
    const first = await startServer(host);
    fs.rmSync(first.path);
    await startServer(host, { path: first.path });
    await first.server.close();
    expect((await (await TestClient.connect(first.path)).ask(MessageType.Ping)).type).toBe(MessageType.Ping);
  });

  it('can be closed without having listened', async () => {
    const server = wardenServer({ host, path: path.join(freshDirectory(), 'warden.sock') });
    await server.close();
    await server.drain();
  });
});

describe('a socket that somebody removes', () => {
  const { Ping } = MessageType;
  const isThere = (socketPath: string) => (): boolean => fs.existsSync(socketPath);
  function recorder(): { logger: Logger; told: string[] } {
    const told: string[] = [];
    const logger: Logger = {
      ...silentLogger,
      warn: (event) => void told.push(event),
      error: (event) => void told.push(event),
    };
    return { logger, told };
  }

  it('is put back, with its mode; who was connected stays so, and an end removes it', async () => {
    const { logger, told } = recorder();
    const { server, path: socketPath } = await startServer(host, { logger, mode: 0o640 });
    const before = await TestClient.connect(socketPath);
    await before.ask(Ping);
    for (let round = 0; round < 2; round++) {
      fs.rmSync(socketPath);
      await until(isThere(socketPath), 'the socket is back');
      expect(fs.lstatSync(socketPath).mode & 0o7777).toBe(0o640);
      expect((await (await TestClient.connect(socketPath)).ask(Ping)).type).toBe(Ping);
    }
    expect((await before.ask(Ping)).type).toBe(Ping);
    expect(server.connectionCount).toBe(3);
    expect(told).toEqual(['socket-put-back', 'socket-put-back']);
    await server.close();
    expect(fs.readdirSync(path.dirname(socketPath))).toEqual([]);
  });

  it('is put back when its directory is there again, or what has its place is gone; that is said once', async () => {
    const { logger, told } = recorder();
    const directory = path.join(freshDirectory(), 'run');
    fs.mkdirSync(directory);
    const { path: socketPath } = await startServer(host, { logger, path: path.join(directory, 's') });
    fs.rmSync(directory, { recursive: true });
    await pause(2_500);
    fs.mkdirSync(directory);
    await until(isThere(socketPath), 'the socket is back');
    fs.rmSync(socketPath);
    fs.writeFileSync(socketPath, 'precious');
    await pause(2_500);
    expect(fs.readFileSync(socketPath, 'utf8')).toBe('precious');
    fs.rmSync(socketPath);
    await until(isThere(socketPath), 'the socket is back');
    expect((await (await TestClient.connect(socketPath)).ask(Ping)).type).toBe(Ping);
    expect(told).toEqual(['socket-not-put-back', 'socket-put-back', 'socket-taken', 'socket-put-back']);
  }, 30_000);

  it('that cannot be removed keeps no server from its end', async () => {
    const { logger, told } = recorder();
    const directory = path.join(freshDirectory(), 'run');
    fs.mkdirSync(directory);
    const { server, path: socketPath } = await startServer(host, { logger, path: path.join(directory, 's') });
    await TestClient.connect(socketPath);
    fs.renameSync(directory, `${directory}.aside`);
    fs.writeFileSync(directory, 'no directory');
    await server.close();
    expect([server.connectionCount, told]).toEqual([0, ['socket-not-removed']]);
  });

  it('stays away from a server that drains', async () => {
    const { server, path: socketPath } = await startServer(host);
    await server.drain();
    fs.rmSync(socketPath);
    await pause(1_500);
    expect(fs.existsSync(socketPath)).toBe(false);
  });
});
