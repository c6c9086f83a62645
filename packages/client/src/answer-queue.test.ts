import { describe, expect, it } from 'vitest';
import { AnswerQueue } from './answer-queue.ts';

function queueOfStrings(): { queue: AnswerQueue<string>; calls: string[] } {
  const calls: string[] = [];
  const queue = new AnswerQueue<string>({
    pause: () => calls.push('pause'),
    resume: () => calls.push('resume'),
  });
  return { queue, calls };
}

const bytes = (length: number): Uint8Array => new Uint8Array(length);

describe('AnswerQueue', () => {
  it('gives answers in order and marks the last', async () => {
    const { queue } = queueOfStrings();
    const first = queue.next();
    queue.push('a', bytes(1), false);
    queue.push('b', bytes(1), true);
    expect(await first).toEqual({ answer: 'a', isLast: false });
    expect(queue.isSettled).toBe(true);
    expect(await queue.next()).toEqual({ answer: 'b', isLast: true });
  });

  it('pauses its source above 256 KiB and resumes it at half of that', async () => {
    const { queue, calls } = queueOfStrings();
    for (let at = 0; at < 4; at += 1) queue.push('x', bytes(65_536), false);
    expect(calls).toEqual([]);
    queue.push('x', bytes(65_536), false);
    expect(calls).toEqual(['pause']);
    for (let at = 0; at < 2; at += 1) await queue.next();
    expect(calls).toEqual(['pause']);
    await queue.next();
    expect(calls).toEqual(['pause', 'resume']);
  });

  it('that is left while its source stands still lets it go on', () => {
    const { queue, calls } = queueOfStrings();
    for (let at = 0; at < 5; at += 1) queue.push('x', bytes(65_536), false);
    queue.push('x', bytes(1), true);
    expect(calls).toEqual(['pause']);
    queue.leave();
    queue.leave();
    expect(calls).toEqual(['pause', 'resume']);
  });

  it('gives the memory of an answer back when the next one is asked for, and not before', async () => {
    const returned: Uint8Array[] = [];
    const source = { pause: () => {}, resume: () => {} };
    const queue = new AnswerQueue<string>(source, { giveBack: (frame) => returned.push(frame) });
    const [first, second] = [bytes(3), bytes(4)];
    queue.push('a', first, false);
    queue.push('b', second, true);
    await queue.next();
    expect(returned).toEqual([]);
    await queue.next();
    expect(returned).toEqual([first]);
  });

  it('fails after what had arrived', async () => {
    const { queue } = queueOfStrings();
    queue.push('a', bytes(1), false);
    queue.fail(new Error('lost'));
    expect((await queue.next()).answer).toBe('a');
    await expect(queue.next()).rejects.toThrow('lost');
  });
});
