/** Compliance of a disk-quota driver (spec drivers.md 4). */
import assert from 'node:assert/strict';
import type { DiskLimits, QuotaDriver, QuotaSpec } from '@warden/interface';
import { assertHonestProbe, assertPurePlan, persisted } from './laws.ts';
import type { TestFunctions } from './test-functions.ts';

/** One isolated instance per test. */
export interface QuotaSubject {
  readonly driver: QuotaDriver;
  readonly depot: string;
  readonly spec: QuotaSpec;
  /** Writes `bytes` as the spec's uid below `<directory>/tmp`; answers the errno's name of the failure, or `undefined`. */
  write(bytes: number): Promise<string | undefined>;
  inventory(): Promise<readonly string[]>;
  close(): Promise<void>;
}

const NONE: DiskLimits = { blockSoft: 0n, blockHard: 0n, inodeSoft: 0n, inodeHard: 0n };

/** Declares the tests. `make` answers a fresh subject; tests share nothing. */
export function quotaCompliance(test: TestFunctions, name: string, make: () => Promise<QuotaSubject>): void {
  const withSubject = (title: string, body: (subject: QuotaSubject) => Promise<void>): void =>
    test.it(title, async () => {
      const subject = await make();
      try {
        await body(subject);
      } finally {
        await subject.close();
      }
    });
  test.describe(`quota driver ${name}`, () => {
    withSubject('probes honestly', ({ driver, depot, inventory }) =>
      assertHonestProbe(() => driver.probe(depot), inventory),
    );
    withSubject('plans without touching anything', ({ driver, spec, inventory }) =>
      assertPurePlan(() => driver.plan(spec), inventory),
    );
    withSubject('starts without a limit', async ({ driver, spec, write }) => {
      const state = driver.plan(spec);
      await driver.prepare(spec, state);
      assert.deepEqual(await driver.limits(spec, state), NONE);
      assert.equal(await write(4 << 20), undefined);
    });
    withSubject('answers the limit that is in force, and holds it', async ({ driver, spec, write }) => {
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
    withSubject('counts what is written', async ({ driver, spec, write }) => {
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
    withSubject('raises, lowers and lifts a limit', async ({ driver, spec, write }) => {
      const state = driver.plan(spec);
      await driver.prepare(spec, state);
      for (const blockHard of [2048n, 65_536n, 4096n, 0n]) {
        assert.equal((await driver.setLimits(spec, state, { ...NONE, blockHard })).blockHard, blockHard);
        assert.equal((await driver.limits(spec, persisted(state))).blockHard, blockHard);
      }
      assert.equal(await write(8 << 20), undefined);
    });
    withSubject('does not let the next owner inherit a limit', async ({ driver, spec }) => {
      const state = driver.plan(spec);
      await driver.prepare(spec, state);
      await driver.setLimits(spec, state, { ...NONE, blockHard: 1024n });
      await driver.release(spec, persisted(state));
      await driver.prepare(spec, state);
      assert.deepEqual(await driver.limits(spec, state), NONE);
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
