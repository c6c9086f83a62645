import type { OpenStatistics } from '@warden/interface';
import { describe, expect, it, vi } from 'vitest';
import type { ManagedContainer } from './container.ts';
import type { Engine } from './engine.ts';
import { holdStatistics } from './held-statistics.ts';

function withDriver(openStatistics?: () => OpenStatistics | undefined): Engine {
  return { drivers: { cgroup: { openStatistics } } } as unknown as Engine;
}

function container(): ManagedContainer {
  return { record: { drivers: { cgroup: {} } } } as unknown as ManagedContainer;
}

describe('statistics that are held', () => {
  it('are opened once for all who wait in a container, and closed behind the last of them', async () => {
    const close = vi.fn();
    const openStatistics = vi.fn(() => ({ memoryStat: () => ({}), cpuStat: vi.fn(), close }));
    const engine = withDriver(openStatistics);
    const [one, other] = [container(), container()];
    const [first, second] = [holdStatistics(engine, one), holdStatistics(engine, one)];
    const elsewhere = holdStatistics(engine, other);
    expect(second.open).toBe(first.open);
    expect(elsewhere.open).not.toBe(first.open);
    expect(openStatistics).toHaveBeenCalledTimes(2);
    first.release();
    await new Promise(setImmediate);
    expect(close).not.toHaveBeenCalled();
    second.release();
    const next = holdStatistics(engine, one);
    expect(next.open).not.toBe(first.open);
    await new Promise(setImmediate);
    expect(close).toHaveBeenCalledTimes(1);
    next.release();
    elsewhere.release();
    await new Promise(setImmediate);
    expect(close).toHaveBeenCalledTimes(3);
  });

  it.each([
    ['does not know that', undefined],
    ['cannot at present', () => undefined],
  ])('are nothing where the driver %s', (_why, openStatistics) => {
    const held = holdStatistics(withDriver(openStatistics), container());
    expect(held.open).toBeUndefined();
    held.release();
  });
});
