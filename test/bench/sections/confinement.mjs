// What the safety net costs: the same daemon with all of it (the default) and without, in turn.
import { startDaemon, warmUp } from '../lib/daemon.mjs';

const ALL_CAPABILITIES_OFF = { user_namespace: false, seccomp: false, no_new_privileges: false };
const RUNS = 2;

export async function measureConfinement({ samples, place, count }) {
  const daemons = [
    ['confined', await startDaemon(place('confined'))],
    ['unconfined', await startDaemon(place('unconfined', { security: ALL_CAPABILITIES_OFF }))],
  ];
  try {
    for (const [, { client }] of daemons) await warmUp(client);
    for (let i = 0; i < count; i++) {
      for (const [name, { client }] of daemons) {
        const box = await samples.time(`${name} create`, () => client.create());
        for (let j = 0; j < RUNS; j++) await samples.time(`${name} run true`, () => box.run('true'));
        await samples.time(`${name} destroy`, () => box.destroy());
      }
    }
  } finally {
    for (const [, daemon] of daemons) await daemon.stop();
  }
}
