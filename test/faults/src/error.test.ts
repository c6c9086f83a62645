/** A step of the daemon fails: whoever asked is told where, the same again succeeds, and nothing is left or lost. */
import fs from 'node:fs';
import path from 'node:path';
import { setAside } from '@warden/core';
import { describeWith } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { finish } from './finish.ts';
import { CASES, type Case, settingsOf } from './scenarios.ts';
import { Table } from './table.ts';
import { withWorld } from './with-world.ts';
import { endInit, type World } from './world.ts';

const table = new Table('error');

describeWith(['root', 'isolated', 'overlayfs', 'nft'], 'an error', () => {
  const world = withWorld(table);

  it.each(CASES)(
    'at %s is told, and the same again succeeds [SECURITY L01-L05]',
    (_, { failpoint, one }) => table.round(failpoint, 'error', () => round(world(), failpoint, one)),
    120_000,
  );
});

async function round(world: World, failpoint: string, one: Case): Promise<void> {
  const settings = settingsOf(one);
  if (settings) await world.restart(settings);
  await one.prepare?.(world);
  const points = `${failpoint}=${one.skip ? `${one.skip}*off->` : ''}1*error`;
  const isStart = one.atStart === true;
  if (isStart) {
    await world.kill();
    if (one.error === 'start')
      await expect(world.start({ points })).rejects.toThrow(`failpoint ${failpoint}`);
    else await world.start({ points });
    if (one.error === 'aside') await takeBack(world, failpoint);
    if (one.error === 'start') await world.start();
    if (one.error === 'tolerated') await bury(world);
  } else {
    world.arm(points);
    if (one.error === 'answer') await expect(one.act!(world)).rejects.toThrow(`failpoint ${failpoint}`);
    else await one.act!(world);
    if (failpoint.startsWith('drain.')) {
      await world.died();
      await world.start({});
    }
  }
  world.arm('');
  if (!isStart && one.error === 'answer') await one.act!(world);
  await finish(world, one);
}

/** Both containers were set aside, or one: their directories get their names back, and all is as before. */
async function takeBack(world: World, failpoint: string): Promise<void> {
  const found = setAside(world.place.depot);
  expect(found.map(({ reason }) => reason)).toEqual([`failpoint ${failpoint}`]);
  await world.kill();
  for (const { id, directory } of found) {
    fs.rmSync(path.join(directory, 'quarantine.json'));
    fs.renameSync(directory, path.join(world.place.depot, id));
  }
  await world.start();
}

/** What could not be removed, or not be understood, is aside: it is ended and removed by hand. */
async function bury(world: World): Promise<void> {
  for (const { directory } of setAside(world.place.depot)) {
    await endInit(world, directory);
    fs.rmSync(directory, { recursive: true });
    await world.restart();
  }
}
