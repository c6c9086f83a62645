/** The daemon is killed at a failpoint and started again; then one looks at everything. */
import fs from 'node:fs';
import { setAside } from '@warden/core';
import { describeWith } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { CASES, type Case, SUBJECT, settingsOf } from './scenarios.ts';
import { Table } from './table.ts';
import { withWorld } from './with-world.ts';
import { endInit, type World } from './world.ts';

/** Rounds of each case: many with `npm run faults`. */
export const ROUNDS = Number(process.env.WARDEN_FAULTS_ROUNDS ?? 1);
/** Kills in a row while starting. */
const CRASHES = ROUNDS > 1 ? 5 : 1;

/** One of `parts` parts of all cases, so that two processes can share them. */
export function killSuite(part: number, parts: number): void {
  const cases = CASES.filter((_, at) => at % parts === part);
  const table = new Table(`kill-${part}`);
  describeWith(['root', 'isolated', 'overlayfs', 'nft'], `kill, part ${part + 1} of ${parts}`, () => {
    const world = withWorld(table);

    it.each(cases)(
      'at %s loses nothing [SECURITY L01-L05]',
      async (_, { failpoint, one }) => {
        for (let round = 0; round < ROUNDS; round++)
          await table.round(failpoint, 'kill', () => killRound(world(), failpoint, one));
      },
      120_000 * ROUNDS,
    );

    // last, because it allows the witness something
    it('would have seen a packet that comes out', async () => {
      await world().restart();
      await world().expectWitness();
      await world().expectCounterWorks();
    }, 120_000);
  });
}

async function killRound(world: World, failpoint: string, one: Case): Promise<void> {
  const points = `${failpoint}=${one.skip ? `${one.skip}*off->` : ''}kill`;
  const left = await world.leaveJob();
  const { quota } = one;
  const settings = settingsOf(one);
  if (settings) await world.restart(settings);
  await one.prepare?.(world);
  if (one.atStart) {
    await world.kill();
    for (let crash = 0; crash < CRASHES; crash++)
      await expect(world.start({ points, quota })).rejects.toThrow('SIGKILL');
  } else {
    world.arm(points);
    const acted = one.act!(world).then(
      () => undefined,
      (error: unknown) => error,
    );
    await world.died();
    const error = await acted;
    if (error !== undefined) expect(error).toMatchObject({ code: 'UNAVAILABLE' });
  }
  await world.start({ quota });
  await check(world, one);
  const { exitStatus, stdout } = await world.witness.job(left.id).link();
  expect({ exitStatus, stdout: Buffer.from(stdout).toString() }).toEqual({ exitStatus: 7, stdout: 'left\n' });
  await world.expectWitness();
  await world.expectClean();
  if (quota) await world.restart();
}

async function check(world: World, one: Case): Promise<void> {
  const isThere = one.after === 'there';
  const isAside = one.after === 'aside';
  const living = isThere ? 2 : 1;
  const held = living + (isAside ? 1 : 0);
  expect(world.recovered()).toMatchObject({
    containers: living,
    setAside: isAside ? 1 : 0,
    networks: held,
    uids: held,
    ports: isThere ? (one.ports ?? 0) : 0,
  });
  expect(await world.client.list()).toEqual(
    isThere ? expect.arrayContaining(['witness', SUBJECT]) : ['witness'],
  );
  if (isThere) {
    const box = world.client.container(SUBJECT);
    await one.check?.(world, box);
    await box.destroy();
    expect(world.poolsAtEnd()).toEqual({ networks: 1, uids: 1, ports: 0 });
  }
  if (isAside) await bury(world);
}

/** As the advice says: its init is ended, its directory removed, and the daemon started again. */
async function bury(world: World): Promise<void> {
  const [found] = setAside(world.place.depot);
  expect(found?.reason).toMatch(/record/);
  await endInit(world, found!.directory);
  fs.rmSync(found!.directory, { recursive: true });
  await world.restart();
}
