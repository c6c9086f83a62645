import type { ClientJob } from '@warden/client';
import { describe, expect, it, vi } from 'vitest';
import { Interruption } from './signals.ts';

/** Its handler of SIGINT alone: whoever runs the tests may have one, too. */
function interruptible(): { readonly interruption: Interruption; interrupt(): void } {
  const before = process.listeners('SIGINT');
  const interruption = new Interruption();
  const own = process.listeners('SIGINT').find((one) => !before.includes(one))!;
  return { interruption, interrupt: () => own('SIGINT') };
}

function killable(): { readonly job: ClientJob; readonly kills: unknown[] } {
  const kills: unknown[] = [];
  const kill = async (options: unknown): Promise<void> => void kills.push(options);
  return { job: { kill } as unknown as ClientJob, kills };
}

describe('a signal to this program', () => {
  it('goes to the whole tree of the job, and the next one kills it', () => {
    const { interruption, interrupt } = interruptible();
    using _ = interruption;
    const { job, kills } = killable();
    interruption.follow(job);
    expect([kills, interruption.exitCode]).toEqual([[], undefined]);
    interrupt();
    expect(kills).toEqual([{ signal: 2, tree: true }]);
    interrupt();
    expect(kills.slice(1)).toEqual([{ signal: 9, tree: true }]);
    expect([interruption.exitCode, interruption.signal.aborted]).toEqual([130, false]);
  });

  it('that came before there was a job breaks off what was under way, and goes to the job all the same', () => {
    const { interruption, interrupt } = interruptible();
    using _ = interruption;
    interrupt();
    expect([interruption.exitCode, interruption.signal.aborted]).toEqual([130, true]);
    const { job, kills } = killable();
    interruption.follow(job);
    expect(kills).toEqual([{ signal: 2, tree: true }]);
  });

  it.each([
    ['the second', 'before there is a job', 2],
    ['the third', 'while a job is followed', 3],
  ])('ends this program itself, %s one %s', (_, when, last) => {
    const { interruption, interrupt } = interruptible();
    using _end = interruption;
    if (when !== 'before there is a job') interruption.follow(killable().job);
    const exit = vi.spyOn(process, 'exit').mockImplementation((() => undefined) as never);
    try {
      for (let count = 1; count < last; count += 1) interrupt();
      expect(exit).not.toHaveBeenCalled();
      interrupt();
      expect(exit).toHaveBeenCalledWith(130);
    } finally {
      exit.mockRestore();
    }
  });
});
