// What it costs that records are on the disk itself before the daemon goes on: not the default
// (docs/reliability.md says why), with it, in turn.
import { startDaemon } from '../lib/daemon.mjs';

export async function measureDurable({ samples, place, count }) {
  const daemons = [
    ['durable', await startDaemon(place('durable', { drivers: { durable: true } }))],
    ['not durable', await startDaemon(place('not-durable'))],
  ];
  try {
    for (const [, { client }] of daemons) await (await client.create()).destroy();
    for (let i = 0; i < count; i++) {
      for (const [name, { client }] of daemons) {
        const box = await samples.time(`create ${name}`, () => client.create());
        await samples.time(`destroy ${name}`, () => box.destroy());
      }
    }
  } finally {
    for (const [, daemon] of daemons) await daemon.stop();
  }
}
