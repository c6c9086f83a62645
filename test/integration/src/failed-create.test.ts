/** A failure at any step of create leaves nothing on the host, and the same create works afterwards. */

import { CREATE_FAILPOINTS } from '@warden/core';
import { describeWith, remainingLeaks, startDaemon, takeInventory } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { endCleanly } from './end-cleanly.ts';

describeWith(['root', 'isolated', 'overlayfs'], 'a create that fails', () => {
  it.each(CREATE_FAILPOINTS)('at %s leaves nothing behind', async (failpoint) => {
    const daemon = await startDaemon({
      environment: { WARDEN_FAILPOINT: `${failpoint}=error` },
      config: { network: { release_delay: 0 } },
    });
    try {
      const warden = await daemon.connect();
      const before = takeInventory(daemon.place, daemon.pid);
      for (let round = 0; round < 3; round++) {
        await expect(warden.create({ handle: 'never' })).rejects.toMatchObject({
          message: expect.stringContaining(failpoint),
        });
      }
      expect(await remainingLeaks(daemon.place, before, { daemonPid: daemon.pid })).toEqual([]);
      expect(await warden.list()).toEqual([]);
    } finally {
      await daemon.stop();
      await daemon.place.remove();
    }
  });

  it.each(CREATE_FAILPOINTS)('killed at %s is cleaned up by the next daemon', async (failpoint) => {
    let daemon = await startDaemon({ environment: { WARDEN_FAILPOINT: `${failpoint}=kill` } });
    const { place } = daemon;
    const before = takeInventory(place);
    try {
      const warden = await daemon.connect();
      await expect(warden.create({ handle: 'half-made' })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      await daemon.kill();
      daemon = await startDaemon({ place });
      const again = await daemon.connect();
      for (const handle of await again.list()) await again.container(handle).destroy();
      const box = await again.create({ handle: 'half-made' });
      expect((await box.run('exit 3')).exitStatus).toBe(3);
      await box.destroy();
    } finally {
      await endCleanly(daemon, before);
    }
  });
});
