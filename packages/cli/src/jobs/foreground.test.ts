import { PassThrough } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import type { ClientJob } from '@warden/client';
import { WardenError } from '@warden/interface';
import { describe, expect, it, vi } from 'vitest';
import { runForeground } from './foreground.ts';

/** A job whose terminal takes what is typed when it is told to, and that ends when it is left. */
class SlowJob {
  readonly taken: string[] = [];
  readonly #waiting: (() => void)[] = [];

  async write(data: Uint8Array): Promise<void> {
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.taken.push(Buffer.from(data).toString('latin1'));
  }

  async takeNext(): Promise<void> {
    this.#waiting.shift()?.();
    await turn();
  }

  async *stream({ signal }: { readonly signal: AbortSignal }): AsyncGenerator<never, never> {
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
    throw new WardenError('ABORTED', 'left');
  }
}

function follow(job: SlowJob): { readonly stdin: PassThrough; readonly left: Promise<unknown> } {
  const stdin = new PassThrough();
  const terminal = { stdin, stdout: new PassThrough(), stderr: new PassThrough(), env: {} };
  const options = { input: 'terminal', detachKeys: Uint8Array.of(0x10, 0x11) } as const;
  return { stdin, left: runForeground(job as unknown as ClientJob, terminal, options) };
}

describe('leaving a job in a terminal', () => {
  it('waits for what was typed before, and passes nothing on that comes behind', async () => {
    const job = new SlowJob();
    const { stdin, left } = follow(job);
    const isLeft = vi.fn();
    void left.then(isLeft);
    stdin.write('kept=yes');
    await turn();
    stdin.write('\r\x10\x11nothing');
    await turn();
    stdin.write('more');
    await turn();
    expect([job.taken, isLeft.mock.calls]).toEqual([[], []]);
    await job.takeNext();
    expect([job.taken, isLeft.mock.calls]).toEqual([['kept=yes'], []]);
    await job.takeNext();
    expect(await left).toMatchObject({ end: undefined });
    expect(job.taken).toEqual(['kept=yes', '\r']);
  });

  it('does not wait for ever for a job that reads nothing', async () => {
    const job = new SlowJob();
    const { stdin, left } = follow(job);
    stdin.write('kept\x10\x11');
    await turn();
    expect(await left).toMatchObject({ end: undefined });
    expect(job.taken).toEqual([]);
  });
});
