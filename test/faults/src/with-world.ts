/** The world of one file of the suite: made before its tests, made anew after one that failed, gone at the end. */
import { forensics } from '@warden/test-harness';
import { afterAll, afterEach, beforeAll } from 'vitest';
import type { Table } from './table.ts';
import { World } from './world.ts';

/** Answers how to get at it. */
export function withWorld(table: Table): () => World {
  let world: World | undefined;
  beforeAll(async () => {
    world = await World.make();
  });
  afterEach(async (context) => {
    if (context.task.result?.state !== 'fail' || !world) return;
    process.stderr.write(`${forensics(world.place)}\n`);
    // what is broken now must not fail the others
    await world.end().catch(() => {});
    world = await World.make();
  });
  afterAll(async () => {
    if (!world) return;
    table.addTries(world.tries);
    table.write();
    await world.end();
  }, 120_000);
  return () => world!;
}
