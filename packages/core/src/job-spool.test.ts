import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { KeptOutput } from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { JobSpool } from './job-spool.ts';
import { HISTORY_BYTES, OutputHistory } from './output-history.ts';

let directory: string;
const failures: unknown[] = [];
beforeEach(() => {
  directory = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'warden-spool-')), '7');
  failures.length = 0;
});
afterEach(() => fs.rmSync(path.dirname(directory), { recursive: true, force: true }));

const open = (outputLimit = 0): JobSpool =>
  new JobSpool(directory, { outputLimit, onFailure: (error) => failures.push(error) });
const kept = (position: number, text: string, lost = 0): KeptOutput => ({
  position: BigInt(position),
  length: text.length,
  lost: BigInt(lost),
});

/** A daemon's start: what is known, then what init has kept is appended; `dies` after so many bytes of it. */
function recover(
  position: number,
  text: string,
  options: { lost?: number; dies?: number } = {},
): [string, number] {
  const spool = open();
  const { content, skipKept, lost } = spool.resume('stdout', kept(position, text, options.lost));
  const rest = text.slice(skipKept, options.dies === undefined ? undefined : skipKept + options.dies);
  if (rest !== '') spool.write('stdout', Buffer.from(rest));
  spool.close();
  return [content.toString() + rest, lost];
}

describe('JobSpool', () => {
  it('makes nothing for a job without output', () => {
    const spool = open();
    expect(spool.resume('stdout', kept(0, ''))).toMatchObject({ skipKept: 0, lost: 0 });
    spool.close();
    expect([fs.existsSync(directory), spool.isUsed]).toEqual([false, false]);
  });

  it('appends what init kept behind what the daemon read, once, however often it is offered', () => {
    const first = open();
    first.write('stdout', Buffer.from('read '));
    first.close();
    expect(recover(0, 'ring')).toEqual(['read ring', 0]);
    // the daemon died before it told init, which has gone on: all of it again, and more
    expect(recover(0, 'ring, more')).toEqual(['read ring, more', 0]);
    // it has told init, then read on from the pipe, then died
    const third = open();
    third.write('stdout', Buffer.from(' pipe'));
    third.close();
    expect(recover(10, ' later')).toEqual(['read ring, more pipe later', 0]);
    expect(failures).toEqual([]);
  });

  it('goes on behind the byte at which a daemon died, at every one of them', () => {
    for (let dies = 0; dies <= 8; dies++) {
      fs.rmSync(directory, { recursive: true, force: true });
      const first = open();
      first.write('stdout', Buffer.from('read '));
      first.close();
      recover(0, 'ringring', { dies });
      expect(recover(0, 'ringring++')).toEqual(['read ringring++', 0]);
    }
  });

  it('keeps the limit that the job was started with, whatever later daemons would give', () => {
    const limits = [10, -1, 20_000_000_000];
    for (const limit of limits) {
      fs.rmSync(directory, { recursive: true, force: true });
      const first = open(limit);
      expect(first.resumeLimit()).toBe(limit);
      first.write('stderr', Buffer.from('read '));
      first.close();
      for (const later of limits) {
        const spool = open(later);
        expect(spool.resumeLimit()).toBe(limit);
        expect(spool.resume('stderr', kept(0, 'ring')).content.toString()).toBe('read ');
        expect(spool.resume('stdout', kept(0, 'ring')).content.toString()).toBe('');
        spool.close();
      }
    }
    // of a daemon that noted none
    fs.truncateSync(path.join(directory, 'handover'), 64);
    expect(open(7).resumeLimit()).toBe(7);
    expect(failures).toEqual([]);
  });

  it('counts what was overwritten in the ring, between two daemons and after one that had it', () => {
    expect(recover(100, 'kept', { lost: 100 })).toEqual(['kept', 100]);
    // [100, 104) is here; the ring has gone on without being told, and lost 6 bytes more
    expect(recover(110, 'later', { lost: 110 })).toEqual(['keptlater', 106]);
    expect(recover(115, 'end', { lost: 0 })).toEqual(['keptlaterend', 106]);
  });

  it('gives up when the disk takes no more, tells it once, and lies to nobody', () => {
    fs.writeFileSync(directory, 'a file where the directory should be');
    const spool = open();
    expect(spool.file('stdout')).toBeUndefined();
    expect(spool.file('stderr')).toBeUndefined();
    spool.write('stdout', Buffer.from('x'));
    expect(spool.resume('stdout', kept(0, 'ring'))).toMatchObject({ skipKept: 0 });
    expect(failures).toHaveLength(1);
  });

  it.each(['stdout', 'handover'])('does not wait for a FIFO that somebody has put there as %s', (name) => {
    fs.mkdirSync(directory);
    execFileSync('mkfifo', [path.join(directory, name)]);
    expect(recover(0, 'kept by init')).toEqual(['kept by init', 0]);
    expect(failures).toHaveLength(1);
  });

  it('follows no link that somebody has put there', () => {
    fs.mkdirSync(directory);
    const target = path.join(directory, '../target');
    fs.writeFileSync(target, 'precious');
    fs.symlinkSync(target, path.join(directory, 'stdout'));
    const spool = open();
    spool.write('stdout', Buffer.from('x'));
    expect([fs.readFileSync(target, 'utf8'), failures.length]).toEqual(['precious', 1]);
  });
});

describe('OutputHistory', () => {
  it('has the latest 65535 bytes and their position [linux-container 13.2 ring]', () => {
    const history = new OutputHistory(10);
    expect([history.position, history.latest().length]).toEqual([10, 0]);
    let whole = '';
    for (let at = 0; at < 30_000; at++) {
      const piece = `${at}\n`.repeat(1 + (at % 3));
      whole += piece;
      history.append(Buffer.from(piece));
    }
    expect(history.position).toBe(10 + whole.length);
    expect(history.latest().toString()).toBe(whole.slice(-HISTORY_BYTES));
    history.append(Buffer.alloc(200_000, 'z'));
    expect(history.latest().toString()).toBe('z'.repeat(HISTORY_BYTES));
  });
});
