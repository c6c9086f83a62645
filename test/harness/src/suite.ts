/** The frame of an integration suite: one daemon, an audit after the last test, forensics when something failed. */
import fs from 'node:fs';
import path from 'node:path';
import { connect } from '@warden/client';
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';
import { startDaemon, type TestDaemon, type TestDaemonOptions } from './daemon.ts';
import { forensics } from './forensics.ts';
import { type Inventory, remainingLeaks, remainingStrangers, takeInventory } from './leak-audit.ts';

/** Destroys the containers that a failed attempt has left: the next one makes some with the same handles. */
async function destroyNew(socket: string, earlier: readonly string[]): Promise<void> {
  await using client = await connect({ path: socket });
  for (const handle of await client.list()) {
    const box = client.container(handle);
    const { containerPath } = await box.info();
    if (earlier.includes(path.basename(String(containerPath)))) continue;
    await box.stop({ kill: true }).catch(() => {});
    await box.destroy();
  }
}

/** Starts a daemon for all tests of a `describe`; use the answer only inside tests. */
export function withDaemon(options: TestDaemonOptions = {}): { readonly daemon: TestDaemon } {
  let daemon: TestDaemon | undefined;
  let before: Inventory | undefined;
  beforeAll(async () => {
    daemon = await startDaemon(options);
    before = takeInventory(daemon.place);
  });
  let earlier: readonly string[] = [];
  beforeEach(() => {
    if (daemon) earlier = fs.readdirSync(daemon.place.depot);
  });
  afterEach(async (context) => {
    if (context.task.result?.state !== 'fail' || !daemon) return;
    process.stderr.write(`${forensics(daemon.place)}\n`);
    await destroyNew(daemon.place.socket, earlier).catch(() => {}); // it has failed already
  });
  afterAll(async () => {
    if (!daemon || !before) return;
    try {
      await daemon.stop();
      const found = [
        ...(await remainingLeaks(daemon.place, before)),
        ...(await remainingStrangers(daemon.place)).map((line) => `processes beside it: ${line}`),
      ];
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
