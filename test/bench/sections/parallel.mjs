// Throughput of one and of eight creators, in turn; the floor the same way.
import { startDaemon, warmUp } from '../lib/daemon.mjs';

const CREATORS = 8;

export async function measureParallel({ samples, place, floor, isShort }) {
  const seconds = isShort ? 0.7 : 4;
  const rounds = isShort ? 3 : 5;
  const daemon = await startDaemon(place('parallel'));
  const clients = [];
  try {
    for (let i = 0; i < CREATORS; i++) clients.push(await daemon.connect());
    await warmUp(daemon.client);
    for (let i = 0; i < rounds; i++) {
      for (const creators of [1, CREATORS]) {
        samples.add(
          `warden cycles/s, ${creators} creators`,
          await cycles(clients.slice(0, creators), seconds),
        );
        samples.add(`floor cycles/s, ${creators} creators`, await floor.cycles(creators, seconds));
      }
    }
  } finally {
    for (const client of clients) await client.close();
    await daemon.stop();
  }
}

async function cycles(clients, seconds) {
  const began = performance.now();
  const until = began + seconds * 1e3;
  let count = 0;
  const create = async (client) => {
    for (; performance.now() < until; count++) await (await client.create()).destroy();
  };
  await Promise.all(clients.map(create));
  return count / ((performance.now() - began) / 1e3);
}
