// Claiming a prepared container. Between two claims the pool gets the time to fill up again, as it has with
// requests that are not back to back.
import { setTimeout as delay } from 'node:timers/promises';
import { startDaemon, warmUp } from '../lib/daemon.mjs';

const PREPARED = 8;
/**
 * Lives before claims are counted, beside those of the usual warm-up: what a claim runs through, once, V8
 * compiles behind some hundred (docs/performance/create-and-destroy.md, "Claims of a hot daemon").
 */
const WARM_UP_LIVES = 1_000;

export async function measureWarmPool({ samples, place, count }) {
  const daemon = await startDaemon(place('warm', { server: { warm_containers: PREPARED } }));
  const { client } = daemon;
  const claims = async (when) => {
    for (let i = 0; i < count; i++) {
      await filled(place.groups(daemon.place.name), PREPARED);
      const box = await samples.time(`claim${when}`, () => client.create());
      await samples.time(`run true in a claimed one${when}`, () => box.run('true'));
      await box.destroy();
    }
  };
  try {
    await claims(', fresh daemon');
    await warmUp(client);
    for (let i = 0; i < WARM_UP_LIVES; i++) await (await client.create()).destroy();
    await claims('');
  } finally {
    await daemon.stop();
  }
}

/** Until so many containers' groups exist again, and a moment more for the last of them to become ready. */
async function filled(groups, wanted) {
  while (groups() < wanted) await delay(5);
  await delay(30);
}
