import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { closeDescriptor, makePipe, makeSocketPair, readDescriptor, setNonBlocking } from '@warden/native';
import { afterEach, describe, expect, it } from 'vitest';
import { lineWriter } from './line-writer.ts';

const lost = (count: number): string => `lost ${count}`;
const ends: number[] = [];
afterEach(() => ends.splice(0).forEach(closeDescriptor));

/** Both ends, the one to write to first. */
const WAYS: Readonly<Record<string, () => [number, number]>> = {
  'a pipe': () => {
    const { read, write } = makePipe();
    return [write, read];
  },
  'a socket': () => makeSocketPair('stream'),
};

/** What is there now. */
function readAll(descriptor: number): string {
  const parts: Buffer[] = [];
  const part = Buffer.alloc(1 << 16);
  for (let count = readDescriptor(descriptor, part); count > 0; count = readDescriptor(descriptor, part))
    parts.push(Buffer.from(part.subarray(0, count)));
  return Buffer.concat(parts).toString();
}

describe.each(Object.entries(WAYS))('lines to %s', (_name, open) => {
  function opened(): [number, number] {
    const pair = open();
    setNonBlocking(pair[1]);
    ends.push(...pair);
    return pair;
  }

  it('are there at once', () => {
    const [to, from] = opened();
    const writer = lineWriter(to, lost);
    writer.write('one');
    writer.write('two');
    expect(readAll(from)).toBe('one\ntwo\n');
    writer.close();
    writer.write('three');
    expect(readAll(from)).toBe('');
  });

  it('wait for a reader who has stopped, up to a bound; what is more is counted, in its place', async () => {
    const [to, from] = opened();
    const writer = lineWriter(to, lost);
    const line = (at: number): string => `${at} `.padEnd(999, 'x');
    for (let at = 0; at < 3_000; at++) writer.write(line(at));
    let text = '';
    const hasAll = (): boolean => {
      text += readAll(from);
      return /lost \d+\n$/.test(text);
    };
    await expect.poll(hasAll, { interval: 2, timeout: 20_000 }).toBe(true);
    for (const word of ['more', 'last']) writer.write(word);
    text += readAll(from);
    const lines = text.split('\n');
    const kept = lines.filter((one) => one.length === 999);
    expect(kept).toEqual(Array.from({ length: kept.length }, (_none, at) => line(at)));
    expect(kept.length).toBeGreaterThan(1_000);
    expect(lines.slice(kept.length)).toEqual([`lost ${3_000 - kept.length}`, 'more', 'last', '']);
    writer.close();
  }, 30_000);

  it('are left out when nobody can read them any more, and an end does not wait', () => {
    const [to, from] = opened();
    const writer = lineWriter(to, lost);
    ends.splice(ends.indexOf(from), 1);
    closeDescriptor(from);
    for (let at = 0; at < 2_000; at++) writer.write('x'.repeat(999));
    const before = performance.now();
    writer.close();
    expect(performance.now() - before).toBeLessThan(500);
  });

  it('leave the open file, which others share, as it is', () => {
    const [to] = opened();
    lineWriter(to, lost).close();
    const [, flags] = /^flags:\s+(\d+)$/m.exec(fs.readFileSync(`/proc/self/fdinfo/${to}`, 'utf8'))!;
    expect(Number.parseInt(flags!, 8) & fs.constants.O_NONBLOCK).toBe(0);
  });
});

describe('lines to a file', () => {
  it('are there at once, and are left out where they cannot be written', () => {
    const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'warden-lines-')), 'log');
    try {
      const descriptor = fs.openSync(file, 'a');
      lineWriter(descriptor, lost).write('one');
      expect(fs.readFileSync(file, 'utf8')).toBe('one\n');
      fs.closeSync(descriptor);
      const readOnly = fs.openSync(file, 'r');
      lineWriter(readOnly, lost).write('two');
      fs.closeSync(readOnly);
    } finally {
      fs.rmSync(path.dirname(file), { recursive: true });
    }
  });

  it('do not stick to what the disk took of an earlier one before it was full', () => {
    const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'warden-lines-')), 'log');
    const program = `
      import fs from 'node:fs';
      const { lineWriter } = await import(${JSON.stringify(fileURLToPath(new URL('../dist/line-writer.js', import.meta.url)))});
      const file = ${JSON.stringify(file)};
      const writer = lineWriter(fs.openSync(file, 'a'), String);
      for (const line of ['a'.repeat(1_000), 'b'.repeat(100), 'left out']) writer.write(line);
      if (fs.statSync(file).size !== 1_024) throw new Error('the file has no limit');
      fs.truncateSync(file, 1_010); // there is room again
      for (const line of ['c', 'd']) writer.write(line);`;
    try {
      // a limit of the file's size gives what a full disk gives: a part, then an error
      execFileSync('/bin/bash', [
        '-c',
        'ulimit -f 1 && exec "$@"',
        'bash',
        process.execPath,
        '--input-type=module',
        '-e',
        program,
      ]);
      expect(fs.readFileSync(file, 'utf8')).toBe(`${'a'.repeat(1_000)}\n${'b'.repeat(9)}\nc\nd\n`);
    } finally {
      fs.rmSync(path.dirname(file), { recursive: true });
    }
  });
});

describe('a program whose output nobody reads', () => {
  it('goes on, and its end waits no longer than a second', async () => {
    const sink = fileURLToPath(new URL('../dist/log-sink.js', import.meta.url));
    const program = `
      const { openLogSink } = await import(${JSON.stringify(sink)});
      const sink = openLogSink({ level: 'info' });
      for (let at = 0; at < 1_000; at++) sink.logger.info('line', { text: 'x'.repeat(1_000) });
      process.stderr.write('on');
      sink.close();`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    try {
      child.stdout.pause();
      const [said] = await once(child.stderr, 'data');
      expect(String(said)).toBe('on');
      await once(child, 'exit');
      expect(child.exitCode).toBe(0);
    } finally {
      child.kill('SIGKILL');
    }
  }, 20_000);
});
