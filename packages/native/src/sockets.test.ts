import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { closeDescriptor, makePipe, readDescriptor, writeDescriptor } from './descriptors.ts';
import {
  connectUnix,
  growSendBuffer,
  makeDatagramSocket,
  makeSocketPair,
  peerCredentials,
  receiveMessage,
  sendDatagram,
  sendMessage,
} from './sockets.ts';

function openCount(): number {
  return readdirSync('/proc/self/fd').length;
}
const errno = (name: string): unknown =>
  expect.objectContaining({ fields: expect.objectContaining({ errno: name }) });

describe('messages with descriptors', () => {
  let left: number;
  let right: number;
  let before: number;
  beforeEach(() => {
    before = openCount();
    [left, right] = makeSocketPair('seqpacket');
  });
  afterEach(() => {
    for (const fd of [left, right]) if (fd >= 0) closeDescriptor(fd);
    expect(openCount()).toBe(before);
  });

  it('keeps the borders of messages and answers undefined when there is none', () => {
    const buffer = Buffer.alloc(64);
    expect(receiveMessage(right, buffer)).toBeUndefined();
    expect(sendMessage(left, Buffer.from('one'))).toBe(true);
    expect(sendMessage(left, Buffer.from('three'))).toBe(true);
    expect(receiveMessage(right, buffer)).toEqual({ length: 3, fds: [] });
    expect(receiveMessage(right, buffer)).toEqual({ length: 5, fds: [] });
    expect(buffer.toString('latin1', 0, 5)).toBe('three');
  });

  it('passes descriptors that work', () => {
    const pipe = makePipe();
    expect(sendMessage(left, Buffer.of(7), [pipe.read, pipe.write])).toBe(true);
    closeDescriptor(pipe.read);
    closeDescriptor(pipe.write);
    const message = receiveMessage(right, Buffer.alloc(1))!;
    expect(message.length).toBe(1);
    const [read, write] = message.fds as [number, number];
    writeDescriptor(write, Buffer.from('x'));
    expect(readDescriptor(read, Buffer.alloc(4))).toBe(1);
    closeDescriptor(read);
    closeDescriptor(write);
  });

  it('passes as many as the kernel allows', () => {
    const many = Array.from({ length: 253 }, () => left);
    expect(sendMessage(left, Buffer.of(1), many)).toBe(true);
    const message = receiveMessage(right, Buffer.alloc(1))!;
    expect(message.fds).toHaveLength(253);
    for (const fd of message.fds) closeDescriptor(fd);
    expect(() => sendMessage(left, Buffer.of(1), [...many, left])).toThrow(TypeError);
  });

  it('refuses a message that does not fit and closes its descriptors', () => {
    expect(sendMessage(left, Buffer.alloc(100), [left])).toBe(true);
    const opened = openCount();
    expect(() => receiveMessage(right, Buffer.alloc(10))).toThrow(errno('EMSGSIZE'));
    expect(openCount()).toBe(opened);
  });

  it('answers false when the peer does not read', () => {
    let sent = 0;
    while (sendMessage(left, Buffer.alloc(1024))) sent++;
    expect(sent).toBeGreaterThan(10);
    expect(receiveMessage(right, Buffer.alloc(1024))).toEqual({ length: 1024, fds: [] });
  });

  it('holds more when its buffer was grown, and never less', () => {
    const fill = (): number => {
      let sent = 0;
      while (sendMessage(left, Buffer.alloc(16_384))) sent++;
      for (let at = 0; at < sent; at++) receiveMessage(right, Buffer.alloc(16_384));
      return sent;
    };
    const small = fill();
    growSendBuffer(left, 1_048_576);
    const grown = fill();
    expect(grown).toBeGreaterThan(2 * small);
    growSendBuffer(left, 4_096);
    expect(fill()).toBe(grown);
    expect(() => growSendBuffer(-1, 1)).toThrow(TypeError);
    expect(() => growSendBuffer(left, -1)).toThrow(TypeError);
    const ends = makePipe();
    expect(() => growSendBuffer(ends.read, 1)).toThrow(errno('ENOTSOCK'));
    closeDescriptor(ends.read);
    closeDescriptor(ends.write);
  });

  it('tells the end of the file and a gone peer', () => {
    closeDescriptor(left);
    left = -1;
    expect(receiveMessage(right, Buffer.alloc(1))).toEqual({ length: 0, fds: [] });
    expect(() => sendMessage(right, Buffer.of(1))).toThrow(errno('EPIPE'));
  });

  it('knows the peer', () => {
    expect(peerCredentials(left)).toEqual({
      pid: process.pid,
      uid: process.getuid!(),
      gid: process.getgid!(),
    });
  });

  it('treats wrong use as TypeError', () => {
    expect(() => sendMessage(left, new Uint8Array(0))).toThrow(TypeError);
    expect(() => sendMessage(left, Buffer.of(1), [-1])).toThrow(TypeError);
    expect(() => sendMessage(left, Buffer.of(1), 'fds' as never)).toThrow(TypeError);
    expect(() => receiveMessage(right, {} as never)).toThrow(TypeError);
    expect(() => makeSocketPair('datagram' as never)).toThrow(TypeError);
    expect(() => connectUnix('', 'stream')).toThrow(TypeError);
    expect(() => connectUnix('/a\0b', 'stream')).toThrow(TypeError);
    expect(() => connectUnix('x'.repeat(5000), 'stream')).toThrow(TypeError);
  });
});

describe('a partial stream message', () => {
  it('throws instead of losing the border', () => {
    const [left, right] = makeSocketPair('stream');
    expect(() => sendMessage(left, Buffer.alloc(16 * 1024 * 1024))).toThrow(errno('EMSGSIZE'));
    closeDescriptor(left);
    closeDescriptor(right);
  });
});

describe('connectUnix', () => {
  let directory: string;
  let server: Server | undefined;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'warden-native-'));
  });
  afterEach(async () => {
    await new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
    server = undefined;
    rmSync(directory, { recursive: true });
  });

  async function listen(path: string): Promise<void> {
    server = createServer((socket) => socket.end('hello'));
    await new Promise<void>((resolve) => server!.listen(path, resolve));
  }

  it('connects', async () => {
    const path = join(directory, 'socket');
    await listen(path);
    const fd = connectUnix(path, 'stream');
    expect(fd).toBeTypeOf('number');
    expect(peerCredentials(fd as number).pid).toBe(process.pid);
    closeDescriptor(fd as number);
  });

  it('connects to a path longer than a socket address', async () => {
    const deep = join(directory, 'd'.repeat(120), 'e'.repeat(120));
    mkdirSync(deep, { recursive: true });
    const cwd = process.cwd();
    process.chdir(deep); // Node itself cannot listen at such a path
    await listen('socket');
    process.chdir(cwd);
    const fd = connectUnix(join(deep, 'socket'), 'stream');
    expect(fd).toBeTypeOf('number');
    closeDescriptor(fd as number);
    expect(() => connectUnix(join(deep, 's'.repeat(100)), 'stream')).toThrow(errno('ENAMETOOLONG'));
    process.chdir(deep);
    await new Promise<void>((resolve) => server!.close(() => resolve())); // unlinks by the relative path
    server = undefined;
    process.chdir(cwd);
  });

  it('answers why nobody is there', async () => {
    const path = join(directory, 'socket');
    expect(connectUnix(path, 'seqpacket')).toBe('ENOENT');
    const deep = join(directory, 'x'.repeat(150), 'socket');
    expect(connectUnix(deep, 'stream')).toBe('ENOENT');
    const stale = join(directory, 'stale');
    const script = `require('net').createServer().listen(${JSON.stringify(stale)}, () => process.kill(process.pid, 'SIGKILL'))`;
    expect(spawnSync(process.execPath, ['-e', script]).signal).toBe('SIGKILL');
    expect(connectUnix(stale, 'stream')).toBe('ECONNREFUSED');
  });

  it('throws what is neither', () => {
    expect(() => connectUnix(join('/proc/self/status', 'socket'), 'stream')).toThrow(errno('ENOTDIR'));
  });
});

describe('datagrams', () => {
  it('tell by the errno why nobody has got one, and check their arguments', () => {
    const fd = makeDatagramSocket();
    try {
      expect(sendDatagram(fd, '/nonexistent/socket', Buffer.from('x'))).toBe('ENOENT');
      expect(sendDatagram(fd, `/${'x'.repeat(200)}`, Buffer.from('x'))).toBe('ENAMETOOLONG');
      expect(() => sendDatagram(fd, '', Buffer.from('x'))).toThrow(TypeError);
      expect(() => sendDatagram(fd, 'a\0b', Buffer.from('x'))).toThrow(TypeError);
      expect(() => sendDatagram(fd, '/x', 'text' as never)).toThrow(TypeError);
    } finally {
      closeDescriptor(fd);
    }
  });
});
