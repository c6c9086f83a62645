/** Usage is read while somebody looks, in small pieces, and kept with a bound. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { History, type Sample } from '../src/history.ts';
import { Sampler } from '../src/sampler.ts';
import { FakeSource } from './fake-source.ts';

/** Deadlines for a machine that is busy with something else. */
const SOON = { timeout: 20_000 };

const samplers: Sampler[] = [];
afterEach(() => Promise.all(samplers.splice(0).map((sampler) => sampler.close())));

function samplerOf(source: FakeSource): Sampler {
  const sampler = new Sampler(source);
  samplers.push(sampler);
  return sampler;
}

describe('reading', () => {
  it('begins when somebody looks, and not before [page sampling]', async () => {
    const source = new FakeSource(3);
    const sampler = samplerOf(source);
    await delay(50);
    expect(source.measures).toBe(0);
    sampler.watch();
    await expect.poll(() => sampler.history.times.length, SOON).toBe(1);
    expect(source.measures).toBe(3);
    expect(sampler.measureOf('id2')).toMatchObject({ usage: { memory: 3_072 } });
  });

  it('leaves most of the time to others: none of them waits longer than a container takes to read and a little [page sampling]', async () => {
    const source = new FakeSource(200);
    source.readMs = 1;
    const sampler = samplerOf(source);
    const begun = performance.now();
    sampler.watch();
    let turns = 0;
    while (sampler.history.times.length === 0) {
      await delay(1);
      turns += 1;
    }
    // 200 ms of reading, in pieces of some 2 ms with rests of at least four times as long
    expect(performance.now() - begun).toBeGreaterThan(700);
    expect(turns).toBeGreaterThan(60);
  });

  it('ends in the middle of a round when the page is closed [page sampling]', async () => {
    const source = new FakeSource(1_000);
    source.readMs = 1;
    const sampler = samplerOf(source);
    sampler.watch();
    await expect.poll(() => source.measures, SOON).toBeGreaterThan(2);
    await sampler.close();
    const { measures } = source;
    expect(measures).toBeLessThan(1_000);
    sampler.watch();
    await delay(50);
    expect(source.measures).toBe(measures);
  });
});

describe('what is kept', () => {
  const sample = (id: string, cpu: number | undefined, readAt: number): Sample => ({
    id,
    cpu,
    memory: 10,
    readAt,
  });

  it('is processors that were busy, of the time between two readings [page sampling]', () => {
    const history = new History();
    history.add(1_000, [sample('a', 0, 0), sample('b', undefined, 0)], { jobs: 1 });
    history.add(3_000, [sample('a', 1e9, 2_000), sample('b', undefined, 2_000)], { jobs: 1 });
    history.add(5_000, [sample('a', 0.5e9, 4_000)], { jobs: 0 });
    expect(history.of('a')).toEqual({ cpu: [null, 0.5, 0], memory: [10, 10, 10], last: expect.anything() });
    expect(history.of('b'), 'a container that is gone').toEqual({ cpu: [], memory: [] });
    expect(history.totals).toEqual([
      { time: 1_000, cpu: 0, memory: 20, containers: 2, jobs: 1 },
      { time: 3_000, cpu: 0.5, memory: 20, containers: 2, jobs: 1 },
      { time: 5_000, cpu: 0, memory: 10, containers: 1, jobs: 0 },
    ]);
  });

  it('has a bound in number and in time, and ends with the newest time [page sampling]', () => {
    const history = new History();
    for (let at = 0; at < 1_000; at++)
      history.add(at * 1_000, [sample('a', at, at), ...late(at)], { jobs: 0 });
    expect(history.times.length).toBe(90);
    expect(history.of('a').cpu.length).toBe(90);
    expect(history.of('late').cpu.length).toBe(10);
    expect(history.times.at(-1)).toBe(999_000);
    expect(history.totals.length).toBe(450);
    history.add(999_000 + 3_600_000, [sample('a', 0, 1e9)], { jobs: 0 });
    expect(history.times.length, 'after an hour without anybody').toBe(1);
    expect(history.of('a').cpu.length).toBe(1);
    expect(history.totals.length).toBe(1);
  });

  const late = (at: number): Sample[] => (at >= 990 ? [sample('late', at, at)] : []);
});
