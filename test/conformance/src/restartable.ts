/** A daemon for scenarios that end it and start the next one on the same place. */
import { setTimeout as delay } from 'node:timers/promises';
import {
  forensics,
  type Inventory,
  remainingLeaks,
  startDaemon,
  type TestDaemon,
  type TestDaemonOptions,
  takeInventory,
} from '@warden/test-harness';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';

/** How long a daemon may take to end after a signal. */
const PATIENCE_MS = 60_000;

export interface Restartable {
  readonly daemon: TestDaemon;
  /** What a scenario may ask for by name. */
  readonly controls: Readonly<Record<string, () => Promise<void>>>;
}

/** As the harness's `withDaemon`, for a daemon that does not live through the suite. */
export function withRestartableDaemon(options: TestDaemonOptions = {}): Restartable {
  let daemon: TestDaemon | undefined;
  let before: Inventory | undefined;
  const current = (): TestDaemon => {
    if (!daemon) throw new Error('the daemon did not start');
    return daemon;
  };
  beforeAll(async () => {
    daemon = await startDaemon(options);
    before = takeInventory(daemon.place);
  });
  afterEach((context) => {
    if (context.task.result?.state === 'fail' && daemon) process.stderr.write(`${forensics(daemon.place)}\n`);
  });
  afterAll(async () => {
    if (!daemon || !before) return;
    try {
      await daemon.stop();
      const found = (await remainingLeaks(daemon.place, before)).filter((line) => !line.includes('wardend'));
      expect(found, 'left behind by the suite').toEqual([]);
    } finally {
      await daemon.kill();
      await daemon.place.remove();
    }
  });
  return {
    get daemon() {
      return current();
    },
    controls: {
      drain: () => current().kill('SIGUSR2'),
      kill: () => current().kill('SIGKILL'),
      terminate: () => current().kill('SIGTERM'),
      sigusr2: async () => {
        process.kill(current().pid, 'SIGUSR2');
      },
      wait: () => gone(current().pid),
      start: async () => {
        daemon = await startDaemon({ ...options, place: current().place });
      },
    },
  };
}

async function gone(pid: number): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  while (isAlive(pid)) {
    if (Date.now() > deadline) throw new Error(`process ${pid} did not end within ${PATIENCE_MS} ms`);
    await delay(20);
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
