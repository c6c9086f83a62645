/** The frame of an integration suite: one daemon, an audit after the last test, forensics when something failed. */
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { startDaemon, type TestDaemon, type TestDaemonOptions } from './daemon.ts';
import { forensics } from './forensics.ts';
import { type Inventory, remainingLeaks, takeInventory } from './leak-audit.ts';

/** Starts a daemon for all tests of a `describe`; use the answer only inside tests. */
export function withDaemon(options: TestDaemonOptions = {}): { readonly daemon: TestDaemon } {
  let daemon: TestDaemon | undefined;
  let before: Inventory | undefined;
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
      if (found.length > 0) process.stderr.write(`${forensics(daemon.place)}\n`);
      expect(found, 'left behind by the suite').toEqual([]);
    } finally {
      await daemon.kill();
      await daemon.place.remove();
    }
  });
  return {
    get daemon() {
      if (!daemon) throw new Error('the daemon did not start');
      return daemon;
    },
  };
}
