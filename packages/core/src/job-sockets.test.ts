/** Readers of job sockets that come, go, and say that they will say nothing. */
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { silentLogger, type WaitStatus } from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { JobSockets } from './job-sockets.ts';

/** Deadlines for a machine that is busy with something else. */
const SOON = { timeout: 20_000 };
/** One more than are served at a time. */
const MANY = 65;

let directory: string;
let sockets: JobSockets;
const readers: net.Socket[] = [];
const warn = vi.fn();

beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-sockets-'));
  sockets = new JobSockets({
    ...{ directory, mode: 0o600, logger: { ...silentLogger, warn }, isDiscarded: false },
    onPressure: () => {},
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  for (const reader of readers.splice(0)) reader.destroy();
  sockets.detach();
  fs.rmSync(directory, { recursive: true, force: true });
});

interface Reader {
  readonly socket: net.Socket;
  text: string;
  isOver: boolean;
}

function read(name: string): Promise<Reader> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ path: path.join(directory, name), allowHalfOpen: true });
    readers.push(socket);
    const reader: Reader = { socket, text: '', isOver: false };
    socket.on('data', (data) => {
      reader.text += data.toString('latin1');
    });
    socket.on('end', () => {
      reader.isOver = true;
    });
    socket.on('connect', () => resolve(reader));
    socket.on('error', reject);
  });
}

/** A reader that is not disconnected at once, as those are for whom there is no room. */
async function admitted(name: string): Promise<Reader> {
  let reader: Reader | undefined;
  const isLeft = async (): Promise<boolean> => {
    reader = await read(name);
    await Promise.race([once(reader.socket, 'end'), delay(1_000)]);
    return !reader.isOver;
  };
  await expect.poll(isLeft, SOON).toBe(true);
  return reader!;
}

const exited = Promise.resolve<WaitStatus>({ exitCode: 7, signal: undefined });

describe('a reader of a job socket', () => {
  it.each([
    ['stdout.sock', '\0\0\0\0', '\0\0\0\0'],
    ['status.sock', '', '\0\0\x07\0'],
  ])(
    'of %s that goes away makes room, although the job is silent [behaviour 6.2]',
    async (name, first, all) => {
      for (let at = 0; at < MANY; at++) {
        const reader = await read(name);
        await expect.poll(() => reader.text, SOON).toBe(first);
        reader.socket.destroy();
      }
      const last = await admitted(name);
      sockets.end(exited);
      await expect.poll(() => last.text, SOON).toBe(all);
    },
  );

  it('that goes away some time after it has closed its writing side makes room, too', async () => {
    const first = await Promise.all(Array.from({ length: MANY - 1 }, () => read('status.sock')));
    for (const { socket } of first) socket.end();
    await delay(50);
    for (const { socket } of first) socket.destroy();
    const last = await admitted('status.sock');
    sockets.end(exited);
    await expect.poll(() => last.text, SOON).toBe('\0\0\x07\0');
  });

  it('that has closed its writing side gets all output, and the status', async () => {
    const output = await read('stdout.sock');
    const status = await read('status.sock');
    output.socket.end();
    status.socket.end();
    await delay(1_500);
    sockets.write('stdout', Buffer.from('late'));
    sockets.end(exited);
    await expect.poll(() => [output.isOver, status.isOver], SOON).toEqual([true, true]);
    expect([output.text, status.text]).toEqual(['\0\0\0\0late', '\0\0\x07\0']);
  });
});

it('a job whose positions a file system fails to close ends like any other', async () => {
  const output = await read('stdout.sock');
  const { closeSync } = fs;
  vi.spyOn(fs, 'closeSync').mockImplementationOnce((descriptor) => {
    closeSync(descriptor);
    throw Object.assign(new Error('input/output error'), { code: 'EIO' });
  });
  sockets.end(exited);
  await expect.poll(() => output.isOver, SOON).toBe(true);
  expect(warn).toHaveBeenCalledWith('job-cursors-not-closed', {
    directory,
    error: expect.objectContaining({ code: 'EIO' }),
  });
});
