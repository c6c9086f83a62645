/** Compliance of a cgroup driver (spec drivers.md 2). */
import assert from 'node:assert/strict';
import type { CgroupDriver, CgroupSpec, DriverState, ProcessCount, WardenError } from '@warden/interface';
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

/** A process that joined a group. */
export interface JoinedProcess {
  /** As the driver's `pids` shows it. */
  readonly pid: number;
  /** Touches so much memory; answers when done or dead. */
  allocate(bytes: number): Promise<void>;
  /** Resolves when it has ended. */
  readonly ended: Promise<void>;
  kill(): void;
}

/** One isolated instance per test. */
export interface CgroupSubject {
  readonly driver: CgroupDriver;
  /** A process that joins by the join files. */
  join(files: readonly string[]): Promise<JoinedProcess>;
  /** Everything a driver can leave: group paths below its prefix, watches. */
  inventory(): Promise<readonly string[]>;
  /** Another instance, as the next daemon makes it. The kit does not use the first one any more. */
  restart(): Promise<CgroupDriver>;
  /** What makes a step of `create` fail, called after `setup`; empty for a driver that makes nothing. */
  obstacles(): readonly Obstacle[];
  close(): Promise<void>;
}

const SPEC: CgroupSpec = Object.freeze({ id: '0123456789a', allowAllDevices: false, pidsLimit: undefined });
const OTHER: CgroupSpec = Object.freeze({ ...SPEC, id: 'bbbbbbbbbbb' });
const UNLIMITED = 9_223_372_036_854_771_712n;
const MIB = 1n << 20n;
/**
 * Of a group that somebody had before: what the kernel has not added up yet, and what the file system has not
 * written yet.
 */
const FEW_EVENTS = 2_000n;
const FEW_BYTES = 64n * 4_096n;

/** Declares the tests. `make` answers a fresh subject, before `setup`; tests share nothing. */
export function cgroupCompliance(
  test: TestFunctions,
  name: string,
  make: () => Promise<CgroupSubject>,
): void {
  const withSubject = (title: string, body: (subject: CgroupSubject) => Promise<void>): void =>
    test.it(title, async () => {
      const subject = watched('cgroup', await make());
      try {
        await subject.driver.setup();
        await body(subject);
      } finally {
        await subject.close();
      }
    });
  const withGroups: typeof withSubject = (title, body) =>
    withSubject(title, async (subject) => {
      if (hasGroups(subject.driver)) await body(subject);
    });
  test.describe(`cgroup driver ${name}`, () => {
    withSubject('probes honestly', async ({ driver, inventory }) => {
      assertComplete('cgroup', driver);
      await assertHonestProbe(() => driver.probe(), inventory);
    });
    withSubject('plans without touching anything', ({ driver, inventory }) =>
      assertPurePlan(() => driver.plan(SPEC), inventory),
    );
    withSubject('sets up, creates and releases repeatedly', async ({ driver, inventory }) => {
      const before = await inventory();
      const state = driver.plan(SPEC);
      await driver.setup();
      await driver.create(SPEC, state);
      await driver.create(SPEC, persisted(state));
      if (hasGroups(driver)) assert.deepEqual(await driver.list(), [SPEC.id]);
      await driver.release(persisted(state));
      await driver.release(persisted(state));
      assert.deepEqual(await inventory(), before);
      assert.deepEqual(await driver.list(), []);
    });
    withSubject('retires groups, whose names are free then, until they are released', async (subject) => {
      const { driver } = subject;
      if (driver.retire === undefined) return;
      const before = await subject.inventory();
      const state = driver.plan(SPEC);
      await driver.retire(state); // never created
      assert.deepEqual(await subject.inventory(), before);
      await driver.create(SPEC, state);
      if (driver.supports.memory) await driver.setMemoryLimit(state, 64n * MIB);
      await driver.retire(persisted(state));
      await driver.retire(persisted(state));
      if (driver.supports.memory) await assertWardenError(() => driver.memoryLimit(state), ['NATIVE_FAILED']);
      const isLeft = (await subject.inventory()).length > before.length;
      assert.deepEqual(await driver.list(), isLeft ? [SPEC.id] : [], 'what is left is not told of');
      await driver.create(SPEC, state);
      if (driver.supports.memory) assert.equal(await driver.memoryLimit(state), UNLIMITED);
      await driver.retire(state); // and there may be one of that name already
      if (driver.supports.memory) await assertWardenError(() => driver.memoryLimit(state), ['NATIVE_FAILED']);
      const next = await subject.restart();
      await next.setup();
      await next.release(state);
      assert.deepEqual(await subject.inventory(), before);
      assert.deepEqual(await next.list(), []);
    });
    withSubject('releases what was never created', async ({ driver }) => {
      await driver.release(driver.plan(SPEC));
    });
    withSubject('names what a process joins by absolute paths', async ({ driver }) => {
      const state = driver.plan(SPEC);
      await driver.create(SPEC, state);
      const files = driver.joinFiles(persisted(state));
      assert.equal(files.length > 0, hasGroups(driver));
      for (const file of files) assert.ok(file.startsWith('/'), file);
      assert.deepEqual(driver.joinFiles(state), files);
      await driver.release(state);
    });
    withGroups('keeps two groups apart', async ({ driver, join }) => {
      const [state, other] = [driver.plan(SPEC), driver.plan(OTHER)];
      await driver.create(SPEC, state);
      await driver.create(OTHER, other);
      const joined = [await join(driver.joinFiles(state)), await join(driver.joinFiles(other))] as const;
      try {
        assert.deepEqual([...(await driver.list())].sort(), [SPEC.id, OTHER.id]);
        if (driver.supports.cpu) {
          await driver.setCpuShares(state, 512n);
          assert.equal(await driver.cpuShares(other), 1024n);
        }
        if (driver.supports.memory) {
          await driver.setMemoryLimit(state, 64n * MIB);
          assert.equal(await driver.memoryLimit(other), UNLIMITED);
        }
        await driver.killAll(state, 5_000);
        await joined[0].ended;
        await driver.release(state);
        assert.deepEqual(await driver.pids(other), [joined[1].pid], 'killed or released with another');
        assert.deepEqual(await driver.list(), [OTHER.id]);
      } finally {
        for (const one of joined) one.kill();
        await joined[1].ended;
        await driver.release(other);
      }
    });
    withGroups('goes on with what an earlier daemon made', async (subject) => {
      const { driver, join } = subject;
      const before = await subject.inventory();
      const state = persisted(driver.plan(SPEC));
      await driver.create(SPEC, state);
      if (driver.supports.cpu) await driver.setCpuShares(state, 512n);
      if (driver.supports.memory) await driver.setMemoryLimit(state, 64n * MIB);
      const process = await join(driver.joinFiles(state));
      try {
        const next = await subject.restart();
        await next.setup();
        assert.deepEqual(next.plan(SPEC), state);
        assert.deepEqual(await next.list(), [SPEC.id]);
        assert.deepEqual(await next.pids(state), [process.pid]);
        await next.create(SPEC, state);
        if (next.supports.cpu) assert.equal(await next.cpuShares(state), 512n);
        if (next.supports.memory) assert.equal(await next.memoryLimit(state), 64n * MIB);
        await next.killAll(state, 5_000);
        await process.ended;
        await next.release(state);
        assert.deepEqual(await subject.inventory(), before);
      } finally {
        process.kill();
      }
    });
    withGroups('makes a new group without the limits of a released one', async ({ driver }) => {
      const state = driver.plan(SPEC);
      await driver.create(SPEC, state);
      if (driver.supports.cpu) await driver.setCpuShares(state, 512n);
      if (driver.supports.memory) await driver.setMemoryLimit(state, 64n * MIB);
      await driver.release(state);
      await driver.create(SPEC, state);
      if (driver.supports.cpu) assert.equal(await driver.cpuShares(state), 1024n);
      if (driver.supports.memory) assert.equal(await driver.memoryLimit(state), UNLIMITED);
      assert.deepEqual(await driver.pids(state), []);
      await driver.release(state);
    });
    withGroups('gives a new container nothing of one that has ended', async (subject) => {
      const { driver } = subject;
      const before = await subject.inventory();
      const state = await created(driver, SPEC);
      if (driver.supports.memory) await driver.setMemoryLimit(state, 64n * MIB);
      const process = await subject.join(driver.joinFiles(state));
      await process.allocate(48 << 20);
      await driver.killAll(state, 5_000);
      await process.ended;
      await end(driver, state);
      assert.deepEqual(await driver.list(), [], 'nobody has these groups');
      const next = await created(driver, OTHER);
      assert.deepEqual(await driver.list(), [OTHER.id]);
      assert.deepEqual(await driver.pids(next), []);
      const later = await subject.restart();
      await later.setup();
      for (const one of [driver, later].filter(({ supports }) => supports.memory)) {
        assert.equal(await one.memoryLimit(next), UNLIMITED);
        assert.equal(await one.outOfMemoryKills(next), 0n);
        for (const [name, count] of Object.entries(await one.memoryStat(next)))
          if (!name.includes('limit'))
            assert.ok(count <= (name.includes('pg') ? FEW_EVENTS : FEW_BYTES), `${name} ${count} of nobody`);
      }
      await later.release(next);
      await driver.close?.(); // what it keeps is not asked for here
      assert.deepEqual(await subject.inventory(), before);
    });
    withGroups('keeps groups for the next containers until it is closed', async ({ driver, inventory }) => {
      const before = await inventory();
      const states = [await created(driver, SPEC), await created(driver, OTHER)];
      for (const state of states) await end(driver, state);
      for (const state of states) await end(driver, state); // again
      assert.deepEqual(await driver.list(), []);
      await driver.close?.();
      await driver.close?.();
      assert.deepEqual(await inventory(), before);
      await end(driver, await created(driver, SPEC));
      assert.deepEqual(await inventory(), before);
    });
    withGroups('tells the next instance of groups that one that was killed has kept', async (subject) => {
      const { driver } = subject;
      const before = await subject.inventory();
      await end(driver, await created(driver, SPEC));
      const next = await subject.restart();
      await next.setup();
      for (const id of await next.list()) await next.release(next.plan({ ...SPEC, id }));
      assert.deepEqual(await subject.inventory(), before);
      await next.close?.();
    });
    withSubject('does nothing for what was released', async ({ driver, inventory }) => {
      const state = driver.plan(SPEC);
      await driver.create(SPEC, state);
      await driver.release(state);
      const { memory, cpu, freezer, pressure } = driver.supports;
      const mustFail = {
        ...(freezer && {
          freeze: () => driver.freeze(state, 5_000),
          isFrozen: () => driver.isFrozen(state),
        }),
        ...(pressure && { pressureStat: () => driver.pressureStat(state) }),
        ...(memory && {
          setMemoryLimit: () => driver.setMemoryLimit(state, 64n * MIB),
          memoryLimit: () => driver.memoryLimit(state),
          memoryStat: () => driver.memoryStat(state),
          watchOutOfMemory: () => driver.watchOutOfMemory(state, () => {}),
        }),
        ...(cpu && {
          setCpuShares: () => driver.setCpuShares(state, 512n),
          cpuShares: () => driver.cpuShares(state),
          cpuStat: () => driver.cpuStat(state),
        }),
      };
      await assertHarmless(mustFail, inventory);
      for (const action of Object.values(mustFail)) await assertWardenError(action, ['NATIVE_FAILED']);
      assert.deepEqual(await driver.pids(state), []);
      await driver.killAll(state, 5_000);
      await driver.release(state);
    });
    withSubject('undoes a create that fails at any step', async ({ driver, inventory, obstacles }) => {
      const state = driver.plan(SPEC);
      await assertUndone(obstacles(), () => driver.create(SPEC, state), inventory);
      await driver.release(state);
    });
    withGroups('shows who joined, and kills all of them', async ({ driver, join }) => {
      const state = driver.plan(SPEC);
      await driver.create(SPEC, state);
      const joined = [await join(driver.joinFiles(state)), await join(driver.joinFiles(persisted(state)))];
      try {
        assert.deepEqual(
          await driver.pids(state),
          joined.map(({ pid }) => pid).sort((a, b) => a - b),
        );
        await driver.killAll(state, 5_000);
        await Promise.all(joined.map(({ ended }) => ended));
        assert.deepEqual(await driver.pids(state), []);
      } finally {
        for (const one of joined) one.kill();
        await driver.release(state);
      }
    });
    withGroups(
      'counts processes inside the limit, and gives init room beside it',
      async ({ driver, join }) => {
        if (driver.processCount === undefined || !driver.supports.pids) return;
        const spec: CgroupSpec = { ...SPEC, pidsLimit: 17 };
        const state = driver.plan(spec);
        await driver.create(spec, state);
        const count = (): Promise<ProcessCount> => driver.processCount!(persisted(state));
        const joined = [await join(driver.joinFiles(state))];
        try {
          assert.deepEqual(await count(), { used: 1, limit: 17 });
          const reserve = driver.reserve?.(persisted(state));
          if (reserve === undefined) return;
          joined.push(await join([...driver.joinFiles(state), reserve.outside]));
          assert.deepEqual(await count(), { used: 1, limit: 17 }, 'who is outside was counted');
          joined.push(await join([...driver.joinFiles(state), reserve.outside, reserve.inside]));
          await driver.create(spec, state);
          assert.deepEqual(await count(), { used: 2, limit: 17 });
          assert.deepEqual(
            await driver.pids(state),
            joined.map(({ pid }) => pid).sort((a, b) => a - b),
            'who is outside is the container’s all the same',
          );
          await driver.killAll(state, 5_000);
          await Promise.all(joined.map(({ ended }) => ended));
        } finally {
          for (const one of joined) one.kill();
          await Promise.all(joined.map(({ ended }) => ended));
          await driver.release(state);
        }
      },
    );
    withGroups('keeps a created group over another setup', async ({ driver }) => {
      const state = driver.plan(SPEC);
      await driver.create(SPEC, state);
      await driver.setup();
      assert.deepEqual(await driver.list(), [SPEC.id]);
      await driver.release(state);
    });
    withSubject('raises and lowers the memory limit', async ({ driver }) => {
      if (!driver.supports.memory)
        return assertUnsupported(() => driver.setMemoryLimit(driver.plan(SPEC), 64n * MIB));
      const state = driver.plan(SPEC);
      await driver.create(SPEC, state);
      assert.equal(await driver.memoryLimit(state), UNLIMITED);
      for (const limit of [64n * MIB, 256n * MIB, 32n * MIB]) {
        assert.equal(await driver.setMemoryLimit(state, limit), limit);
        assert.equal(await driver.memoryLimit(persisted(state)), limit);
      }
      await driver.release(state);
    });
    withSubject(
      'refuses a memory limit below what is in use, says what to do, and ends nobody',
      async (subject) => {
        const { driver, join } = subject;
        if (!driver.supports.memory)
          return assertUnsupported(() => driver.setMemoryLimit(driver.plan(SPEC), 8n * MIB));
        const state = driver.plan(SPEC);
        await driver.create(SPEC, state);
        await driver.setMemoryLimit(state, 64n * MIB);
        const process = await join(driver.joinFiles(state));
        await process.allocate(32 << 20);
        const refusal = driver.setMemoryLimit(state, 8n * MIB);
        await assertWardenError(() => refusal, ['NATIVE_FAILED']);
        await assert.rejects(refusal, ({ fields }: WardenError) => {
          assert.equal(fields.errno, 'EBUSY');
          assert.equal(typeof fields.advice, 'string', 'nothing about what to do');
          return true;
        });
        assert.equal(await driver.memoryLimit(state), 64n * MIB);
        assert.equal(await driver.outOfMemoryKills(state), 0n);
        process.kill();
        await process.ended;
        await driver.release(state);
      },
    );
    withSubject('sets and reads CPU shares', async ({ driver }) => {
      if (!driver.supports.cpu) return assertUnsupported(() => driver.setCpuShares(driver.plan(SPEC), 512n));
      const state = driver.plan(SPEC);
      await driver.create(SPEC, state);
      assert.equal(await driver.cpuShares(state), 1024n);
      assert.equal(await driver.setCpuShares(state, 512n), 512n);
      assert.equal(await driver.cpuShares(persisted(state)), 512n);
      await driver.release(state);
    });
    withGroups('reads statistics', async ({ driver, join }) => {
      const state = driver.plan(SPEC);
      await driver.create(SPEC, state);
      const process = await join(driver.joinFiles(state));
      try {
        if (driver.supports.memory) {
          await process.allocate(8 << 20);
          const { rss = 0n } = await driver.memoryStat(state);
          assert.ok(rss >= 8n * MIB, `${rss} bytes rss after touching 8 MiB`);
        }
        if (driver.supports.cpu) assert.ok((await driver.cpuStat(state)).usage > 0n);
      } finally {
        process.kill();
        await process.ended;
        await driver.release(state);
      }
    });
    withSubject('stops a frozen group where it is until it is thawed', async (subject) => {
      const { driver, join } = subject;
      const state = driver.plan(SPEC);
      await driver.create(SPEC, state);
      if (!driver.supports.freezer) {
        for (const refused of [
          () => driver.freeze(state, 5_000),
          () => driver.thaw(state),
          () => driver.isFrozen(state),
        ])
          await assertUnsupported(refused);
        return driver.release(state);
      }
      const process = await join(driver.joinFiles(state));
      try {
        await driver.thaw(state);
        assert.equal(await driver.isFrozen(state), false);
        await driver.freeze(state, 5_000);
        await driver.freeze(persisted(state), 5_000);
        assert.equal(await driver.isFrozen(persisted(state)), true);
        let isAnswered = false;
        const asked = process.allocate(1).then(() => {
          isAnswered = true;
        });
        await pause(300);
        assert.equal(isAnswered, false, 'something in a frozen group went on');
        assert.deepEqual(await driver.pids(state), [process.pid]);
        const next = await subject.restart();
        await next.setup();
        assert.equal(await next.isFrozen(state), true);
        await next.thaw(state);
        await asked;
        assert.equal(await next.isFrozen(state), false);
        await next.thaw(state);
      } finally {
        await driver.killAll(state, 5_000);
        await process.ended;
        await driver.release(state);
      }
    });
    withSubject('freezes one group and not its neighbour', async ({ driver, join }) => {
      if (!driver.supports.freezer) return;
      const [state, other] = [driver.plan(SPEC), driver.plan(OTHER)];
      await driver.create(SPEC, state);
      await driver.create(OTHER, other);
      const free = await join(driver.joinFiles(other));
      await driver.freeze(state, 5_000); // an empty group, too
      assert.equal(await driver.isFrozen(other), false);
      await free.allocate(1);
      free.kill();
      await free.ended;
      for (const one of [state, other]) await driver.release(one);
    });
    withSubject('kills what is frozen', async ({ driver, join }) => {
      if (!driver.supports.freezer) return;
      const state = driver.plan(SPEC);
      await driver.create(SPEC, state);
      const process = await join(driver.joinFiles(state));
      await driver.freeze(state, 5_000);
      await driver.killAll(state, 5_000);
      await process.ended;
      assert.deepEqual(await driver.pids(state), []);
      await driver.release(state);
    });
    withSubject('measures pressure, if it says so', async ({ driver, join }) => {
      if (!driver.supports.pressure) return assertUnsupported(() => driver.pressureStat(driver.plan(SPEC)));
      const state = driver.plan(SPEC);
      await driver.create(SPEC, state);
      const process = await join(driver.joinFiles(state));
      const { cpu, memory, io } = await driver.pressureStat(persisted(state));
      process.kill();
      await process.ended;
      await driver.release(state);
      const measured = [cpu, memory, io].filter((one) => one !== undefined);
      assert.ok(measured.length > 0, 'nothing is measured');
      for (const { avg10, avg60, avg300, total } of measured.flatMap(({ some, full }) => [
        some,
        full ?? some,
      ])) {
        for (const share of [avg10, avg60, avg300]) assert.ok(share >= 0 && share <= 100, `${share} percent`);
        assert.ok(total >= 0n);
      }
    });
    withSubject('tells of an out-of-memory kill, once, and not of the removal', async ({ driver, join }) => {
      if (!driver.supports.memory)
        return assertUnsupported(() => driver.watchOutOfMemory(driver.plan(SPEC), () => {}));
      const state = driver.plan(SPEC);
      await driver.create(SPEC, state);
      await driver.setMemoryLimit(state, 16n * MIB);
      let kills = 0;
      let watch = { close: (): void => {} };
      const told = new Promise<void>((resolve, reject) => {
        const listener = (): void => {
          kills += 1;
          resolve();
        };
        driver.watchOutOfMemory(state, listener).then((one) => {
          watch = one;
        }, reject);
      });
      const process = await join(driver.joinFiles(state));
      await process.allocate(64 << 20);
      await Promise.all([told, process.ended]);
      await driver.release(state);
      watch.close();
      watch.close();
      assert.equal(kills, 1);
    });
    withSubject('knows of a kill when the victim has ended, if asked', async ({ driver, join }) => {
      if (!driver.supports.memory) return assertUnsupported(() => driver.outOfMemoryKills(driver.plan(SPEC)));
      const state = driver.plan(SPEC);
      await driver.create(SPEC, state);
      await driver.setMemoryLimit(state, 16n * MIB);
      let kills = 0;
      const watch = await driver.watchOutOfMemory(state, () => {
        kills += 1;
      });
      const process = await join(driver.joinFiles(state));
      await Promise.all([process.allocate(64 << 20), process.ended]);
      watch.check();
      assert.equal(kills, 1);
      watch.close();
      watch.check();
      await driver.release(state);
    });
    withSubject('tells of the kills since a number that an earlier daemon has seen', async (subject) => {
      const { driver, join } = subject;
      if (!driver.supports.memory) return assertUnsupported(() => driver.outOfMemoryKills(driver.plan(SPEC)));
      const state = driver.plan(SPEC);
      await driver.create(SPEC, state);
      const seen = await driver.outOfMemoryKills(state);
      assert.equal(seen, 0n);
      await driver.setMemoryLimit(state, 16n * MIB);
      const process = await join(driver.joinFiles(state));
      await Promise.all([process.allocate(64 << 20), process.ended]);
      assert.equal(await driver.outOfMemoryKills(persisted(state)), 1n);
      let kills = 0;
      const count = (): void => {
        kills += 1;
      };
      const late = await driver.watchOutOfMemory(persisted(state), count, seen);
      assert.equal(kills, 1, 'a kill before the watch, after the number');
      late.close();
      const later = await driver.watchOutOfMemory(persisted(state), count, 1n);
      later.close();
      assert.equal(kills, 1, 'a kill that was seen already');
      await driver.release(state);
    });
  });
}

/** The state as core records it. */
async function created(driver: CgroupDriver, spec: CgroupSpec): Promise<DriverState> {
  const planned = driver.plan(spec);
  return persisted((await driver.create(spec, planned)) ?? planned);
}

/** As core ends a container whose files go behind the answer. */
async function end(driver: CgroupDriver, state: DriverState): Promise<void> {
  await driver.retire?.(state);
  await driver.release(state);
}

/** A driver without any controller has nothing that could be joined. */
function hasGroups({ supports }: CgroupDriver): boolean {
  const { memory, cpu, devices, pids, freezer } = supports;
  return [memory, cpu, devices, pids, freezer].includes(true);
}

/** Long enough for what goes on to show itself. */
async function pause(milliseconds: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
}

async function assertUnsupported(action: () => Promise<unknown>): Promise<void> {
  await assertWardenError(action, ['UNSUPPORTED']);
}
