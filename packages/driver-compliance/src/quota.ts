/** Compliance of a disk-quota driver (spec drivers.md 4). */
import assert from 'node:assert/strict';
import type { DiskLimits, QuotaDriver, QuotaSpec } from '@warden/interface';
import {
  assertComplete,
  assertHarmless,
  assertHonestProbe,
  assertPurePlan,
  assertUndone,
  assertWardenError,
  type Obstacle,
  persisted,
  watched,
} from './laws.ts';
import type { TestFunctions } from './test-functions.ts';

/** One isolated instance per test. */
export interface QuotaSubject {
  readonly driver: QuotaDriver;
  readonly depot: string;
  readonly spec: QuotaSpec;
  /** Another container of another user in the same depot. Both directories exist. */
  readonly other: QuotaSpec;
  /**
   * Writes `bytes` as the uid of `spec` (or of `of`) below `<directory>/tmp`; answers the errno's name of the
   * failure, or `undefined`.
   */
  write(bytes: number, of?: QuotaSpec): Promise<string | undefined>;
  /** Another instance, as the next daemon makes it. The kit does not use the first one any more. */
  restart(): QuotaDriver;
  /** What makes a step of `prepare` fail. */
  readonly obstacles: readonly Obstacle[];
  inventory(): Promise<readonly string[]>;
  close(): Promise<void>;
}

const NONE: DiskLimits = { blockSoft: 0n, blockHard: 0n, inodeSoft: 0n, inodeHard: 0n };

const REFUSED = ['UNSUPPORTED'];

/** Declares the tests. `make` answers a fresh subject; tests share nothing. */
export function quotaCompliance(test: TestFunctions, name: string, make: () => Promise<QuotaSubject>): void {
  const withSubject = (title: string, body: (subject: QuotaSubject) => Promise<void>): void =>
    test.it(title, async () => {
      const subject = watched('quota', await make());
      try {
        await body(subject);
      } finally {
        await subject.close();
      }
    });
  const withLimits: typeof withSubject = (title, body) =>
    withSubject(title, async (subject) => {
      if (subject.driver.supports.limits) await body(subject);
    });
  test.describe(`quota driver ${name}`, () => {
    withSubject('probes honestly', async ({ driver, depot, inventory }) => {
      assertComplete('quota', driver);
      await assertHonestProbe(() => driver.probe(depot), inventory);
    });
    withSubject('plans without touching anything', ({ driver, spec, inventory }) =>
      assertPurePlan(() => driver.plan(spec), inventory),
    );
    withSubject('starts without a limit', async ({ driver, spec, write }) => {
      const state = driver.plan(spec);
      await driver.prepare(spec, state);
      if (driver.supports.limits) assert.deepEqual(await driver.limits(spec, state), NONE);
      assert.equal(await write(4 << 20), undefined);
    });
    withSubject('refuses limits that it does not support', async ({ driver, spec, inventory }) => {
      const state = driver.plan(spec);
      await driver.prepare(spec, state);
      const before = await inventory();
      const { limits, softLimits, inodeLimits } = driver.supports;
      if (!limits) {
        await assertWardenError(() => driver.setLimits(spec, state, { ...NONE, blockHard: 2048n }), REFUSED);
        await assertWardenError(() => driver.limits(spec, state), REFUSED);
        await assertWardenError(() => driver.usage(spec, state), REFUSED);
      } else if (!softLimits || !inodeLimits) {
        // refused, or answered as not in force: never pretended
        for (const wanted of [
          ...(softLimits ? [] : [{ ...NONE, blockSoft: 1024n }]),
          ...(inodeLimits ? [] : [{ ...NONE, inodeHard: 100n }]),
        ]) {
          const answer = await driver.setLimits(spec, state, wanted).catch(() => NONE);
          assert.deepEqual(answer, NONE);
          assert.deepEqual(await driver.limits(spec, state), NONE);
        }
      }
      assert.deepEqual(await inventory(), before);
    });
    withLimits('answers the limit that is in force, and holds it', async ({ driver, spec, write }) => {
      const state = driver.plan(spec);
      await driver.prepare(spec, state);
      const wanted = { ...NONE, blockSoft: driver.supports.softLimits ? 1024n : 0n, blockHard: 2048n };
      const inForce = await driver.setLimits(spec, state, wanted);
      assert.deepEqual(inForce, wanted);
      assert.deepEqual(await driver.limits(spec, persisted(state)), wanted);
      assert.equal(await write(8 << 20), driver.supports.errno);
      const { bytesUsed } = await driver.usage(spec, state);
      assert.ok(
        bytesUsed > 0n && bytesUsed <= 2048n * 1024n,
        `${bytesUsed} bytes used under a limit of 2 MiB`,
      );
    });
    withLimits('counts what is written', async ({ driver, spec, write }) => {
      const state = driver.plan(spec);
      await driver.prepare(spec, state);
      await write(1);
      const before = await driver.usage(spec, state);
      assert.equal(await write(1_000_000), undefined);
      const after = await driver.usage(spec, persisted(state));
      const grown = Number(after.bytesUsed - before.bytesUsed);
      assert.ok(Math.abs(grown - 1_000_000) <= 32_000, `${grown} bytes more after writing 1000000`);
      assert.ok(after.inodesUsed >= before.inodesUsed);
    });
    withLimits('limits one container and not its neighbour', async ({ driver, spec, other, write }) => {
      const [state, neighbour] = [driver.plan(spec), driver.plan(other)];
      await driver.prepare(spec, state);
      await driver.prepare(other, neighbour);
      await driver.setLimits(spec, state, { ...NONE, blockHard: 1024n });
      assert.deepEqual(await driver.limits(other, neighbour), NONE);
      assert.equal(await write(4 << 20, other), undefined);
      await driver.setLimits(other, neighbour, { ...NONE, blockHard: 16_384n });
      await driver.release(spec, state);
      assert.equal((await driver.limits(other, neighbour)).blockHard, 16_384n, 'released with another');
      assert.ok((await driver.usage(other, neighbour)).bytesUsed >= 4n << 20n);
      await driver.release(other, neighbour);
    });
    withLimits('keeps limit and usage over a restart of the daemon', async (subject) => {
      const { driver, spec, write, inventory } = subject;
      const before = await inventory();
      const state = persisted(driver.plan(spec));
      await driver.prepare(spec, state);
      await driver.setLimits(spec, state, { ...NONE, blockHard: 4096n });
      assert.equal(await write(1 << 20), undefined);
      const { bytesUsed } = await driver.usage(spec, state);
      const next = subject.restart();
      assert.deepEqual(next.plan(spec), state);
      assert.equal((await next.limits(spec, state)).blockHard, 4096n);
      const moved = Number((await next.usage(spec, state)).bytesUsed - bytesUsed);
      assert.ok(Math.abs(moved) <= 32_000, `${moved} bytes more by a restart`); // a commit may add its own metadata
      assert.equal(await write(8 << 20), driver.supports.errno);
      await next.release(spec, state);
      assert.deepEqual(await inventory(), before);
    });
    withLimits('sets the same limit twice', async ({ driver, spec }) => {
      const state = driver.plan(spec);
      await driver.prepare(spec, state);
      const wanted = { ...NONE, blockHard: 4096n };
      const first = await driver.setLimits(spec, state, wanted);
      assert.deepEqual(await driver.setLimits(spec, state, wanted), first);
    });
    withLimits('limits inodes, if it says so', async ({ driver, spec }) => {
      if (!driver.supports.inodeLimits) return;
      const state = driver.plan(spec);
      await driver.prepare(spec, state);
      const wanted = { ...NONE, inodeSoft: driver.supports.softLimits ? 50n : 0n, inodeHard: 100n };
      assert.deepEqual(await driver.setLimits(spec, state, wanted), wanted);
      assert.deepEqual(await driver.limits(spec, persisted(state)), wanted);
    });
    withLimits('does nothing for what was released', async ({ driver, spec, inventory }) => {
      const state = driver.plan(spec);
      await driver.prepare(spec, state);
      await driver.release(spec, state);
      await assertHarmless(
        {
          limits: async () => assert.deepEqual(await driver.limits(spec, state), NONE),
          setLimits: () => driver.setLimits(spec, state, { ...NONE, blockHard: 1024n }),
          usage: () => driver.usage(spec, state),
        },
        inventory,
      );
      await driver.release(spec, state);
    });
    withSubject('undoes a prepare that fails at any step', async ({ driver, spec, obstacles, inventory }) => {
      const state = driver.plan(spec);
      await assertUndone(obstacles, () => driver.prepare(spec, state), inventory);
      await driver.release(spec, state);
    });
    withLimits('raises, lowers and lifts a limit', async ({ driver, spec, write }) => {
      const state = driver.plan(spec);
      await driver.prepare(spec, state);
      const steps = driver.supports.shrink ? [2048n, 65_536n, 4096n, 0n] : [2048n, 65_536n, 0n];
      for (const blockHard of steps) {
        assert.equal((await driver.setLimits(spec, state, { ...NONE, blockHard })).blockHard, blockHard);
        assert.equal((await driver.limits(spec, persisted(state))).blockHard, blockHard);
      }
      assert.equal(await write(8 << 20), undefined);
    });
    withLimits('does not let the next owner inherit a limit', async ({ driver, spec }) => {
      const state = driver.plan(spec);
      await driver.prepare(spec, state);
      await driver.setLimits(spec, state, { ...NONE, blockHard: 1024n });
      await driver.release(spec, persisted(state));
      await driver.prepare(spec, state);
      assert.deepEqual(await driver.limits(spec, state), NONE);
    });
    withLimits('throws the content away at once, if it can', async ({ driver, spec, write, inventory }) => {
      if (driver.discard === undefined) return;
      const before = await inventory();
      const state = driver.plan(spec);
      await driver.discard(spec, state); // of what was never prepared
      await driver.prepare(spec, state);
      assert.equal(await write(4 << 20), undefined);
      const { bytesUsed } = await driver.usage(spec, state);
      await driver.discard(spec, persisted(state));
      const left = await driver.usage(spec, state).then(
        (usage) => usage.bytesUsed,
        () => 0n, // there is no layer any more
      );
      assert.ok(left + (4n << 20n) <= bytesUsed + 32_000n, `${left} bytes left of ${bytesUsed}`);
      await driver.discard(spec, state);
      await driver.release(spec, state);
      assert.deepEqual(await inventory(), before);
    });
    withSubject('releases twice, and what was never prepared', async ({ driver, spec, inventory }) => {
      const before = await inventory();
      const state = driver.plan(spec);
      await driver.release(spec, state);
      await driver.prepare(spec, state);
      await driver.prepare(spec, persisted(state));
      await driver.release(spec, persisted(state));
      await driver.release(spec, persisted(state));
      assert.deepEqual(await inventory(), before);
    });
  });
}
