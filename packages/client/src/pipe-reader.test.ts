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

describe('a pipe that nobody takes from', () => {
  let directory: string;
  let writer: number;
  let reader: PipeReader;
  beforeEach(() => {
    directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-pipe-'));
    const file = path.join(directory, 'pipe');
    execFileSync('mkfifo', [file]);
    writer = fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_NONBLOCK);
    const { dev, ino } = fs.fstatSync(writer, { bigint: true });
    reader = PipeReader.open(
      file,
      { device: dev, inode: ino },
      { onChange: () => undefined, isReused: false },
    )!;
  });
  afterEach(() => {
    reader.close();
    fs.closeSync(writer);
    fs.rmSync(directory, { recursive: true });
  });

  /** Bytes that went in; 0: the pipe is full. */
  function write(): number {
    try {
      return fs.writeSync(writer, PIECE);
    } catch (error) {
      expect(error).toMatchObject({ code: 'EAGAIN' });
      return 0;
    }
  }

  it('is read ahead so far and no farther, in pieces of any size, and to its end later', async () => {
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
});
