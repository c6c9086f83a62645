import { NO_FAILPOINTS, silentLogger, WardenError } from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { checkConfiguration } from './config.ts';
import { ConfigurationInForce, type DaemonParts, StartedDaemon } from './running-daemon.ts';
import { ShutdownSteps } from './shutdown-steps.ts';

/** A daemon whose parts do nothing, but for `parts`. */
function daemonOf(parts: Partial<Record<keyof DaemonParts, unknown>>, done: string[]): StartedDaemon {
  const shutdown = new ShutdownSteps(silentLogger);
  shutdown.push(() => void done.push('ended'));
  const configuration = checkConfiguration({ server: { drain_timeout: 20 } });
  const rest = {
    inForce: new ConfigurationInForce(configuration, undefined),
    core: { settle: async () => {}, containerCount: 0 },
    server: { drain: async () => {} },
    watchers: { phase: 'ready' },
    logger: { ...silentLogger, error: (event: string) => void done.push(event) },
    failpoints: NO_FAILPOINTS,
  };
  return new StartedDaemon({ ...rest, shutdown, ...parts } as unknown as DaemonParts);
}

describe('a daemon that drains', () => {
  const done: string[] = [];
  beforeEach(() => {
    done.length = 0;
    vi.useFakeTimers();
  });
  afterEach(() => vi.useRealTimers());

  it('ends although its requests cannot be brought to their ends, and leaves no timer to whoever runs it', async () => {
    const server = { drain: () => Promise.reject(new Error('no')) };
    await daemonOf({ server }, done).drain();
    expect(vi.getTimerCount()).toBe(0);
    expect(done).toEqual(['drain-failed', 'ended']);
  });

  it('gives up what takes longer than it may, and ends', async () => {
    const daemon = daemonOf({ core: { settle: () => new Promise(() => {}) } }, done);
    const drained = daemon.drain();
    await vi.advanceTimersByTimeAsync(20_000);
    await drained;
    expect(done).toEqual(['drain-timeout', 'ended']);
  });

  it.each([
    ['drain', ['drain-timeout', 'ABORTED', 'ended']],
    ['close', ['ABORTED', 'ended']],
  ] as const)(
    'ends by a %s although a reload waits for containers, which gives up first',
    async (end, expected) => {
      const nothing = async (): Promise<void> => {};
      const reconfigure = (_changes: unknown, signal: AbortSignal): Promise<void> =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(new WardenError('ABORTED', 'given up')));
        });
      const revert = vi.fn(nothing);
      const watchers = { phase: 'ready', move: async () => ({ commit: nothing, revert }) };
      const core = { settle: nothing, containerCount: 0, reconfigure };
      const daemon = daemonOf({ core, watchers, drivers: {}, depot: '/depot' }, done);
      const next = checkConfiguration({ server: { container_grace_time: 7, container_rootfs_path: '/' } });
      const reload = daemon.reload(next).catch(({ code }: WardenError) => void done.push(code));
      await vi.advanceTimersByTimeAsync(1);
      const ended = daemon[end]();
      await vi.advanceTimersByTimeAsync(20_000);
      await Promise.all([ended, reload]);
      expect(done).toEqual(expected);
      expect(revert).toHaveBeenCalledOnce();
    },
  );

  it('ends once, and takes no other configuration then', async () => {
    const daemon = daemonOf({}, done);
    await Promise.all([daemon.drain(), daemon.close()]);
    const refusal = await daemon.reload(checkConfiguration({})).catch((error: WardenError) => error.code);
    expect([refusal, done]).toEqual(['UNAVAILABLE', ['ended']]);
  });
});
