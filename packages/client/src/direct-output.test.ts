import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type OutputChunk, WardenError } from '@warden/interface';
import { MessageType } from '@warden/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readPipes } from './direct-output.ts';
import type { Call, LaneRequest, Transport } from './transport.ts';

const JOB = { handle: 'h', job_id: 1 };

describe.each([false, true])('pipes that are read here, memory used again: %s', (isReused) => {
  let directory: string;
  let writer: number;
  /** Ends the wait for the job. */
  let lose: (error: WardenError) => void;
  let leaving: AbortController;
  let chunks: AsyncGenerator<OutputChunk, unknown>;
  beforeEach(() => {
    directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-pipes-'));
    const file = path.join(directory, 'pipe');
    execFileSync('mkfifo', [file]);
    writer = fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_NONBLOCK);
    const { dev: device, ino: inode } = fs.fstatSync(writer, { bigint: true });
    const lost = new Promise<never>((_, reject) => {
      lose = reject;
    });
    lost.catch(() => {});
    const call = (async (type: number) =>
      type === MessageType.JobPipes
        ? { pid: process.pid, stdout: { descriptor: writer, device, inode } }
        : lost) as Call;
    const session = {
      exchange: <T>({ signal }: LaneRequest, task: (call: Call) => Promise<T>) => {
        signal?.addEventListener('abort', () => lose(new WardenError('ABORTED', 'given up')));
        return task(call);
      },
    };
    leaving = new AbortController();
    chunks = readPipes(session as Transport, JOB, { signal: leaving.signal, isReused });
  });
  afterEach(async () => {
    await chunks.return(undefined);
    fs.closeSync(writer);
    fs.rmSync(directory, { recursive: true });
  });

  const descriptors = (): number =>
    fs
      .readdirSync('/proc/self/fd')
      .filter(
        (fd) =>
          fs.existsSync(`/proc/self/fd/${fd}`) && fs.fstatSync(Number(fd)).ino === fs.fstatSync(writer).ino,
      ).length;

  /** As much as is read ahead of somebody who has taken the first piece. */
  async function readAhead(): Promise<Uint8Array> {
    fs.writeSync(writer, 'first');
    const { value } = await chunks.next();
    expect(Buffer.from((value as OutputChunk).data).toString()).toBe('first');
    const rest = Buffer.alloc(40_000, 7);
    fs.writeSync(writer, rest);
    await delay(20);
    return rest;
  }

  it('of a job that nobody can ask about any more give what was read of them, and leave the rest there', async () => {
    await readAhead();
    lose(new WardenError('UNAVAILABLE', 'the connection to the daemon was lost'));
    await delay(0);
    let taken = 0;
    const reading = (async () => {
      for await (const { data } of chunks) taken += data.length;
    })();
    await expect(reading).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(descriptors()).toBe(1);
    const left = Buffer.alloc(65_536);
    let inPipe = 0;
    try {
      inPipe = fs.readSync(writer, left);
    } catch (error) {
      expect(error).toMatchObject({ code: 'EAGAIN' });
    }
    expect(taken + inPipe).toBe(40_000);
  });

  it('give nothing more to whoever has given up', async () => {
    await readAhead();
    leaving.abort(new Error('enough'));
    await delay(0);
    await expect(chunks.next()).rejects.toMatchObject({ code: 'ABORTED' });
    expect(descriptors()).toBe(1);
  });
});
