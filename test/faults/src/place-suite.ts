/** A daemon of its own for one fault, with nothing left at the end. */
import fs from 'node:fs';
import {
  forensics,
  makePlace,
  remainingLeaks,
  startDaemon,
  type TestDaemon,
  type TestDaemonOptions,
  type TestPlace,
  takeInventory,
} from '@warden/test-harness';

/** What a fault is tried on. */
export interface Bench {
  readonly place: TestPlace;
  /** The one that runs now. */
  daemon: TestDaemon;
  /** Another one in its place. */
  restart(options?: TestDaemonOptions): Promise<TestDaemon>;
}

const CONFIG = { network: { release_delay: 0 } };

/**
 * `isShared`: other tests of this process run at the same time, with namespaces of theirs. Runs `body` with a
 * daemon; afterwards everything is destroyed, and what is left fails.
 */
export async function withBench(
  options: TestDaemonOptions & { readonly isShared?: boolean },
  body: (bench: Bench) => Promise<void>,
): Promise<void> {
  const place = options.place ?? (await makePlace(options.parent));
  const given = {
    ...options,
    place,
    config: { ...options.config, network: { ...CONFIG.network, ...options.config?.network } },
  };
  const bench: Bench = {
    place,
    daemon: await startDaemon(given),
    restart: async (others) => {
      await bench.daemon.kill('SIGKILL');
      bench.daemon = await startDaemon(others ? { ...given, ...others } : given);
      return bench.daemon;
    },
  };
  const before = takeInventory(place);
  try {
    await body(bench);
    if (!fs.existsSync(`/proc/${bench.daemon.pid}`)) await bench.restart();
    await bench.daemon.stop();
    const left = (await remainingLeaks(place, before)).filter(
      (line) => !line.includes('wardend') && !(options.isShared && line.startsWith('namespaces')),
    );
    if (left.length > 0) throw new Error(`left behind: ${left.join('; ')}`);
  } catch (error) {
    process.stderr.write(`${forensics(place)}\n`);
    throw error;
  } finally {
    await bench.daemon.kill('SIGKILL');
    await place.remove();
  }
}
