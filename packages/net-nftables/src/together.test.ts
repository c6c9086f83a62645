import { expect, it, vi } from 'vitest';
import { Together } from './together.ts';

it('does in one go what is asked for in one turn', async () => {
  const carryOut = vi.fn(async () => {});
  const together = new Together<number>(carryOut);
  await Promise.all([together.add(1), together.add(2)]);
  await together.add(3);
  expect(carryOut.mock.calls).toEqual([[[1, 2]], [[3]]]);
});

it('does each on its own where that fails, and tells each what has become of it', async () => {
  const carryOut = vi.fn(async (items: readonly number[]) => {
    if (items.includes(2)) throw new Error(`not ${items.join()}`);
  });
  const together = new Together<number>(carryOut);
  const results = await Promise.allSettled([1, 2, 3].map((item) => together.add(item)));
  expect(results).toMatchObject([
    { status: 'fulfilled' },
    { status: 'rejected', reason: { message: 'not 2' } },
    { status: 'fulfilled' },
  ]);
  expect(carryOut.mock.calls).toEqual([[[1, 2, 3]], [[1]], [[2]], [[3]]]);
});
