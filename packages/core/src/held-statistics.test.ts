import type { OpenStatistics } from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ManagedContainer } from './container.ts';
import type { Engine } from './engine.ts';
import { closeStatistics, holdStatistics, openedStatistics } from './held-statistics.ts';

function withDriver(openStatistics?: () => OpenStatistics | undefined): Engine {
  return { drivers: { cgroup: { openStatistics } } } as unknown as Engine;
}

function container(): ManagedContainer {
  return { record: { drivers: { cgroup: {} } } } as unknown as ManagedContainer;
}

function withCount(): { engine: Engine; open: ReturnType<typeof vi.fn>; close: ReturnType<typeof vi.fn> } {
  const close = vi.fn();
  const open = vi.fn(() => ({ memoryStat: () => ({}), cpuStat: vi.fn(), close }));
  return { engine: withDriver(open), open, close };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('statistics that are held', () => {
  it('are opened once for all who wait in a container, and closed some time behind the last of them', () => {
    const { engine, open, close } = withCount();
    const [one, other] = [container(), container()];
    const [first, second] = [holdStatistics(engine, one), holdStatistics(engine, one)];
    const elsewhere = holdStatistics(engine, other);
    expect(openedStatistics(one)).not.toBe(openedStatistics(other));
    expect(open).toHaveBeenCalledTimes(2);
    first();
    vi.advanceTimersByTime(10_000);
    expect(close).not.toHaveBeenCalled();
    second();
    vi.advanceTimersByTime(900);
    const next = holdStatistics(engine, one);
    vi.advanceTimersByTime(10_000);
    next();
    vi.advanceTimersByTime(900);
    expect(open).toHaveBeenCalledTimes(2);
    expect(close).not.toHaveBeenCalled();
    vi.advanceTimersByTime(200);
    expect(close).toHaveBeenCalledTimes(1);
    expect(openedStatistics(one)).toBeUndefined();
    elsewhere();
    vi.advanceTimersByTime(1_000);
    expect(close).toHaveBeenCalledTimes(2);
  });

  it('are closed at once where the container goes', () => {
    const { engine, close } = withCount();
    const one = container();
    const [first, second] = [holdStatistics(engine, one), holdStatistics(engine, one)];
    first();
    closeStatistics(one);
    expect(close).not.toHaveBeenCalled();
    one.destroying = Promise.resolve();
    second();
    expect(close).toHaveBeenCalledTimes(1);
    closeStatistics(one);
    const other = container();
    holdStatistics(engine, other)();
    closeStatistics(other);
    vi.advanceTimersByTime(10_000);
    expect(close).toHaveBeenCalledTimes(2);
  });

  it('do not stay open for very many containers', () => {
    const { engine, close } = withCount();
    const all = Array.from({ length: 70 }, container);
    for (const one of all) holdStatistics(engine, one)();
    expect(close).toHaveBeenCalledTimes(6);
    expect(all.map((one) => openedStatistics(one) !== undefined).indexOf(true)).toBe(6);
    vi.advanceTimersByTime(2_000);
    expect(close).toHaveBeenCalledTimes(70);
  });

  it.each([
    ['does not know that', undefined],
    ['cannot at present', () => undefined],
  ])('are nothing where the driver %s', (_why, openStatistics) => {
    const one = container();
    const release = holdStatistics(withDriver(openStatistics), one);
    expect(openedStatistics(one)).toBeUndefined();
    release();
  });
});
