import { type ByteSource, type OutputChunk, WardenError } from '@warden/interface';
import { describe, expect, it, vi } from 'vitest';
import { LiveOutput } from './live-output.ts';

/** Deadlines for a machine that is busy with something else. */
const SOON = { timeout: 20_000 };

/** A pipe in memory, as far as live output needs one. */
class Pipe implements ByteSource {
  readonly kept = { position: 0n, length: 0, lost: 0n };
  readonly content: Buffer[] = [];
  isEnded = false;
  isClosed = false;
  #listener: ((isEnd: boolean) => void) | undefined;

  print(text: string): void {
    this.content.push(Buffer.from(text));
    this.#tell();
  }
  end(): void {
    this.isEnded = true;
    this.#tell();
  }
  start(): void {
    throw new Error('nobody starts it');
  }
  pause(): void {
    this.#listener = undefined;
  }
  resume(): void {
    throw new Error('nobody lets it flow');
  }
  onceReadable(listener: (isEnd?: boolean) => void): void {
    this.#listener = listener;
    if (this.content.length > 0 || this.isEnded) queueMicrotask(() => this.#tell());
  }
  keepIn(): void {}
  take(): Buffer | undefined {
    return this.content.shift() ?? (this.isEnded || this.isClosed ? Buffer.alloc(0) : undefined);
  }
  place() {
    return this.isClosed ? undefined : { descriptor: 5, device: 1n, inode: 2n };
  }
  drain(): boolean {
    return false;
  }
  close(): void {
    this.isClosed = true;
  }
  #tell(): void {
    const listener = this.#listener;
    this.#listener = undefined;
    listener?.(this.content.length === 0);
  }
}

function make(): { stdout: Pipe; stderr: Pipe; live: LiveOutput } {
  const stdout = new Pipe();
  const stderr = new Pipe();
  return { stdout, stderr, live: new LiveOutput({ stdout, stderr }) };
}

async function all(chunks: AsyncGenerator<OutputChunk>): Promise<string> {
  let seen = '';
  for await (const { stream, data } of chunks) seen += `${stream}:${Buffer.from(data).toString()} `;
  return seen;
}

describe('live output', () => {
  it('is read as it comes, until both streams are at their ends', async () => {
    const { stdout, stderr, live } = make();
    const seen = all(live.read());
    stdout.print('a');
    await vi.waitFor(() => expect(stdout.content).toEqual([]), SOON);
    stderr.print('b');
    stdout.end();
    stderr.end();
    expect(await seen).toBe('stdout:a stderr:b ');
    await live.ended;
  });

  it('waits where it is while nobody reads', async () => {
    const { stdout, live } = make();
    stdout.print('a');
    await new Promise(setImmediate);
    expect(stdout.content).toHaveLength(1);
    const chunks = live.read();
    expect((await chunks.next()).value).toMatchObject({ data: Buffer.from('a') });
    stdout.print('b');
    await chunks.return();
    expect(stdout.content).toHaveLength(1); // for the next one
  });

  it('of an ended job is taken into memory, costs no descriptor, and is there for whoever comes', async () => {
    const { stdout, stderr, live } = make();
    stdout.print('a');
    live.complete();
    expect([stdout.isClosed, stderr.isClosed]).toEqual([true, true]);
    expect(await all(live.read())).toBe('stdout:a ');
    expect(await all(live.read())).toBe('');
  });

  it('ends with the job although a child holds the pipes and goes on printing', async () => {
    const { stdout, live } = make();
    const chunks = live.read();
    stdout.print('a');
    await chunks.next();
    const piece = 'x'.repeat(65_536);
    stdout.print(piece);
    live.complete();
    let length = 0;
    for await (const { data } of chunks) {
      length += data.length;
      stdout.print(piece);
    }
    expect(length).toBeGreaterThanOrEqual(65_536);
    expect(length).toBeLessThan(4 * 1_048_576);
  });

  it('of an ended job comes to an end also when nobody reads and a child prints as fast as it is gathered', () => {
    const { stdout, live } = make();
    const piece = Buffer.alloc(65_536);
    let taken = 0;
    stdout.take = () => {
      taken += 1;
      if (taken > 1_000) throw new Error('it does not end');
      return piece;
    };
    live.gather();
    expect(taken * piece.length).toBeGreaterThanOrEqual(1_048_576);
    live.complete();
    expect(taken * piece.length).toBeLessThan(4 * 1_048_576);
    expect(stdout.isClosed).toBe(true);
  });

  it('goes to one at a time, also of two who come in the same turn', async () => {
    const { stdout, live } = make();
    const readers = [live.read(), live.read()];
    const steps = readers.map((reader) => reader.next());
    await new Promise(setImmediate);
    stdout.print('a');
    const [first, second] = await Promise.allSettled(steps);
    expect(first).toMatchObject({ value: { value: { data: Buffer.from('a') } } });
    expect(second).toMatchObject({ reason: { code: 'BAD_STATE' } });
    await readers[0]!.return();
  });

  it('goes to one at a time: a second reader waits a moment, and is refused', async () => {
    const { stdout, live } = make();
    const first = live.read();
    stdout.print('a');
    await first.next();
    await expect(live.read().next()).rejects.toMatchObject({ code: 'BAD_STATE' });
    await expect(live.lend()).rejects.toMatchObject({
      code: 'BAD_STATE',
      fields: { operation: 'read the pipes' },
    });
    const second = live.read().next();
    stdout.print('b');
    await first.return();
    expect((await second).value).toMatchObject({ data: Buffer.from('b') });
  });

  it('is not touched while it is lent, not even at the end of the job, and settled when it is given back', async () => {
    const { stdout, stderr, live } = make();
    const { pipes, giveBack } = await live.lend();
    expect(pipes.stdout).toEqual({ descriptor: 5, device: 1n, inode: 2n });
    stdout.print('a');
    live.gather();
    live.complete();
    expect([stdout.isClosed, stdout.content.length]).toEqual([false, 1]);
    giveBack();
    giveBack();
    expect([stdout.isClosed, stderr.isClosed, stdout.content.length]).toEqual([true, true, 0]);
    expect(await all(live.read())).toBe('stdout:a ');
  });

  it('is gone when it is closed, and whoever reads meets the end', async () => {
    const { stdout, live } = make();
    const seen = all(live.read());
    await new Promise(setImmediate);
    live.close();
    expect(await seen).toBe('');
    expect(stdout.isClosed).toBe(true);
  });

  it('is left by an aborted signal, with nothing lost', async () => {
    const { stdout, live } = make();
    const leaving = new AbortController();
    const seen = all(live.read(leaving.signal));
    await new Promise(setImmediate);
    leaving.abort();
    expect(await seen).toBe('');
    stdout.print('a');
    stdout.end();
    live.complete();
    expect(await all(live.read())).toBe('stdout:a ');
  });

  it('passes whole pieces by, behind what was sent before, and fails with the way', async () => {
    const { stdout, live } = make();
    const order: string[] = [];
    let fails = false;
    const source = Object.assign(stdout, {
      relay: async (socket: number, frame: { size: number }) => {
        order.push(`relay ${socket} ${frame.size}`);
        if (!fails) return 0;
        throw new WardenError('UNAVAILABLE', 'broken off', { fields: { operation: 'relay' } });
      },
    });
    source.print('less than a piece');
    const frame = { head: Buffer.from('<'), size: 8, tail: Buffer.from('>') };
    const relay = { socket: 9, frame: () => frame, ready: async () => void order.push('ready') };
    const chunks = live.read(undefined, relay);
    expect((await chunks.next()).value).toMatchObject({ data: Buffer.from('less than a piece') });
    expect(order).toEqual(['ready', 'relay 9 8']);
    fails = true;
    await expect(chunks.next()).rejects.toMatchObject({ message: 'broken off' });
    fails = false;
    stdout.print('b'); // free again
    expect((await live.read().next()).value).toMatchObject({ data: Buffer.from('b') });
  });
});
