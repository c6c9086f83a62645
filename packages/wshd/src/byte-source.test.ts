import { closeSync, fstatSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  closeDescriptor,
  makePipe,
  makeSocketPair,
  type PollReady,
  setNonBlocking,
  watchDescriptor,
  writeDescriptor,
} from '@warden/native';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { PipeSource } from './byte-source.ts';

vi.mock(import('@warden/native'), async (original) => {
  const library = await original();
  return { ...library, watchDescriptor: vi.fn(library.watchDescriptor) };
});

/** Collects a source; `ended` settles with everything. */
function collect(source: PipeSource): { chunks: Buffer[]; ended: Promise<string> } {
  const chunks: Buffer[] = [];
  const ended = new Promise<string>((resolve) => {
    source.start(
      (chunk) => chunks.push(chunk),
      () => resolve(Buffer.concat(chunks).toString()),
    );
  });
  return { chunks, ended };
}

/** For what has to happen, however busy the machine is. */
const SOON = { timeout: 10_000 };
/** For what must not happen. */
const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

describe('PipeSource', () => {
  test('delivers the prefix, then the pipe, then the end once', async () => {
    const pipe = makePipe();
    const source = new PipeSource(pipe.read, { position: 8n, lost: 3n, chunks: [Buffer.from('ring ')] });
    const { ended } = collect(source);
    writeDescriptor(pipe.write, Buffer.from('pipe'));
    closeDescriptor(pipe.write);
    expect(await ended).toBe('ring pipe');
    expect(source.kept).toEqual({ position: 8n, lost: 3n, length: 5 });
    expect(source.drain()).toBe(true);
  });

  test('a pipe for which the kernel has no room for a watch is read all the same', async () => {
    const guess: PollReady = { readable: true, hasData: true, writable: false, hangup: true, isGuess: true };
    vi.mocked(watchDescriptor).mockImplementation((_fd, _interest, listener) => {
      const timer = setInterval(() => listener(guess), 10);
      return { update: () => {}, close: () => clearInterval(timer) };
    });
    try {
      const pipe = makePipe();
      const source = new PipeSource(pipe.read);
      source.pause();
      const { ended } = collect(source);
      writeDescriptor(pipe.write, Buffer.from('text'));
      const isEnd = await new Promise((resolve) => source.onceReadable(resolve));
      expect(isEnd).toBe(false);
      source.resume();
      await turn();
      closeDescriptor(pipe.write);
      expect(await ended).toBe('text');
    } finally {
      vi.mocked(watchDescriptor).mockRestore();
    }
  });

  test('without a pipe it ends after its prefix, but not inside start', async () => {
    const order: string[] = [];
    new PipeSource(undefined, { position: 0n, lost: 0n, chunks: [Buffer.from('x')] }).start(
      (chunk) => order.push(chunk.toString()),
      () => order.push('end'),
    );
    order.push('started');
    await vi.waitFor(() => expect(order).toEqual(['x', 'started', 'end']), SOON);
  });

  test('a paused source reads nothing, a resumed one goes on', async () => {
    const pipe = makePipe();
    const source = new PipeSource(pipe.read);
    const { chunks, ended } = collect(source);
    source.pause();
    writeDescriptor(pipe.write, Buffer.from('later'));
    await turn();
    expect(chunks).toEqual([]);
    source.resume();
    await vi.waitFor(() => expect(Buffer.concat(chunks).toString()).toBe('later'), SOON);
    closeDescriptor(pipe.write);
    await ended;
  });

  test('drain reads even while paused and tells whether the end was reached', async () => {
    const pipe = makePipe();
    const source = new PipeSource(pipe.read);
    const { chunks, ended } = collect(source);
    source.pause();
    writeDescriptor(pipe.write, Buffer.from('tail'));
    expect(source.drain()).toBe(false);
    expect(Buffer.concat(chunks).toString()).toBe('tail');
    closeDescriptor(pipe.write);
    expect(source.drain()).toBe(true);
    expect(await ended).toBe('tail');
  });

  test('drain comes to an end although somebody prints as fast as it reads', () => {
    const pipe = makePipe();
    const source = new PipeSource(pipe.read);
    const more = Buffer.alloc(65_536, 'x');
    let bytes = 0;
    source.pause();
    source.start(
      (chunk) => {
        bytes += chunk.length;
        if (bytes > 100 * more.length) throw new Error('it does not end');
        writeDescriptor(pipe.write, more);
      },
      () => {},
    );
    writeDescriptor(pipe.write, more);
    expect(source.drain()).toBe(false);
    expect(bytes).toBeGreaterThanOrEqual(1_048_576); // the most that a pipe holds
    source.close();
    closeDescriptor(pipe.write);
  });

  test('after close nothing comes, and close may be repeated', async () => {
    const pipe = makePipe();
    const source = new PipeSource(pipe.read);
    const { chunks, ended } = collect(source);
    let hasEnded = false;
    void ended.then(() => {
      hasEnded = true;
    });
    source.close();
    source.close();
    closeDescriptor(pipe.write);
    await turn();
    expect([chunks.length, hasEnded]).toEqual([0, false]);
  });

  test('a receiver that pauses inside its chunk gets no further one', async () => {
    const pipe = makePipe();
    const source = new PipeSource(pipe.read);
    const sizes: number[] = [];
    source.start(
      (chunk) => {
        sizes.push(chunk.length);
        source.pause();
      },
      () => {},
    );
    writeDescriptor(pipe.write, Buffer.alloc(65536));
    await vi.waitFor(() => expect(sizes).toHaveLength(1), SOON);
    writeDescriptor(pipe.write, Buffer.alloc(10));
    await turn();
    expect(sizes).toEqual([65536]);
    source.close();
    closeDescriptor(pipe.write);
  });

  test('a pipe that is found full again and again gets larger, and every byte still comes once', async () => {
    const pipe = makePipe();
    setNonBlocking(pipe.write);
    const source = new PipeSource(pipe.read);
    const chunks: Buffer[] = [];
    source.start(
      (chunk) => chunks.push(chunk),
      () => {},
    );
    const sent: Buffer[] = [];
    for (let round = 0; round < 12; round++) {
      const bytes = Buffer.alloc(300_000, round + 1);
      const length = writeDescriptor(pipe.write, bytes);
      sent.push(bytes.subarray(0, length));
      while (
        chunks.reduce((sum, { length }) => sum + length, 0) <
        sent.reduce((sum, { length }) => sum + length, 0)
      )
        await turn();
    }
    expect(sent[0]).toHaveLength(65_536);
    expect(sent.at(-1)).toHaveLength(262_144);
    expect(Buffer.concat(chunks).equals(Buffer.concat(sent))).toBe(true);
    source.close();
    closeDescriptor(pipe.write);
  });

  test('that is closed while pieces are on their way frees its pipe behind them, once', async () => {
    const open = (): number => readdirSync('/proc/self/fd').length;
    const before = open();
    const [client, reader] = makeSocketPair('stream');
    setNonBlocking(client);
    while (writeDescriptor(client, Buffer.alloc(65_536)) > 0);
    const pipe = makePipe();
    writeDescriptor(pipe.write, Buffer.alloc(65_536, 'x'));
    const source = new PipeSource(pipe.read);
    source.pause();
    const leaving = new AbortController();
    const frame = { head: Buffer.from('<'), tail: Buffer.from('>'), size: 65_536 };
    const relaying = source.relay(client, frame, { signal: leaving.signal, isWanted: () => true });
    const meanwhile = open();
    source.close();
    // its number is nobody else's before the pieces are through
    expect(open()).toBe(meanwhile);
    leaving.abort();
    expect(await relaying).toBe(0);
    const mine = openSync('/dev/null', 'r');
    source.close();
    expect(() => fstatSync(mine)).not.toThrow();
    closeSync(mine);
    for (const fd of [client, reader, pipe.write]) closeDescriptor(fd);
    expect(open()).toBe(before);
  });

  test('start is callable once', () => {
    const source = new PipeSource(undefined);
    source.start(
      () => {},
      () => {},
    );
    expect(() =>
      source.start(
        () => {},
        () => {},
      ),
    ).toThrow(TypeError);
  });

  test('skips what the receiver has of the prefix', async () => {
    const chunks = ['one ', 'two ', 'three'].map((text) => Buffer.from(text));
    const source = new PipeSource(undefined, { position: 0n, lost: 0n, chunks });
    const got: string[] = [];
    await new Promise<void>((resolve) => {
      source.start((chunk) => got.push(chunk.toString()), resolve, 6);
    });
    expect(got.join('')).toBe('o three');
  });

  test('tells once that there is something to read, and reads nothing', async () => {
    const pipe = makePipe();
    const source = new PipeSource(pipe.read);
    source.pause();
    const { chunks, ended } = collect(source);
    let told = 0;
    source.onceReadable(() => {
      told += 1;
    });
    await turn();
    expect(told).toBe(0);
    writeDescriptor(pipe.write, Buffer.from('unread'));
    closeDescriptor(pipe.write);
    await vi.waitFor(() => expect(told).toBe(1), SOON);
    await turn();
    expect([told, chunks]).toEqual([1, []]);
    source.resume();
    expect(await ended).toBe('unread');
  });

  test.each([
    ['resume', (source: PipeSource) => source.resume()],
    ['close', (source: PipeSource) => source.close()],
    ['another call', (source: PipeSource) => source.onceReadable(() => {})],
  ])(
    '%s calls off what would have told of a source that is known to have something',
    async (_how, callOff) => {
      const source = new PipeSource(undefined, { position: 0n, lost: 0n, chunks: [Buffer.from('kept')] });
      source.pause();
      const listener = vi.fn();
      source.onceReadable(listener);
      callOff(source);
      await turn();
      expect(listener).not.toHaveBeenCalled();
    },
  );

  describe('with a file', () => {
    let directory: string;
    let descriptor: number;
    beforeEach(() => {
      directory = mkdtempSync(join(tmpdir(), 'warden-source-'));
      descriptor = openSync(join(directory, 'output'), 'w+');
    });
    afterEach(() => {
      closeSync(descriptor);
      rmSync(directory, { recursive: true });
    });

    test('each byte is there before it is delivered, also the prefix and what is drained', async () => {
      const pipe = makePipe();
      const source = new PipeSource(pipe.read, { position: 0n, lost: 0n, chunks: [Buffer.from('ring ')] });
      const seen: string[] = [];
      source.keepIn({ descriptor, offset: 0, onFailure: (error) => seen.push(String(error)) });
      const content = (): string => readFileSync(join(directory, 'output'), 'latin1');
      let all = '';
      source.start(
        (chunk) => {
          all += chunk.toString('latin1');
          seen.push(content());
        },
        () => seen.push('end'),
      );
      writeDescriptor(pipe.write, Buffer.from('pipe '));
      await vi.waitFor(() => expect(seen).toHaveLength(2), SOON);
      writeDescriptor(pipe.write, Buffer.from('drained'));
      closeDescriptor(pipe.write);
      expect(source.drain()).toBe(true);
      expect(seen).toEqual(['ring ', 'ring pipe ', 'ring pipe drained', 'end']);
      expect(all).toBe('ring pipe drained');
    });

    test('a file that takes no more is told once, and nothing is lost', async () => {
      const full = openSync('/dev/full', 'r+');
      const pipe = makePipe();
      const source = new PipeSource(pipe.read);
      let failures = 0;
      source.keepIn({
        descriptor: full,
        offset: 0,
        onFailure: () => {
          failures += 1;
        },
      });
      const { ended } = collect(source);
      writeDescriptor(pipe.write, Buffer.from('one '));
      await turn();
      writeDescriptor(pipe.write, Buffer.from('two'));
      closeDescriptor(pipe.write);
      expect(await ended).toBe('one two');
      expect(failures).toBe(1);
      closeSync(full);
    });
  });
});
