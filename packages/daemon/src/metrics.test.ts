/** What the numbers of the daemon promise to those who conclude something from them. */
import { afterEach, expect, it, vi } from 'vitest';
import { Metrics } from './metrics.ts';

afterEach(() => void vi.restoreAllMocks());

it('says the same time of its start at each look, also when the clock was set meanwhile [operations OpenMetrics]', () => {
  const metrics = new Metrics({
    version: '1.0.0',
    depot: '/nonexistent',
    statistics: () => undefined,
    connections: () => undefined,
  });
  const started = (): string | undefined => /^process_start_time_seconds (\S+)$/m.exec(metrics.text())?.[1];
  try {
    const first = started();
    expect(Math.abs(Number(first) - (Date.now() / 1_000 - process.uptime()))).toBeLessThan(60);
    vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 3_600_000);
    expect(started()).toBe(first);
  } finally {
    metrics.close();
  }
});
