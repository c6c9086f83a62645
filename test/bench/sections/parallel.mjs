// Throughput of one and of eight creators, in turn; the floor the same way.
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startDaemon, warmUp } from '../lib/daemon.mjs';

const CREATORS = 8;
/**
 * Milliseconds after which what goes on behind the last answers of one, as ends of namespaces, is over, and
 * does not take part in the other.
 */
const REST = 500;

export async function measureParallel({ samples, place, floor, isShort }) {
  // many short ones in turn: what else the machine does changes from second to second
  const seconds = isShort ? 0.7 : 2;
  const rounds = isShort ? 3 : 11;
  const measure = async (name, count) => {
    await delay(REST);
    samples.add(name, await count());
  };
  const daemon = await startDaemon(place('parallel'));
  const clients = [];
  try {
    for (let i = 0; i < CREATORS; i++) clients.push(await daemon.connect());
    await warmUp(daemon.client);
    for (let i = 0; i < rounds; i++) {
      for (const creators of [1, CREATORS]) {
        const some = clients.slice(0, creators);
        await measure(`warden cycles/s, ${creators} creators`, () =>
          cycles(some, seconds, daemon.place.depot),
        );
        await measure(`floor cycles/s, ${creators} creators`, () => floor.cycles(creators, seconds));
      }
    }
  } finally {
    for (const client of clients) await client.close();
    await daemon.stop();
  }
}

/** A life is over when its files are gone, too, which nobody waits for. */
async function cycles(clients, seconds, depot) {
  const began = performance.now();
  const until = began + seconds * 1e3;
  let count = 0;
  const create = async (client) => {
    for (; performance.now() < until; count++) await (await client.create()).destroy();
  };
  await Promise.all(clients.map(create));
  while (fs.readdirSync(path.join(depot, '.removed')).length > 0) await delay(1);
  return count / ((performance.now() - began) / 1e3);
}
