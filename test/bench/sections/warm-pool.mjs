// Claiming a prepared container. Between two claims the pool gets the time to fill up again, as it has with
// requests that are not back to back.
import { setTimeout as delay } from 'node:timers/promises';
import { startDaemon, warmUp } from '../lib/daemon.mjs';

const PREPARED = 8;

export async function measureWarmPool({ samples, place, count }) {
  const daemon = await startDaemon(place('warm', { server: { warm_containers: PREPARED } }));
  const { client } = daemon;
  try {
    await warmUp(client); // its creates are claims while there are prepared ones
    await filled(place.groups(daemon.place.name), PREPARED);
    for (let i = 0; i < count; i++) {
      const box = await samples.time('claim', () => client.create());
      await samples.time('run true in a claimed one', () => box.run('true'));
      await box.destroy();
      await filled(place.groups(daemon.place.name), PREPARED);
    }
  } finally {
    await daemon.stop();
  }
}

/** Until so many containers' groups exist again, and a moment more for the last of them to become ready. */
async function filled(groups, wanted) {
  while (groups() < wanted) await delay(5);
  await delay(30);
}
