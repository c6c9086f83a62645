import { describe, expect, it } from 'vitest';
import { ByteBudget } from '../src/byte-budget.ts';

/** What each connection has for nothing. */
const FREE = 64 * 1024;

describe('the budget of all connections', () => {
  it('counts what each holds beyond 64 KiB, and refuses whoever makes it too much', () => {
    const budget = new ByteBudget(1_000);
    const [one, other] = [budget.open(), budget.open()];
    one.set(FREE);
    expect(budget.used).toBe(0);
    one.set(FREE + 600);
    other.set(FREE + 400);
    expect(budget.used).toBe(1_000);
    expect(() => one.set(FREE + 601)).toThrow(expect.objectContaining({ code: 'UNAVAILABLE' }));
    expect(budget.used).toBe(1_001);
    other.set(10);
    expect(budget.used).toBe(601);
  });

  it('refuses nobody who gives back, however much is held by others', () => {
    const budget = new ByteBudget(1_000);
    const [one, other] = [budget.open(), budget.open()];
    expect(() => one.set(FREE + 5_000)).toThrow();
    expect(() => other.set(FREE + 500)).toThrow();
    // that is what happens when a connection closes, where nobody would catch it
    other.set(FREE + 100);
    other.set(0);
    one.set(FREE + 2_000);
    expect(budget.used).toBe(2_000);
  });
});
