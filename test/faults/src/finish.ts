/**
 * The end of a round in which a step went on or was repeated: the subject is looked at and destroyed, and all
 * is as before it.
 */
import { expect } from 'vitest';
import { type Case, SUBJECT, settingsOf } from './scenarios.ts';
import type { World } from './world.ts';

/** `check`: what is looked at, if not what the case says of a repetition. */
export async function finish(world: World, one: Case, check = one.checkRepeated ?? one.check): Promise<void> {
  const isThere = (await world.client.list()).includes(SUBJECT);
  if (isThere && check) await check(world, world.client.container(SUBJECT));
  if (isThere) await world.client.container(SUBJECT).destroy();
  expect(await world.client.list()).toEqual(['witness']);
  if (settingsOf(one)) await world.restart();
  expect(world.poolsAtEnd() ?? { networks: 1, uids: 1, ports: 0 }).toEqual({
    networks: 1,
    uids: 1,
    ports: 0,
  });
  await world.expectWitness();
  await world.expectClean();
}
