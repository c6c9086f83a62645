/**
 * Init dies or fails at each of its own failpoints: whoever asked is told, the daemon and the others go on,
 * and destroy leaves nothing.
 */
import { describeWith } from '@warden/test-harness';
import { describe, expect, it } from 'vitest';
import { SUBJECT } from './scenarios.ts';
import { Table } from './table.ts';
import { withWorld } from './with-world.ts';
import { listed, type World } from './world.ts';
import { COPY_CASE, INIT_SCENARIOS, type InitCase, type Told } from './wshd-scenarios.ts';

const table = new Table('wshd');
const CASES: readonly (readonly [string, InitCase])[] = [
  ...Object.entries(INIT_SCENARIOS),
  ['wshd.accept', COPY_CASE],
  ['wshd.hello', COPY_CASE],
];

describe('every failpoint of init', () => {
  it('that wshd lists has a scenario, and every scenario a failpoint', () => {
    expect(Object.keys(INIT_SCENARIOS).sort()).toEqual(listed('wshd').sort());
  });
});

describeWith(['root', 'isolated', 'overlayfs', 'nft'], 'an init that', () => {
  const world = withWorld(table);

  for (const action of ['kill', 'error'] as const) {
    it.each(CASES.map(([name, one]) => [`${name}${one.skip ? ' (copy)' : ''}`, name, one] as const))(
      `meets ${action} at %s [SECURITY L07] [SECURITY L08]`,
      (_, name, one) => table.round(name, action, () => round(world(), `${name}=`, action, one)),
    );
  }
});

async function round(world: World, prefix: string, action: 'kill' | 'error', one: InitCase): Promise<void> {
  world.arm(`${prefix}${one.skip ? `${one.skip}*off->` : ''}${action}`);
  const creating = world.client.create({ handle: SUBJECT });
  if (one.atCreate) {
    await expectTold(creating, one[action]);
  } else {
    const box = await creating;
    await expectTold(one.act!(world, box), one[action]);
    world.arm('');
    if (one.lives) expect((await box.info()).state).toBe('active');
    await world.client.container(SUBJECT).destroy().catch(refuseAllButGone);
  }
  world.arm('');
  expect(await world.client.list()).toEqual(['witness']);
  const box = await world.client.create({ handle: SUBJECT });
  expect((await box.run('exit 3')).exitStatus).toBe(3);
  await box.destroy();
  expect(world.poolsAtEnd()).toEqual({ networks: 1, uids: 1, ports: 0 });
  await world.expectWitness();
  await world.expectClean();
}

/** A daemon that found it dead has removed it. */
function refuseAllButGone(error: unknown): void {
  expect(error).toMatchObject({ code: 'UNKNOWN_HANDLE' });
}

async function expectTold(acting: Promise<unknown>, told: Told): Promise<void> {
  if (told.rejects) await expect(acting).rejects.toThrow(told.rejects);
  else if (told.verdict !== undefined)
    expect(await acting).toMatchObject({ verdict: { reason: told.verdict } });
  else await acting;
}
