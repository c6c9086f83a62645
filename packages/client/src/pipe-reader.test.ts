import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PipeReader } from './pipe-reader.ts';

/** As much as somebody prints at a time who prints on. */
const PIECE = new Uint8Array(20_000).fill(7);
/** What is read ahead at most, and the read that goes beyond it. */
const MOST_AHEAD = 262_144 + 131_072;
const PIPE_BYTES = 65_536;

describe.each([false, true])('a pipe, memory used again: %s', (isReused) => {
  let directory: string;
  let writer: number;
  let reader: PipeReader;
  let changes: number;
  beforeEach(() => {
    directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-pipe-'));
    const file = path.join(directory, 'pipe');
    execFileSync('mkfifo', [file]);
    writer = fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_NONBLOCK);
    const { dev, ino } = fs.fstatSync(writer, { bigint: true });
    changes = 0;
    reader = PipeReader.open(
      file,
      { device: dev, inode: ino },
      { onChange: () => (changes += 1), isReused },
    )!;
  });
  afterEach(() => {
    reader.close();
    fs.closeSync(writer);
    fs.rmSync(directory, { recursive: true });
  });

  /** What comes until the end. */
  async function readAll(): Promise<Uint8Array[]> {
    const pieces: Uint8Array[] = [];
    for (;;) {
      const piece = reader.next();
      if (piece !== undefined) pieces.push(new Uint8Array(piece));
      else if (reader.isAtEnd) return pieces;
      else {
        reader.flow();
        await delay(1);
      }
    }
  }

  /** Bytes that went in; 0: the pipe is full. */
  function write(): number {
    try {
      return fs.writeSync(writer, PIECE);
    } catch (error) {
      expect(error).toMatchObject({ code: 'EAGAIN' });
      return 0;
    }
  }

  it('that nobody takes from is read ahead so far and no farther, in pieces of any size, and to its end later', async () => {
    let written = 0;
    for (let refusals = 0; refusals < 30 && written < 8 * MOST_AHEAD; ) {
      const length = write();
      written += length;
      refusals = length === 0 ? refusals + 1 : 0;
      await delay(3);
    }
    expect(written).toBeGreaterThan(PIPE_BYTES);
    expect(written).toBeLessThan(MOST_AHEAD + PIPE_BYTES);
    let taken = 0;
    while (taken < written) {
      const piece = reader.next();
      if (piece === undefined) {
        reader.flow();
        await delay(1);
      } else taken += piece.length;
    }
    expect(taken).toBe(written);
  });

  it('has its end behind that of the job, however often a child of it goes on printing', async () => {
    fs.writeSync(writer, 'of the job');
    const child = setInterval(() => fs.writeSync(writer, '.'), 5);
    try {
      reader.endAfter(50, Number.MAX_SAFE_INTEGER);
      const all = Buffer.concat(await readAll()).toString();
      expect(all).toMatch(/^of the job\.*$/);
      expect(changes).toBeGreaterThan(1);
    } finally {
      clearInterval(child);
    }
  });

  it('gives what the job has left in it, however late somebody takes it', async () => {
    let written = 0;
    for (let length = write(); length > 0; length = write()) written += length;
    expect(written).toBeGreaterThan(0);
    reader.endAfter(5, Number.MAX_SAFE_INTEGER);
    const until = performance.now() + 30;
    while (performance.now() < until); // the program is busy meanwhile
    await delay(30);
    expect(Buffer.concat(await readAll())).toHaveLength(written);
  });
});
