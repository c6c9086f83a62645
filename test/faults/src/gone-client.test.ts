/**
 * The client goes away at a step of its request: the request goes on to its end, as if it were still there,
 * and nothing is left.
 */
import { describeWith, patience } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { finish } from './finish.ts';
import { CASES, type Case, settingsOf } from './scenarios.ts';
import { Table } from './table.ts';
import { withWorld } from './with-world.ts';
import type { World } from './world.ts';

const OPERATIONS =
  /^(create|destroy|stop|spawn|link|stream|net-in|net-out|net-rules|limit-[a-z]+|copy-in|copy-out)\./;
const table = new Table('gone-client');

describeWith(['root', 'isolated', 'overlayfs', 'nft'], 'a client that goes away', () => {
  const world = withWorld(table);

  it.each(CASES.filter(([, { failpoint }]) => OPERATIONS.test(failpoint)))(
    'at %s leaves what it asked for, and nothing else [behaviour 3]',
    (_, { failpoint, one }) => table.round(failpoint, 'client gone', () => round(world(), failpoint, one)),
    120_000,
  );
});

async function round(world: World, failpoint: string, one: Case): Promise<void> {
  const settings = settingsOf(one);
  if (settings) await world.restart(settings);
  await one.prepare?.(world);
  const client = await world.connect();
  await client.features(); // otherwise that may be the request which is waited for
  const before = requests(world);
  world.arm(`${failpoint}=${one.skip ? `${one.skip}*off->` : ''}1*delay(400)`);
  const theirs: World = Object.create(world, { client: { value: client } });
  const asked = one.act!(theirs).catch(() => {});
  await expect
    .poll(() => requests(world).asked, { timeout: patience(20_000), interval: 10 })
    .toBeGreaterThan(before.asked);
  await client.close();
  await asked;
  // the answer nobody takes is the last that the daemon says of a request
  await expect
    .poll(() => requests(world).asked - requests(world).answered, { timeout: patience(30_000) })
    .toBeLessThanOrEqual(before.asked - before.answered);
  world.arm('');
  await finish(world, one, one.checkRepeated || one.check);
}

function requests(world: World): { asked: number; answered: number } {
  const lines = world.log().split('\n');
  const count = (...messages: string[]): number =>
    lines.filter((line) => messages.some((message) => line.includes(`"message":"${message}"`))).length;
  return { asked: count('request'), answered: count('answer', 'request-failed') };
}
