// Docker, as it is used: one process per request. It is slower by so much that nobody has to take turns with
// it one by one, and a daemon more would take part in what the other sections measure. So what it is compared
// with is measured here once more, in the same minutes.
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startDaemon, warmUp } from '../lib/daemon.mjs';
import { startDocker, whyNoDocker } from '../lib/docker.mjs';
import { settle } from '../lib/settle.mjs';
import { GIVING_BACK, makeTree, newDirectory, trees } from './copies.mjs';
import { RUNS, runOf } from './lives.mjs';

const MOST_LIVES = 50;
const MOST_COPIES = 3;
const BOX = 'box';

export async function measureDocker({ samples, skipped, place, count, isShort }) {
  const reason = whyNoDocker();
  if (reason !== undefined) {
    skipped.set('docker', reason);
    return;
  }
  const daemon = await startDaemon(place('docker'));
  try {
    const docker = await startDocker(place.settings).catch((error) => error);
    if (docker instanceof Error) {
      skipped.set('docker', docker.message);
      return;
    }
    try {
      await warmUp(daemon.client);
      for (let i = 0; i < Math.min(count, MOST_LIVES); i++)
        await oneLife({ samples, docker, client: daemon.client, name: `${BOX}${i}` });
      for (const tree of Object.values(trees(isShort)))
        await copies({ samples, docker, client: daemon.client, place, tree, isShort });
    } finally {
      await docker.stop();
    }
  } finally {
    await daemon.stop();
  }
}

async function oneLife({ samples, docker, client, name }) {
  await samples.time('docker run --detach', () => docker.create(name));
  await samples.time('docker exec true', () => docker.exec(name));
  await samples.time('docker rm', () => docker.remove(name));
  const box = await samples.time('warden create beside docker', () => client.create());
  for (let i = 0; i < RUNS; i++)
    await samples.time(`${runOf('warden', i)} true beside docker`, () => box.run('true'));
  await samples.time('warden destroy beside docker', () => box.destroy());
}

/**
 * Each into a container of its own, whose files lie elsewhere on the disk: what was removed last is in
 * nobody's way (see copies.mjs).
 */
async function copies({ samples, docker, client, place, tree, isShort }) {
  const host = newDirectory(place.settings.directory);
  const source = path.join(host, 'tree');
  makeTree(source, tree);
  const boxes = [];
  try {
    for (let i = 0; i < (isShort ? 1 : MOST_COPIES); i++) {
      const name = `${BOX}-copies-${i}`;
      await docker.create(name);
      const box = await client.create();
      boxes.push({ name, box });
      const copy = async (what, action) => {
        await settle(host);
        if (!isShort) await delay(GIVING_BACK);
        await samples.time(`${what} ${tree.label}`, action);
      };
      await copy('docker cp in', () => docker.copyIn(source, name, '/tmp'));
      await copy('copy_in beside docker', () => box.copyIn(source, '/tmp'));
      await copy('docker cp out', () => docker.copyOut(name, '/tmp/tree', `${newDirectory(host)}/`));
      await copy('copy_out beside docker', () => box.copyOut('/tmp/tree', `${newDirectory(host)}/`));
    }
  } finally {
    for (const { name, box } of boxes) {
      await docker.remove(name);
      await box.destroy();
    }
    fs.rmSync(host, { recursive: true, force: true });
  }
}
