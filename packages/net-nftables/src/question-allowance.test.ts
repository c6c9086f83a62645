import { expect, it } from 'vitest';
import { QUESTION_MS, QuestionAllowance } from './question-allowance.ts';

const [ONE, OTHER] = ['17c8rme1v5q', '17c8rme1v5r'] as const;
const takenAt = (allowance: QuestionAllowance, now: number, tries = 1_000): number =>
  Array.from({ length: tries }, () => allowance.take(ONE, now)).filter(Boolean).length;

it('lets 300 questions in at once and 100 in each second from then on', () => {
  const allowance = new QuestionAllowance();
  expect(takenAt(allowance, 5_000)).toBe(300);
  expect([0, 1, 2].map((second) => takenAt(allowance, 6_000 + second * 1_000))).toEqual([100, 100, 100]);
  expect(takenAt(allowance, 8_000 + QUESTION_MS)).toBe(1);
});

it('saves up no more than that while nothing is asked', () => {
  const allowance = new QuestionAllowance();
  takenAt(allowance, 0);
  expect(takenAt(allowance, 3_600_000)).toBe(300);
});

it('is for each container alone, and begins anew for who is forgotten', () => {
  const allowance = new QuestionAllowance();
  takenAt(allowance, 0);
  expect([allowance.take(ONE, 0), allowance.take(OTHER, 0)]).toEqual([false, true]);
  allowance.forget(ONE);
  expect(takenAt(allowance, 0)).toBe(300);
});
