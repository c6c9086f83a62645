import { MAX_ENDED_JOBS } from '@warden/interface';
import { expect, it } from 'vitest';
import { endedJobsOf } from './info.ts';

it('tells the thousand ended jobs that were started last, in order, and none that runs', () => {
  const outcome = { exitStatus: 0, verdict: { reason: 'exited' } } as const;
  const jobs = Array.from({ length: MAX_ENDED_JOBS + 2 }, (_, at) => ({ id: at + 1, outcome }));
  const running = { id: 5_000, outcome: undefined };
  const told = endedJobsOf([running, ...jobs].reverse()).map(({ id }) => id);
  expect(told).toHaveLength(1_000);
  expect([told[0], told.at(-1)]).toEqual([3, 1_002]);
  expect(told).toEqual([...told].sort((a, b) => a - b));
});
