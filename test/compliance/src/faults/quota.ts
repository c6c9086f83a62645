/** Faults of quota drivers. */
import { type DiskLimits, type QuotaDriver, type QuotaSpec, WardenError } from '@warden/interface';
import { counter, type Fault } from './fault.ts';

const NONE: DiskLimits = { blockSoft: 0n, blockHard: 0n, inodeSoft: 0n, inodeHard: 0n };

/** Each is caught by the kit for quota drivers. */
export const QUOTA_FAULTS: readonly Fault<'quota'>[] = [
  {
    name: 'a limit is answered but not in force',
    members: () => ({ setLimits: async (_spec, _state, limits) => limits }),
  },
  {
    name: 'a limit is in force in another unit',
    members: (driver) => ({
      setLimits: async (spec, state, limits) => {
        await driver.setLimits(spec, state, { ...limits, blockHard: limits.blockHard * 1024n });
        return limits;
      },
      limits: async (spec, state) => {
        const found = await driver.limits(spec, state);
        return { ...found, blockHard: found.blockHard / 1024n };
      },
    }),
  },
  {
    name: 'limits are known to one instance only',
    members: (driver) => {
      const known = new Map<string, DiskLimits>();
      return {
        setLimits: async (spec, state, limits) => {
          known.set(spec.id, limits);
          return driver.setLimits(spec, state, limits);
        },
        prepare: async (spec, state) => {
          known.delete(spec.id);
          await driver.prepare(spec, state);
        },
        limits: async (spec) => known.get(spec.id) ?? NONE,
        release: async (spec, state) => {
          known.delete(spec.id);
          await driver.release(spec, state);
        },
      };
    },
  },
  {
    name: 'what is thrown away stays',
    members: () => ({ discard: async () => {} }),
  },
  {
    name: 'a limit is never lowered',
    members: (driver) => ({
      setLimits: async (spec, state, limits) => {
        const { blockHard } = await driver.limits(spec, state);
        const isLower = limits.blockHard !== 0n && limits.blockHard < blockHard;
        return isLower ? driver.limits(spec, state) : driver.setLimits(spec, state, limits);
      },
    }),
  },
  {
    name: 'a limit is never lifted',
    members: (driver) => ({
      setLimits: async (spec, state, limits) =>
        limits.blockHard === 0n ? driver.limits(spec, state) : driver.setLimits(spec, state, limits),
    }),
  },
  {
    name: 'soft limits and inodes are dropped',
    members: (driver) => ({
      setLimits: (spec, state, { blockHard }) => driver.setLimits(spec, state, { ...NONE, blockHard }),
    }),
  },
  {
    name: 'a limit counts for all containers',
    members: (driver, { spec: one, other }) => ({
      setLimits: async (spec, state, limits) => {
        const answer = await driver.setLimits(spec, state, limits);
        for (const each of [one, other])
          if (each.id !== spec.id) await driver.setLimits(each, driver.plan(each), limits).catch(() => {});
        return answer;
      },
    }),
  },
  {
    name: 'release takes the neighbour with it',
    members: (driver, { spec: one, other }) => ({
      release: async () => {
        for (const each of [one, other]) await driver.release(each, driver.plan(each));
      },
    }),
  },
  { name: 'release removes nothing', members: () => ({ release: async () => {} }) },
  {
    name: 'release fails the second time',
    members: (driver) => {
      const gone = new Set<string>();
      return {
        release: async (spec, state) => {
          if (gone.has(spec.id))
            throw new WardenError('NATIVE_FAILED', 'gone', { fields: { operation: 'release' } });
          gone.add(spec.id);
          await driver.release(spec, state);
        },
      };
    },
  },
  {
    name: 'the next owner inherits the limit',
    members: (driver) => {
      const left = new Map<string, DiskLimits>();
      return {
        release: async (spec, state) => {
          left.set(spec.id, await driver.limits(spec, state));
          await driver.release(spec, state);
        },
        prepare: async (spec, state) => {
          await driver.prepare(spec, state);
          await driver.setLimits(spec, state, left.get(spec.id) ?? NONE);
        },
      };
    },
  },
  {
    name: 'a new container starts with a limit',
    members: (driver) => ({
      prepare: async (spec, state) => {
        await driver.prepare(spec, state);
        await driver.setLimits(spec, state, { ...NONE, blockHard: 1024n });
      },
    }),
  },
  {
    name: 'usage is always zero',
    members: () => ({ usage: async () => ({ bytesUsed: 0n, inodesUsed: 0n }) }),
  },
  {
    name: 'usage is in blocks',
    members: (driver: QuotaDriver) => ({
      usage: async (spec, state) => {
        const { bytesUsed, inodesUsed } = await driver.usage(spec, state);
        return { bytesUsed: bytesUsed / 1024n, inodesUsed };
      },
    }),
  },
  {
    name: 'setting a limit makes what was released anew',
    members: (driver) => ({
      setLimits: async (spec: QuotaSpec, state, limits) => {
        await driver.setLimits(spec, state, limits).catch(() => driver.prepare(spec, state));
        return driver.setLimits(spec, state, limits);
      },
    }),
  },
  {
    name: 'prepare leaves something when it fails',
    members: (driver, { other, obstacles }) => ({
      prepare: (spec, state) =>
        driver.prepare(spec, state).catch(async (error: unknown) => {
          const [removeAgain] = [await obstacles[0]!.place()];
          await removeAgain();
          await driver.prepare(other, driver.plan(other));
          throw error;
        }),
    }),
  },
  {
    name: 'prepare fails with an error of another kind',
    members: (driver) => ({
      prepare: (spec, state) =>
        driver.prepare(spec, state).catch(() => {
          throw new Error('it did not work');
        }),
    }),
  },
  {
    name: 'the probe leaves something',
    members: (driver, { other }) => ({
      probe: async (depot) => {
        await driver.prepare(other, driver.plan(other));
        return driver.probe(depot);
      },
    }),
  },
  {
    name: 'plan answers differently each time',
    members: () => {
      const next = counter();
      return { plan: () => ({ number: next() }) };
    },
  },
  {
    name: 'plan prepares',
    members: (driver) => ({
      plan: (spec) => {
        void driver.prepare(spec, {});
        return driver.plan(spec);
      },
    }),
  },
];
