import fs from 'node:fs';
import path from 'node:path';
import type { Init } from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EMPTY, TestHost } from '../test/host.ts';
import { type CleanUpOptions, cleanUp, type Leftover } from './clean-up.ts';
import { REMOVED_DIRECTORY } from './leftovers.ts';
import type { CoreDrivers, CoreOptions } from './options.ts';

let host: TestHost;
beforeEach(() => {
  host = new TestHost({ program: async () => ({ exitCode: 0 }) });
});
afterEach(() => host.remove());

/** A thing that a driver keeps on the host until it is dismantled. */
interface Standing {
  readonly names: Set<string>;
  readonly refuses?: Error;
}

function withHost(network: Standing, cgroup: Standing): CoreDrivers {
  const drivers = host.drivers();
  const keeping = ({ names, refuses }: Standing) => ({
    standing: async () => [...names],
    dismantle: async () => {
      if (refuses !== undefined) throw refuses;
      names.clear();
    },
  });
  return {
    ...drivers,
    network: Object.assign(drivers.network, keeping(network)),
    cgroup: Object.assign(drivers.cgroup, keeping(cgroup)),
  };
}

const table = (): Standing => ({ names: new Set(['table']) });
const groups = (): Standing => ({ names: new Set(['groups']) });
const clean = (over: Partial<CoreOptions>): Promise<readonly Leftover[]> =>
  cleanUp(host.options(over), { dryRun: false, all: false });
const told = (found: readonly Leftover[]): string[] =>
  found.map(({ fate, kind, name, why }) => `${fate} ${kind} ${path.basename(name)}: ${why}`);

describe('clean-up', () => {
  it('is not stopped by a file that cannot be removed, which needs neither table nor groups [operations cleanup]', async () => {
    for (const name of ['a-1-0', 'b-1-0', 'c-1-0'])
      fs.mkdirSync(path.join(host.depot, REMOVED_DIRECTORY, name), { recursive: true });
    const removeTree = async (directory: string): Promise<void> => {
      if (directory.endsWith('b-1-0')) throw new Error('EPERM: cannot remove b');
      fs.rmSync(directory, { recursive: true });
    };
    expect(told(await clean({ drivers: withHost(table(), groups()), removeTree }))).toEqual([
      'removed file a-1-0: a destroyed container has left it',
      'failed file b-1-0: EPERM: cannot remove b',
      'removed file c-1-0: a destroyed container has left it',
      'removed host table: no container is left',
      'removed host groups: no container is left',
    ]);
  });

  it('is not stopped by a directory of removed files that cannot be read [operations cleanup]', async () => {
    fs.writeFileSync(path.join(host.depot, REMOVED_DIRECTORY), 'in the way');
    expect(told(await clean({ drivers: withHost(table(), groups()) }))).toEqual([
      expect.stringMatching(/^failed file \.removed: ENOTDIR/),
      'removed host table: no container is left',
      'removed host groups: no container is left',
    ]);
  });

  it('tells of each driver why what it holds stays [operations cleanup]', async () => {
    const drivers = withHost(table(), { ...groups(), refuses: new Error('it holds others') });
    drivers.network.list = async () => {
      throw new Error('no netlink');
    };
    const found = told(await clean({ drivers }));
    expect(found).toEqual([
      'failed network what the network driver memory holds: no netlink',
      'keep host table: what the network driver memory holds needs it, which could not be removed',
      'failed host groups: it holds others',
    ]);
  });

  it('keeps table and groups for a container that is kept, and for one that could not be removed [operations cleanup]', async () => {
    const core = await host.start();
    const box = await core.openSession().create();
    const { containerPath } = await box.info();
    const id = path.basename(containerPath!);
    await core.close();
    const keep = (why: string): string[] => [`keep host table: ${why}`, `keep host groups: ${why}`];
    const drivers = withHost(table(), groups());
    expect(told(await clean({ drivers })).slice(1)).toEqual(keep('containers that are kept need it'));
    drivers.init.connect = async () => {
      throw new Error('no answer');
    };
    expect(told(await clean({ drivers }))).toEqual([
      `failed container ${id}: no answer`,
      ...keep(`${id} needs it, which could not be removed`),
    ]);
  });

  it('only looks with dryRun, also at what has no directory; with all it ends who lives, and keeps what cannot be understood [operations cleanup]', async () => {
    const core = await host.start();
    const session = core.openSession();
    const paths: string[] = [];
    for (const handle of ['lives', 'broken', 'stray'])
      paths.push((await (await session.create({ handle })).info()).containerPath!);
    await core.close();
    fs.writeFileSync(path.join(paths[1]!, 'snapshot.json'), '{"broken');
    fs.rmSync(paths[2]!, { recursive: true });
    const before = host.inventory();
    const listing = (): CoreDrivers => {
      const drivers = host.drivers();
      const list = async (): Promise<string[]> => [...host.links.links.values()].map(({ spec }) => spec.id);
      return { ...drivers, network: Object.assign(drivers.network, { list }) };
    };
    const fates = async (wanted: CleanUpOptions): Promise<string[]> =>
      (await cleanUp(host.options({ drivers: listing() }), wanted))
        .filter(({ kind }) => kind !== 'host')
        .map(({ fate, kind, name }) => `${fate} ${kind} ${paths.findIndex((one) => one.endsWith(name))}`);
    expect(await fates({ dryRun: true, all: false })).toEqual([
      'keep container 0',
      'keep container 1',
      'remove network 2',
      'remove cgroup 2',
    ]);
    expect(await fates({ dryRun: true, all: true })).toEqual([
      'remove container 0',
      'keep container 1',
      'remove network 2',
      'remove cgroup 2',
    ]);
    expect(host.inventory()).toEqual(before);
    expect(await fates({ dryRun: false, all: true })).toEqual([
      'removed container 0',
      'keep container 1',
      'removed network 2',
      'removed cgroup 2',
    ]);
    const id = path.basename(paths[1]!);
    expect(host.inventory()).toMatchObject({ depot: [id], groups: [expect.stringContaining(id)] });
    expect(host.inits.directories()).toContain(paths[1]);
    expect(host.inits.directories()).not.toContain(paths[0]);
  });

  it('keeps of what is set aside, and of which nothing lives, the directory alone [operations cleanup]', async () => {
    let core = await host.start();
    const { containerPath = '' } = await (await core.openSession().create()).info();
    const id = path.basename(containerPath);
    await core.close();
    fs.writeFileSync(path.join(containerPath, 'snapshot.json'), '{"broken');
    core = await host.start();
    await core.close();
    const directory = `.quarantine-${id}`;
    expect(fs.readdirSync(host.depot)).toEqual([directory]);
    const drivers = withHost(table(), groups());
    const list = async (): Promise<string[]> => [...host.links.links.values()].map(({ spec }) => spec.id);
    Object.assign(drivers.network, { list });
    // the fake's is known by the earlier name
    let init: Pick<Init, 'disconnect'> | undefined = { disconnect: () => {} };
    drivers.init.connect = async () => init as Init | undefined;
    const all = async (dryRun: boolean): Promise<string[]> =>
      told(await cleanUp(host.options({ drivers }), { dryRun, all: true })).slice(1);
    const stays = ['table', 'groups'].map((one) => `keep host ${one}: containers that are kept need it`);
    expect(await all(false)).toEqual(stays);
    init = undefined;
    // a process that has outlived its init
    host.groups.join(`/core/instance-${id}/cgroup.procs`, { pid: 7, rss: 0n, onEnd: () => {} });
    expect(await all(false)).toEqual(stays);
    host.groups.end(7);
    const why = 'its container is set aside, and nothing of it lives';
    const goes = (fate: string): string[] => [
      `${fate} network ${id}: ${why}`,
      `${fate} cgroup ${id}: ${why}`,
    ];
    expect(await all(true)).toEqual([...goes('remove'), ...stays]);
    expect(await all(false)).toEqual([...goes('removed'), ...stays]);
    expect(host.inventory()).toMatchObject({ depot: [directory], groups: [], links: [] });
  });

  it('ends who lives without a directory here only with all: it may be another depot’s [operations cleanup]', async () => {
    const core = await host.start();
    const { containerPath } = await (await core.openSession().create()).info();
    const id = path.basename(containerPath!);
    await core.close();
    host.groups.join(`/core/instance-${id}/cgroup.procs`, { pid: 7, rss: 0n, onEnd: () => {} });
    const depot = path.join(host.directory, 'other');
    fs.mkdirSync(depot);
    const cleanOther = async (all: boolean, dryRun = false): Promise<string[]> =>
      told(await cleanUp(host.options({ depot, drivers: withHost(table(), groups()) }), { dryRun, all }));
    const before = host.inventory();
    expect(await cleanOther(true, true)).toContainEqual(
      `remove cgroup ${id}: its container has no directory here, and lived`,
    );
    expect(await cleanOther(false)).toEqual([
      `keep container ${id}: it lives, and has no directory here: it is of another depot, or has lost it; --all ends it with its jobs`,
      'keep host table: containers that are kept need it',
      'keep host groups: containers that are kept need it',
    ]);
    expect(host.inventory()).toEqual(before);
    expect(await cleanOther(true)).toContainEqual(
      `removed cgroup ${id}: its container has no directory here, and lived`,
    );
    expect(host.inventory()).toMatchObject({ groups: [] });
  });

  it('ends also who is paused, and leaves him so for a look [operations cleanup]', async () => {
    const core = await host.start();
    const box = await core.openSession().create({ handle: 'box' });
    const id = path.basename((await box.info()).containerPath!);
    host.groups.join(`/core/instance-${id}/cgroup.procs`, { pid: 7, rss: 0n, onEnd: () => {} });
    await box.pause();
    await core.close();
    const drivers = host.drivers();
    const state = drivers.cgroup.plan({ id, allowAllDevices: false, pidsLimit: undefined });
    const { connect } = drivers.init;
    // init stands still with the rest
    drivers.init.connect = async (directory) => {
      if (await drivers.cgroup.isFrozen(state)) throw new Error('no answer');
      return connect(directory);
    };
    const fates = async (dryRun: boolean, all: boolean): Promise<string[]> =>
      (await cleanUp(host.options({ drivers }), { dryRun, all })).map(({ fate, kind }) => `${fate} ${kind}`);
    expect(await fates(false, false)).toEqual(['keep container']);
    expect(await fates(true, true)).toEqual(['remove container']);
    expect(await drivers.cgroup.isFrozen(state)).toBe(true);
    expect(await fates(false, true)).toEqual(['removed container']);
    expect(host.inventory()).toEqual(EMPTY);
  });
});
