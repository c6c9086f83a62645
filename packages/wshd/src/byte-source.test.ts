import { closeDescriptor, makePipe, writeDescriptor } from '@warden/native';
import { describe, expect, test } from 'vitest';
import { PipeSource } from './byte-source.ts';

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

const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

describe('PipeSource', () => {
  test('delivers the prefix, then the pipe, then the end once', async () => {
    const pipe = makePipe();
    const source = new PipeSource(pipe.read, { skipped: 3n, chunks: [Buffer.from('ring ')] });
    const { ended } = collect(source);
    writeDescriptor(pipe.write, Buffer.from('pipe'));
    closeDescriptor(pipe.write);
    expect(await ended).toBe('ring pipe');
    expect(source.skipped).toBe(3n);
    expect(source.drain()).toBe(true);
  });

  test('without a pipe it ends after its prefix, but not inside start', async () => {
    const order: string[] = [];
    new PipeSource(undefined, { skipped: 0n, chunks: [Buffer.from('x')] }).start(
      (chunk) => order.push(chunk.toString()),
      () => order.push('end'),
    );
    order.push('started');
    await turn();
    expect(order).toEqual(['x', 'started', 'end']);
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
    await turn();
    expect(Buffer.concat(chunks).toString()).toBe('later');
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
    await turn();
    writeDescriptor(pipe.write, Buffer.alloc(10));
    await turn();
    expect(sizes).toEqual([65536]);
    source.close();
    closeDescriptor(pipe.write);
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
});
