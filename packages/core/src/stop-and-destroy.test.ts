/** How containers end, by request. */
import fs from 'node:fs';
import path from 'node:path';
import {
  type CgroupDriver,
  type Container,
  type ContainerId,
  type DriverState,
  type ImageStore,
  silentLogger,
  type Warden,
  WardenError,
} from '@warden/interface';
import { describe, expect, it, vi } from 'vitest';
import { EMPTY, type TestHost } from '../test/host.ts';
import { eachAnew, SOON, script, text } from '../test/setting.ts';
import type { Core, CoreOptions } from './index.ts';

let host: TestHost;
let core: Core;
let warden: Warden;

eachAnew(
  (setting) => ({ host, core, warden } = setting),
  () => core,
);

describe('stop and destroy (spec behaviour.md 5)', () => {
  it('ends processes although the record cannot be written', async () => {
    const box = await warden.create();
    const job = await box.spawn(script({ forever: true }));
    const renameSync = vi.spyOn(fs, 'renameSync').mockImplementation(() => {
      throw Object.assign(new Error('no space left'), { code: 'ENOSPC' });
    });
    await expect(box.stop({ kill: true })).rejects.toMatchObject({
      code: 'NATIVE_FAILED',
      fields: { errno: 'ENOSPC' },
    });
    renameSync.mockRestore();
    expect((await job.link()).exitStatus).toBe(255);
    // it stays stopped, and the next stop does what this one could not [behaviour 20.28]
    expect((await box.info()).state).toBe('stopped');
    await box.stop();
    await core.close();
    core = await host.start();
    expect((await core.openSession().container(box.handle).info()).state).toBe('stopped');
  });

  it('ends what stands still: paused, or frozen by somebody else', async () => {
    const group = async (box: Container): Promise<{ isFrozen: boolean }> =>
      host.groups.groups.get(`/core/instance-${path.basename((await box.info()).containerPath!)}`)!;
    const record = async (box: Container): Promise<{ warden: { paused?: boolean } }> =>
      JSON.parse(fs.readFileSync(path.join((await box.info()).containerPath!, 'snapshot.json'), 'utf8'));
    const [paused, frozen] = [await warden.create(), await warden.create()];
    await paused.pause();
    expect([(await group(paused)).isFrozen, (await record(paused)).warden.paused]).toEqual([true, true]);
    (await group(frozen)).isFrozen = true;
    for (const box of [paused, frozen]) {
      await box.stop();
      expect([(await group(box)).isFrozen, (await record(box)).warden.paused]).toEqual([false, undefined]);
    }
  });

  it('leaves a newer container of the same handle alone, whatever an older one is still asked [behaviour 20.25] [behaviour 20.32]', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const owner = core.openSession();
    const old = await owner.create({ handle: 'same', graceTime: 5 });
    await owner.close(); // the grace time runs
    await Promise.all([old.destroy(), old.destroy()]);
    const other = core.openSession();
    const { containerPath } = await (await other.create({ handle: 'same' })).info();
    await vi.advanceTimersByTimeAsync(100_000);
    expect((await other.container('same').info()).containerPath).toBe(containerPath);
  });

  it('stops once for all, keeps results, and admits nothing new', async () => {
    const box = await warden.create();
    const job = await box.spawn(script({ stdout: 'printed', forever: true }));
    await Promise.all([box.stop(), box.stop({ kill: true }), box.stop({ background: true })]);
    expect(await box.info()).toMatchObject({ state: 'stopped', jobIds: [] });
    await expect(box.spawn(script({}))).rejects.toMatchObject({
      code: 'BAD_STATE',
      message: "Container state must be one of 'active', current state is 'stopped'",
    });
    await expect(box.netIn()).rejects.toMatchObject({ code: 'BAD_STATE' });
    expect(text((await job.link()).stdout)).toBe('printed');
    await box.stop();
  });

  it('gives waiting links the obituary [behaviour 5 Destroy 1]', async () => {
    const box = await warden.create();
    const job = await box.spawn(script({ forever: true }));
    const waiting = job.link();
    await box.destroy();
    expect(await waiting).toMatchObject({ exitStatus: 255, info: { state: 'active', jobIds: [job.id] } });
  });

  it('answers a destroy when the directory is aside, where files count nowhere; they go behind it, by the next daemon if need be', async () => {
    await core.close();
    const drivers = host.drivers();
    const quota = { ...drivers.quota, countsFiles: () => false };
    let isHeld = true;
    const removeTree = async (directory: string): Promise<void> => {
      if (isHeld) await new Promise(() => {});
      fs.rmSync(directory, { recursive: true });
    };
    core = await host.start({ drivers: { ...drivers, quota }, removeTree });
    const session = core.openSession();
    const box = await session.create({ handle: 'again' });
    const { containerPath } = await box.info();
    await box.destroy();
    expect(fs.existsSync(containerPath!)).toBe(false);
    const aside = path.join(host.depot, '.removed');
    expect(fs.readdirSync(aside)).toHaveLength(1);
    // of the groups only what nobody can see by the container's name, until the files are gone
    const groups = [expect.stringContaining('/removed-')];
    expect(host.inventory()).toEqual({ ...EMPTY, depot: ['.removed'], groups });
    const second = await session.create({ handle: 'again' });
    expect(await session.list()).toEqual(['again']);
    isHeld = false;
    await second.destroy();
    await vi.waitFor(() => expect(fs.readdirSync(aside)).toHaveLength(1), SOON);
    await vi.waitFor(() => expect(host.inventory()).toMatchObject({ groups }), SOON);
    core = await host.start({ removeTree });
    expect(host.inventory()).toMatchObject({ groups: [] });
    await vi.waitFor(() => expect(fs.readdirSync(aside)).toEqual([]), SOON);
    expect(await core.openSession().list()).toEqual([]);
  });

  it('removes the files before it answers when the directory cannot be moved', async () => {
    await core.close();
    const drivers = host.drivers();
    core = await host.start({
      drivers: { ...drivers, quota: { ...drivers.quota, countsFiles: () => false } },
    });
    fs.writeFileSync(path.join(host.depot, '.removed'), 'in the way');
    const box = await core.openSession().create();
    await box.destroy();
    expect(host.inventory()).toEqual({ ...EMPTY, depot: ['.removed'] }); // the groups are gone altogether, too
  });

  it('records what is known of the groups once they are made, and hands that back, also the next one', async () => {
    const given: [string, DriverState][] = [];
    const drivers = (): CoreOptions['drivers'] => {
      const base = host.drivers();
      const cgroup: CgroupDriver = {
        ...base.cgroup,
        create: async (spec, state) => {
          await base.cgroup.create(spec, state);
          return { ...state, spent: '1 2' };
        },
        memoryStat: (state) => {
          given.push(['stat', state]);
          return base.cgroup.memoryStat(state);
        },
        release: (state) => {
          given.push(['release', state]);
          return base.cgroup.release(state);
        },
      };
      return { ...base, cgroup };
    };
    await core.close();
    core = await host.start({ drivers: drivers() });
    const box = await core.openSession().create({ handle: 'box' });
    await box.info();
    const state = {
      path: `/core/instance-${path.basename((await box.info()).containerPath!)}`,
      spent: '1 2',
    };
    expect(given.splice(0)).toEqual([
      ['stat', state],
      ['stat', state],
    ]);
    await core.close();
    core = await host.start({ drivers: drivers() });
    const again = core.openSession().container('box');
    await again.info();
    await again.destroy();
    expect(given).toContainEqual(['stat', state]);
    expect(given.at(-1)).toEqual(['release', state]);
    expect(host.inventory()).toEqual(EMPTY);
  });

  it('closes the groups’ driver when nothing of the containers is left to be removed, and ends all the same when that fails', async () => {
    await core.close();
    const warn = vi.fn();
    const drivers = host.drivers();
    const close = vi.fn(async () => {
      throw new WardenError('NATIVE_FAILED', 'Failed to delete it');
    });
    core = await host.start({
      drivers: { ...drivers, cgroup: { ...drivers.cgroup, close } },
      logger: { ...silentLogger, warn },
    });
    await (await core.openSession().create()).destroy();
    expect(close).not.toHaveBeenCalled();
    await core.close();
    expect(close).toHaveBeenCalledOnce();
    expect(warn).toHaveBeenCalledWith('kept-groups-left', { error: expect.any(WardenError) });
  });

  it('gives back all that a container has, also when its image cannot be released', async () => {
    const images = {
      use: () => ({ image: 'sha256:1', layers: [host.rootfs] }),
      release: () => {
        throw new WardenError('INVALID_SPEC', 'index.json is damaged');
      },
      recover: async () => {},
    } as unknown as ImageStore;
    await core.close();
    const error = vi.fn();
    core = await host.start({ images, logger: { ...silentLogger, error } });
    const session = core.openSession();
    const box = await session.create({ image: 'one', network: '10.254.0.8', handle: 'box' });
    await box.destroy();
    expect([await session.list(), host.inventory()]).toEqual([[], EMPTY]);
    expect(error).toHaveBeenCalledWith('image-not-released', expect.objectContaining({ handle: 'box' }));
    await (await session.create({ handle: 'box' })).destroy();
  });

  it('names the containers of an image by their handles, and by their ids those that no client can name', async () => {
    const users: ContainerId[] = [];
    const one = { id: 'sha256:1', names: ['one:latest'], bytes: 0, layers: [], usedBy: users };
    const images = {
      use: (id: ContainerId) => {
        users.push(id);
        return { image: 'sha256:1', layers: [host.rootfs] };
      },
      release: () => {},
      recover: async () => {},
      list: async () => [one],
      import: async () => one,
      remove: async () => {
        throw new WardenError('BAD_STATE', 'the image one is used by 2 containers', {
          fields: { operation: 'remove image', object: 'one', containers: users },
        });
      },
    } as unknown as ImageStore;
    await core.close();
    core = await host.start({ images });
    const session = core.openSession();
    await session.create({ image: 'one', handle: 'box' });
    users.push('0123456789a');
    expect(await session.images!.list()).toMatchObject([{ usedBy: ['box', '0123456789a'] }]);
    expect(await session.images!.import({ path: '/one' })).toMatchObject({ usedBy: ['box', '0123456789a'] });
    await expect(session.images!.remove('one')).rejects.toMatchObject({
      code: 'BAD_STATE',
      message: 'the image one is used by 2 containers: box, 0123456789a; destroy them first',
      fields: { operation: 'remove image', object: 'one', containers: ['box', '0123456789a'] },
    });
  });

  it('freezes a container for a snapshot when the store begins, not while it waits', async () => {
    let begin = (): void => {};
    const turn = new Promise<void>((resolve) => {
      begin = resolve;
    });
    const taken = { id: 'sha256:2', names: ['snap:latest'], bytes: 0, layers: [], usedBy: [] };
    const frozen: boolean[] = [];
    const captured = vi.fn<ImageStore['capture']>(async (_spec, { whileStill } = {}) => {
      await turn;
      return whileStill!(async () => {
        frozen.push(await isFrozen());
        return taken;
      });
    });
    const images = {
      use: () => ({ image: 'sha256:1', layers: [host.rootfs] }),
      release: () => {},
      recover: async () => {},
      capture: captured,
    } as unknown as ImageStore;
    await core.close();
    const drivers = host.drivers();
    const { cgroup, filesystem } = drivers;
    const stacking = Object.assign(Object.create(filesystem) as typeof filesystem, {
      supports: { ...filesystem.supports, stacksLayers: true },
      writableLayer: () => host.rootfs,
    });
    core = await host.start({ images, drivers: { ...drivers, filesystem: stacking } });
    let session = core.openSession();
    let box = await session.create({ image: 'one' });
    const freeze = vi.spyOn(cgroup, 'freeze');
    const isFrozen = (): Promise<boolean> => cgroup.isFrozen(freeze.mock.calls[0]![0]);
    const { signal } = new AbortController();
    const snapshot = session.images!.snapshot(box.handle, 'snap', { signal });
    await vi.waitFor(() => expect(captured).toHaveBeenCalled(), SOON);
    expect([freeze.mock.calls.length, captured.mock.calls[0]![1]!.signal!.aborted]).toEqual([0, false]);
    // nor is it kept from anything else
    await box.limitMemory(1n << 30n);
    begin();
    expect(await snapshot).toEqual(taken);
    expect([frozen, await isFrozen()]).toEqual([[true], false]);
    // one that a daemon ends with goes on without it
    let hasBegun = (): void => {};
    const begun = new Promise<void>((resolve) => {
      hasBegun = resolve;
    });
    captured.mockImplementationOnce(async (_spec, options) =>
      options!.whileStill!(async () => {
        hasBegun();
        return new Promise((_resolve, reject) => {
          options!.signal!.addEventListener('abort', () => reject(new Error('given up')));
        });
      }),
    );
    const last = session.images!.snapshot(box.handle, 'snap').catch((error: unknown) => error);
    await begun;
    expect(await isFrozen()).toBe(true);
    await core.close();
    expect(await isFrozen()).toBe(false);
    expect(await last).toMatchObject({ code: 'BAD_STATE' });
    const ids = captured.mock.calls[0]![0].idMap;
    const { security, uids } = host.options();
    core = await host.start({
      images,
      drivers: { ...drivers, filesystem: stacking },
      security: { ...security, subordinateIds: 0x3000_0000 },
      uids: { ...uids, first: 9_000 },
    });
    session = core.openSession();
    box = session.container(box.handle);
    // one whose users a later configuration would have given other ids
    await session.images!.snapshot(box.handle, 'snap').catch(() => {});
    expect(captured.mock.calls.at(-1)![0].idMap).toEqual(ids);
    expect(ids[0]).toEqual({ inside: 0, outside: 0x2000_0000, count: 10_000 });
    // one that is gone when its turn comes
    captured.mockImplementationOnce(async (_spec, options) => {
      await box.destroy();
      return options!.whileStill!(async () => taken);
    });
    await expect(session.images!.snapshot(box.handle, 'snap')).rejects.toMatchObject({
      code: 'UNKNOWN_HANDLE',
    });
  });

  it('destroys once for all who ask, and again after a failure', async () => {
    const box = await warden.create();
    await Promise.all([box.destroy(), box.destroy()]);
    const second = await warden.create();
    const { containerPath } = await second.info();
    const rmSync = vi.spyOn(fs, 'rmSync').mockImplementationOnce(() => {
      throw Object.assign(new Error('busy'), { code: 'EBUSY' });
    });
    await expect(second.destroy()).rejects.toThrow(/busy/);
    rmSync.mockRestore();
    expect(await warden.list()).toEqual([second.handle]);
    await expect(second.spawn(script({}))).rejects.toMatchObject({ code: 'BAD_STATE' });
    await second.destroy();
    expect(fs.existsSync(containerPath!)).toBe(false);
    expect(host.inventory()).toEqual(EMPTY);
  });
});
