/** Faults of file-system drivers that copy. */
import fs from 'node:fs';
import path from 'node:path';
import type { FilesystemDriver, Mount, RootfsSpec } from '@warden/interface';
import { counter, type Fault } from './fault.ts';

const layerOf = ({ directory }: RootfsSpec): string => path.join(directory, 'tmp/rootfs');
const mountOf = (source: string): readonly Mount[] => [
  { type: 'none', source, target: '/', options: ['bind', 'rw'] },
];
const prepareAnd =
  (driver: FilesystemDriver, then: (spec: RootfsSpec) => void): FilesystemDriver['prepare'] =>
  async (spec, state) => {
    await driver.prepare(spec, state);
    then(spec);
  };

/** Each is caught by the kit for file-system drivers. */
export const FILESYSTEM_FAULTS: readonly Fault<'filesystem'>[] = [
  {
    name: 'the probe leaves a file in the depot',
    by: 'probes honestly',
    members: (driver) => ({
      probe: async (depot) => {
        fs.writeFileSync(path.join(depot, '.probe'), '');
        return driver.probe(depot);
      },
    }),
  },
  {
    name: 'the probe throws',
    by: 'probes honestly',
    members: () => ({ probe: () => Promise.reject(new Error('no')) }),
  },
  {
    name: 'plan makes a directory',
    by: 'plans without touching anything',
    members: (driver) => ({
      plan: (spec) => {
        fs.mkdirSync(layerOf(spec), { recursive: true });
        return driver.plan(spec);
      },
    }),
  },
  {
    name: 'plan answers differently each time',
    by: 'plans without touching anything',
    members: () => {
      const next = counter();
      return { plan: () => ({ layer: `tmp/rootfs-${next()}` }) };
    },
  },
  {
    name: 'the state is not flat',
    by: 'plans without touching anything',
    members: () => ({ plan: () => ({ layer: { path: 'tmp/rootfs' } }) as never }),
  },
  {
    name: 'release removes nothing',
    by: 'releases what was prepared, twice',
    members: () => ({ release: async () => {} }),
  },
  {
    name: 'release removes the files of others',
    by: 'releases what was never prepared',
    members: () => ({ release: async (spec) => fs.rmSync(spec.directory, { recursive: true, force: true }) }),
  },
  {
    name: 'something lies beside the directory and not in it',
    by: 'leaves nothing once its directory is removed, if it says so',
    members: (driver) => ({
      prepare: prepareAnd(driver, (spec) => fs.writeFileSync(`${spec.directory}.beside`, '')),
      release: async (spec, state) => {
        await driver.release(spec, state);
        fs.rmSync(`${spec.directory}.beside`, { force: true });
      },
    }),
  },
  {
    name: 'release fails where nothing is',
    by: 'releases what was never prepared',
    members: () => ({ release: async (spec) => fs.rmSync(path.dirname(layerOf(spec)), { recursive: true }) }),
  },
  {
    name: 'release takes the layers of others with it',
    by: 'keeps two containers on one base apart',
    members: (driver) => ({
      release: async (spec, state) => {
        await driver.release(spec, state);
        for (const other of fs.readdirSync(path.dirname(spec.directory)))
          fs.rmSync(path.join(path.dirname(spec.directory), other, 'tmp'), { recursive: true, force: true });
      },
    }),
  },
  {
    name: 'prepare empties an existing layer',
    by: 'keeps writes between two mounts of the same state',
    members: (driver) => ({
      prepare: async (spec, state) => {
        fs.rmSync(layerOf(spec), { recursive: true, force: true });
        await driver.prepare(spec, state);
      },
    }),
  },
  {
    name: 'prepare takes a half-made layer for a complete one',
    by: 'completes what a killed daemon has begun',
    members: (driver) => ({
      prepare: async (spec, state) => {
        if (!fs.existsSync(layerOf(spec))) await driver.prepare(spec, state);
      },
    }),
  },
  {
    name: 'others may pass the layer',
    by: 'lets nobody of the host come by what the container wrote',
    members: (driver) => ({
      prepare: prepareAnd(driver, (spec) => fs.chmodSync(path.dirname(layerOf(spec)), 0o711)),
    }),
  },
  {
    name: 'prepare leaves something when it fails',
    by: 'refuses a base that is no directory and leaves nothing',
    members: (driver) => ({
      prepare: (spec, state) =>
        driver.prepare(spec, state).catch((error: unknown) => {
          fs.writeFileSync(path.join(spec.directory, 'half'), '');
          throw error;
        }),
    }),
  },
  {
    name: 'prepare fails with an error of another kind',
    by: 'undoes a prepare that fails at any step',
    members: (driver) => ({
      prepare: (spec, state) =>
        driver.prepare(spec, state).catch(() => {
          throw new Error('it did not work');
        }),
    }),
  },
  {
    name: 'prepare accepts a base that is no directory',
    by: 'refuses a base that is no directory and leaves nothing',
    members: (driver) => ({
      prepare: async (spec, state) => {
        if (fs.existsSync(spec.base)) await driver.prepare(spec, state);
      },
    }),
  },
  {
    name: 'the base itself is mounted',
    by: 'keeps writes away from the base',
    members: () => ({ mounts: (spec) => mountOf(spec.base) }),
  },
  {
    name: 'the root is read-only against what it says',
    by: 'denies or allows writes outside the writable directories as it says',
    members: (driver) => ({
      mounts: (spec, state) => driver.mounts(spec, state).map((one) => ({ ...one, options: ['bind', 'ro'] })),
    }),
  },
  {
    name: 'the first mount is not the root',
    by: 'describes the root first and only absolute targets',
    members: (driver) => ({
      mounts: (spec, state) => [
        { type: 'tmpfs', source: 'tmpfs', target: '/tmp', options: [] },
        ...driver.mounts(spec, state),
      ],
    }),
  },
  {
    name: 'two containers share a layer',
    by: 'keeps two containers on one base apart',
    members: (driver) => {
      const shared = (spec: RootfsSpec): RootfsSpec => ({
        ...spec,
        directory: path.join(path.dirname(spec.directory), '0123456789a'),
      });
      return {
        prepare: (spec, state) => driver.prepare(shared(spec), state),
        mounts: (spec, state) => driver.mounts(shared(spec), state),
      };
    },
  },
  {
    name: 'the layer lies where no client looks for it',
    by: 'shows what the container wrote below tmp/rootfs',
    members: (driver) => {
      const elsewhere = (spec: RootfsSpec): string => path.join(spec.directory, 'tmp/layer');
      return {
        prepare: async (spec, state) => {
          if (fs.existsSync(elsewhere(spec))) return;
          await driver.prepare(spec, state);
          fs.renameSync(layerOf(spec), elsewhere(spec));
        },
        mounts: (spec) => mountOf(elsewhere(spec)),
      };
    },
  },
  {
    name: 'modes are lost',
    by: 'shows paths, owners and modes of the base',
    members: (driver) => ({
      prepare: prepareAnd(driver, (spec) => fs.chmodSync(path.join(layerOf(spec), 'etc/greeting'), 0o644)),
    }),
  },
  {
    name: 'owners are lost',
    by: 'shows paths, owners and modes of the base',
    members: (driver) => ({
      prepare: prepareAnd(driver, (spec) => fs.chownSync(path.join(layerOf(spec), 'etc/greeting'), 1, 1)),
    }),
  },
  {
    name: 'only the instance that prepared knows the layer',
    by: 'goes on with what an earlier daemon prepared',
    members: (driver) => {
      const known = new Set<string>();
      return {
        prepare: prepareAnd(driver, (spec) => known.add(spec.id)),
        release: async (spec, state) => {
          if (known.has(spec.id)) await driver.release(spec, state);
        },
      };
    },
  },
];
