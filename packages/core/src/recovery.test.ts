/** What a start takes over, keeps from others, and lets go of, beyond what a client sees at once. */
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type CgroupDriver,
  type Container,
  type Init,
  type InitDriver,
  silentLogger,
  WardenError,
} from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { EMPTY, NETWORK, TestHost } from '../test/host.ts';
import { type Core, type CoreOptions, setAside } from './index.ts';
import { type ContainerRecord, parseRecord, RECORD_FILE, serializeRecord } from './record.ts';

/** Deadlines for a machine that is busy with something else. */
const SOON = { timeout: 20_000 };

let host: TestHost;
let core: Core;

beforeEach(async () => {
  host = new TestHost({ program: async ({ killed }) => ({ signal: await killed }) });
  core = await host.start();
});
afterEach(async () => {
  vi.useRealTimers();
  vi.unstubAllEnvs();
  await core.close();
  host.remove();
});

const pathOf = async (box: Container): Promise<string> => String((await box.info()).containerPath);
const read = (directory: string): ContainerRecord =>
  parseRecord(fs.readFileSync(path.join(directory, RECORD_FILE), 'utf8'));
const write = (directory: string, record: ContainerRecord): void =>
  fs.writeFileSync(path.join(directory, RECORD_FILE), serializeRecord(record));

describe('a start', () => {
  it('gives nobody the uid, the network or a port of a container that lives, or is set aside', async () => {
    const session = core.openSession();
    const boxes = [await session.create({ handle: 'one' }), await session.create({ handle: 'two' })];
    for (const box of boxes) await box.netIn();
    const paths = [await pathOf(boxes[0]!), await pathOf(boxes[1]!)] as const;
    const earlier = paths.map(read);
    await core.close();
    // of two with one handle the later one is set aside, with all that it has
    write(paths[1], { ...earlier[1]!, handle: 'one' });
    for (let start = 0; start < 2; start++) {
      const warn = vi.fn();
      core = await host.start({ logger: { ...silentLogger, warn } });
      expect([await core.openSession().list(), setAside(host.depot).length]).toEqual([['one'], 1]);
      const fresh = await core.openSession().create();
      await fresh.netIn();
      const record = read(await pathOf(fresh));
      for (const { uid, network, ports } of earlier) {
        expect(record.uid).not.toBe(uid);
        expect(record.network).not.toBe(network);
        expect([...record.ports]).not.toEqual([...ports]);
      }
      // it was not picked and found to be taken, either
      expect(warn).not.toHaveBeenCalledWith('port-of-pool-in-use', expect.anything());
      await fresh.destroy();
      await core.close();
    }
  });

  it('that removes a half-made container gives nobody what a living one has as well', async () => {
    const session = core.openSession();
    const lives = await session.create({ handle: 'lives' });
    const half = await session.create({ handle: 'half made' });
    const { network, uid } = read(await pathOf(lives));
    const directory = await pathOf(half);
    const record = read(directory);
    await core.close();
    write(directory, { ...record, network, uid, state: 'born' });
    core = await host.start({ uids: { first: 10_000, count: 1 } });
    expect(await core.openSession().list()).toEqual(['lives']);
    await expect(core.openSession().create()).rejects.toMatchObject({ code: 'POOL_EXHAUSTED' });
    await core.openSession().container('lives').destroy();
    await core.openSession().create();
  });

  it('that removes a half-made container gives nobody what one that is set aside has as well', async () => {
    const session = core.openSession();
    const aside = await session.create({ handle: 'set aside' });
    const half = await session.create({ handle: 'half made' });
    const [path1, path2] = [await pathOf(aside), await pathOf(half)];
    const { network, uid } = read(path1);
    const record = read(path2);
    await core.close();
    fs.writeFileSync(path.join(path1, RECORD_FILE), '{"broken');
    for (let start = 0; start < 2; start++) {
      if (start > 0) fs.mkdirSync(path2);
      write(path2, { ...record, network, uid, state: 'born' });
      core = await host.start({ uids: { first: 10_000, count: 1 } });
      expect(fs.readdirSync(host.depot)).toEqual([`.quarantine-${path.basename(path1)}`]);
      await expect(core.openSession().create()).rejects.toMatchObject({ code: 'POOL_EXHAUSTED' });
      await core.close();
    }
  });

  it('with smaller pools gives nobody what a living container has, also not when they have grown again', async () => {
    const session = core.openSession();
    const boxes: Container[] = [];
    for (let count = 0; count < 4; count++) boxes.push(await session.create());
    const lives = read(await pathOf(boxes[3]!));
    for (const box of boxes.slice(0, 3)) await box.destroy();
    await core.close();
    const pools = (blocks: number): Pick<CoreOptions, 'network' | 'uids'> => ({
      network: { ...NETWORK, pool: `10.254.0.0/${30 - Math.log2(blocks)}` },
      uids: { first: 10_000, count: blocks },
    });
    core = await host.start(pools(2));
    await core.reconfigure(pools(4));
    const fresh = core.openSession();
    const others: ContainerRecord[] = [];
    for (let count = 0; count < 3; count++) others.push(read(await pathOf(await fresh.create())));
    expect(others.map(({ uid }) => uid)).not.toContain(lives.uid);
    expect(others.map(({ network }) => network)).not.toContain(lives.network);
    await expect(fresh.create()).rejects.toMatchObject({ code: 'POOL_EXHAUSTED' });
    // and has it again once that one has gone
    const [handle] = await fresh.list();
    await fresh.container(handle!).destroy();
    expect(read(await pathOf(await fresh.create()))).toMatchObject({
      uid: lives.uid,
      network: lives.network,
    });
  });

  const IDS = 0x2000_0000;
  const RANGE = 65_536;
  it.each([
    // what was the first one's is the second one's now
    ['one uid further', { first: 10_001, count: 2 }, IDS, 10_002],
    ['half a range earlier', { first: 10_000, count: 3 }, IDS - RANGE / 2, 10_002],
    ['its users for uids', { first: IDS + 7, count: 2 }, 0x6000_0000, undefined],
    ['its uid for a user', { first: 200_000, count: 2 }, 65, 200_001],
    [
      'no users of their own, and its users for uids',
      { first: IDS + RANGE - 1, count: 2 },
      undefined,
      IDS + RANGE,
    ],
    ['other users altogether', { first: 20_000, count: 1 }, 0x6000_0000, 20_000],
  ] as const)(
    'that lays users out otherwise gives nobody those of a container that lives: %s',
    async (_what, uids, subordinateIds, expected) => {
      const lives = read(await pathOf(await core.openSession().create({ handle: 'lives' })));
      expect(lives).toMatchObject({ uid: 10_000, firstId: IDS });
      await core.close();
      const warn = vi.fn();
      const { security } = host.options();
      core = await host.start({
        uids,
        security: { ...security, subordinateIds },
        logger: { ...silentLogger, warn },
      });
      const created = core.openSession().create();
      if (expected === undefined) await expect(created).rejects.toMatchObject({ code: 'POOL_EXHAUSTED' });
      else expect(read(await pathOf(await created)).uid).toBe(expected);
      const left = expected === undefined ? uids.count : expected - uids.first;
      const told = expect.objectContaining({ count: left, containers: ['lives'] });
      if (left > 0) expect(warn).toHaveBeenCalledWith('uids-left-out', told);
      else expect(warn).not.toHaveBeenCalledWith('uids-left-out', expect.anything());
    },
  );

  it('that lays users out otherwise leaves them out until the next one, whatever grows or goes meanwhile', async () => {
    const session = core.openSession();
    for (const handle of ['first', 'second', 'third']) await session.create({ handle });
    for (const handle of ['first', 'second']) await session.container(handle).destroy();
    await core.close();
    // 10,002 is its uid, and by 10,003 its users would be another's
    const uids = { first: 10_001, count: 2 };
    core = await host.start({ uids });
    const fresh = core.openSession();
    const uidOfNew = async (): Promise<number> => read(await pathOf(await fresh.create())).uid;
    expect(await uidOfNew()).toBe(10_001);
    await core.reconfigure({ uids: { ...uids, count: 4 } });
    expect(await uidOfNew()).toBe(10_004);
    await fresh.container('third').destroy();
    expect(await uidOfNew()).toBe(10_002);
    await expect(fresh.create()).rejects.toMatchObject({ code: 'POOL_EXHAUSTED' });
    await core.close();
    core = await host.start({ uids: { ...uids, count: 4 } });
    expect(read(await pathOf(await core.openSession().create())).uid).toBe(10_003);
  });

  it('begins grace times when it is over: nobody could have come before, however long it took', async () => {
    await core.openSession().create({ handle: 'box', graceTime: 0.05 });
    await core.close();
    const drivers = host.drivers();
    vi.spyOn(drivers.network, 'sweep').mockImplementation(async () => {
      await delay(500);
      return [];
    });
    core = await host.start({ drivers });
    expect(await core.openSession().list()).toEqual(['box']);
  });

  it('on another depot ends nobody: containers of its name that live elsewhere are a reason not to begin', async () => {
    const directory = await pathOf(await core.openSession().create({ handle: 'box' }));
    const id = path.basename(directory);
    await core.close();
    host.groups.join(`/core/instance-${id}/cgroup.procs`, { pid: 7, rss: 0n, onEnd: () => {} });
    const depot = path.join(host.directory, 'other');
    fs.mkdirSync(depot);
    const drivers = host.drivers();
    const setup = vi.spyOn(drivers.network, 'setup');
    await expect(host.start({ depot, drivers })).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
      message: expect.stringContaining(
        `containers live that have no directory in the depot ${depot} (${id})`,
      ),
    });
    expect(setup).not.toHaveBeenCalled(); // which would put another policy in force for them
    // nor where something of another time is in it
    fs.mkdirSync(path.join(depot, '.quarantine-1abcdefghij'));
    await expect(host.start({ depot, drivers })).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
    expect(setup).not.toHaveBeenCalled();
    core = await host.start();
    expect(await core.openSession().list()).toEqual(['box']);
    await core.close();
    // of whom nobody lives, only the kernel's objects are left
    await (await host.inits({ logger: silentLogger }).connect(directory))!.kill();
    const { cgroup } = host.drivers();
    await cgroup.killAll(cgroup.plan({ id, allowAllDevices: false, pidsLimit: undefined }), 1_000);
    core = await host.start({ depot });
    expect(host.inventory()).toMatchObject({ groups: [], links: [] });
  });

  it('without control groups knows by the links who lives: on another depot, and with another network pool', async () => {
    await core.close();
    const driversWithout = (): CoreOptions['drivers'] => {
      const drivers = host.drivers();
      const nothing = async (): Promise<void> => {};
      const cgroup: CgroupDriver = {
        ...{ ...drivers.cgroup, supports: { ...drivers.cgroup.supports, freezer: false } },
        ...{
          plan: () => ({}),
          create: async () => undefined,
          killAll: nothing,
          release: nothing,
          retire: nothing,
        },
        ...{ pids: async () => [], list: async () => [], memoryStat: async () => ({}) },
        ...{ cpuStat: async () => ({ usage: 0n, user: 0n, system: 0n }), pressureStat: async () => ({}) },
      };
      return { ...drivers, cgroup };
    };
    core = await host.start({ drivers: driversWithout() });
    const directory = await pathOf(await core.openSession().create({ handle: 'lives' }));
    await core.close();
    const before = host.inventory();
    const depot = path.join(host.directory, 'other');
    fs.mkdirSync(depot);
    await expect(host.start({ depot, drivers: driversWithout() })).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
      message: expect.stringContaining(
        `containers live that have no directory in the depot ${depot} (${path.basename(directory)})`,
      ),
    });
    const network = { ...NETWORK, pool: '10.253.0.0/24' };
    // with groups again, it still has none
    for (const drivers of [driversWithout(), host.drivers()])
      await expect(host.start({ network, drivers })).rejects.toMatchObject({
        code: 'INVALID_SPEC',
        message: expect.stringContaining('containers live outside of 10.253.0.0/24: lives (10.254.0.2)'),
      });
    expect(host.inventory()).toEqual(before);
    core = await host.start({ drivers: driversWithout() });
    expect(await core.openSession().list()).toEqual(['lives']);
    await core.close();
    // of whom nobody lives, only the kernel's objects are left
    await (await host.inits({ logger: silentLogger }).connect(directory))!.kill();
    for (const { pid } of host.links.links.values()) host.links.ended.add(pid);
    core = await host.start({ depot, drivers: driversWithout() });
    expect(host.links.inventory()).toEqual([]);
  });

  it('with a clock that was set back repeats no id', async () => {
    const id = path.basename(await pathOf(await core.openSession().create()));
    await core.close();
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() - 86_400_000 });
    core = await host.start();
    expect(path.basename(await pathOf(await core.openSession().create())) > id).toBe(true);
  });

  it.each([
    ['paused', { isPaused: true }, true],
    ['held for a snapshot', { isHeld: true }, false],
  ] as const)('lets a container that was %s go on before it asks its init', async (_what, change, after) => {
    const directory = await pathOf(await core.openSession().create());
    await core.close();
    const record = { ...read(directory), ...change };
    write(directory, record);
    const drivers = host.drivers();
    const { cgroup } = drivers;
    const state = record.drivers.cgroup;
    const group = `/core/instance-${record.id}/cgroup.procs`;
    host.groups.join(group, { pid: 7, rss: 0n, onEnd: () => {} });
    await cgroup.freeze(state, 1_000);
    const frozen: boolean[] = [];
    const init: InitDriver = {
      ...drivers.init,
      connect: async (at) => {
        frozen.push(await cgroup.isFrozen(state));
        return drivers.init.connect(at);
      },
    };
    core = await host.start({ drivers: { ...drivers, init } });
    expect(await core.openSession().list()).toHaveLength(1);
    expect([frozen, await cgroup.isFrozen(state)]).toEqual([[false], after]);
    expect([read(directory).isHeld === true, read(directory).isPaused]).toEqual([false, after]);
  });

  it('asks no init that stands still and has no record, and leaves it so', async () => {
    const directory = await pathOf(await core.openSession().create({ handle: 'paused' }));
    await core.close();
    const { id, drivers: states } = read(directory);
    fs.writeFileSync(path.join(directory, RECORD_FILE), '{"broken');
    const drivers = host.drivers();
    host.groups.join(`/core/instance-${id}/cgroup.procs`, { pid: 7, rss: 0n, onEnd: () => {} });
    await drivers.cgroup.freeze(states.cgroup, 1_000);
    const connect = vi.fn(drivers.init.connect);
    core = await host.start({ drivers: { ...drivers, init: { ...drivers.init, connect } } });
    expect(connect).not.toHaveBeenCalled(); // each would wait for its answer
    expect(await drivers.cgroup.isFrozen(states.cgroup)).toBe(true);
    expect(setAside(host.depot)).toMatchObject([{ id, reason: expect.stringContaining('no JSON') }]);
  });

  it('removes a container that was paused before a reboot, of which there are neither processes nor groups', async () => {
    const box = await core.openSession().create();
    await box.pause();
    const directory = await pathOf(box);
    await core.close();
    await (await host.inits({ logger: silentLogger }).connect(directory))!.kill();
    host.groups.groups.clear();
    host.links.links.clear();
    core = await host.start();
    expect([await core.openSession().list(), setAside(host.depot)]).toEqual([[], []]);
    expect(host.inventory()).toEqual(EMPTY);
  });

  it('takes the directory in which a container lives for it, and not a copy that has its name', async () => {
    const session = core.openSession();
    const directory = await pathOf(await session.create({ handle: 'box' }));
    await core.close();
    const moved = path.join(host.depot, 'moved');
    fs.cpSync(directory, moved, { recursive: true });
    const drivers = host.drivers();
    let open = 0;
    const most: number[] = [];
    const connect = async (at: string): Promise<Init | undefined> => {
      if (at !== moved) return undefined;
      const connection = (await drivers.init.connect(directory))!;
      most.push(++open);
      const disconnect = (): void => {
        open -= 1;
        connection.disconnect();
      };
      return Object.assign(Object.create(connection) as Init, { disconnect });
    };
    const error = vi.fn();
    core = await host.start({
      drivers: { ...drivers, init: { ...drivers.init, connect } },
      logger: { ...silentLogger, error },
    });
    const box = core.openSession().container('box');
    expect(await pathOf(box)).toBe(moved);
    expect(error).toHaveBeenCalledWith('copied-container-ignored', expect.objectContaining({ directory }));
    // init takes one daemon at a time
    expect(most).toEqual([1, 1]);
    await box.destroy();
    expect(fs.existsSync(path.join(directory, RECORD_FILE))).toBe(true);
  });

  it.each(['recover.network', 'recover.jobs', 'recover.watch'])(
    'that cannot continue a container behind %s sets it aside, alive, and lets go of it and its handle',
    async (name) => {
      const box = await core.openSession().create({ handle: 'box' });
      const directory = await pathOf(box);
      await box.limitMemory(1n << 30n);
      await core.close();
      vi.stubEnv('WARDEN_FAILPOINT', `1*${name}=error`);
      const drivers = host.drivers();
      const disconnected = vi.fn();
      const init: InitDriver = {
        ...drivers.init,
        connect: async (at) => {
          const connection = await drivers.init.connect(at);
          const disconnect = connection?.disconnect.bind(connection);
          return (
            connection &&
            Object.assign(connection, {
              disconnect: () => {
                disconnected();
                disconnect!();
              },
            })
          );
        },
      };
      core = await host.start({ drivers: { ...drivers, init } });
      const session = core.openSession();
      expect([await session.list(), core.containerCount]).toEqual([[], 0]);
      expect(setAside(host.depot)).toMatchObject([{ handle: 'box', reason: `failpoint ${name}` }]);
      expect(disconnected).toHaveBeenCalledOnce();
      expect(host.inits.directories()).toEqual([directory]);
      await (await session.create({ handle: 'box' })).destroy();
    },
  );

  it('asks all that are set aside at once: one that takes its time is not waited for before the next is asked', async () => {
    const session = core.openSession();
    for (const handle of ['one', 'two', 'three']) await session.create({ handle });
    await core.close();
    const drivers = host.drivers();
    const refuse = async (): Promise<Init | undefined> => {
      throw new WardenError('UNAVAILABLE', 'it turns everybody away');
    };
    core = await host.start({ drivers: { ...drivers, init: { ...drivers.init, connect: refuse } } });
    expect([await core.openSession().list(), setAside(host.depot).length]).toEqual([[], 3]);
    await core.close();
    const asked = new Set<string>();
    const connect = async (directory: string): Promise<Init | undefined> => {
      asked.add(directory);
      await vi.waitUntil(() => asked.size >= 3, SOON);
      // the host of this test knows an init by the directory in which it was started
      const isAside = path.basename(directory).startsWith('.');
      return isAside ? ({ disconnect: () => {} } as Init) : drivers.init.connect(directory);
    };
    core = await host.start({ drivers: { ...drivers, init: { ...drivers.init, connect } } });
    expect(await core.openSession().list()).toEqual(['one', 'two', 'three']);
  });

  it('takes back what an older daemon has set aside, for the version of its record or without a word', async () => {
    const session = core.openSession();
    const directories: string[] = [];
    for (const handle of ['newer', 'without a reason'])
      directories.push(await pathOf(await session.create({ handle, properties: { of: handle } })));
    await core.close();
    const asideOf = (directory: string): string =>
      path.join(host.depot, `.quarantine-${path.basename(directory)}`);
    const records = directories.map((directory) => path.join(directory, 'snapshot.json'));
    const texts = records.map((file) => fs.readFileSync(file, 'utf8'));
    // what this daemon is to the one of version 99, an older one is to this daemon
    for (const [at, file] of records.entries())
      fs.writeFileSync(file, texts[at]!.replace(/"version":\d+/, '"version":99'));
    core = await host.start();
    expect(await core.openSession().list()).toEqual([]);
    expect(setAside(host.depot)).toMatchObject([
      { handle: 'newer', advice: expect.stringMatching(/^start the daemon that wrote it/) },
      { handle: 'without a reason' },
    ]);
    await core.close();
    for (const [at, directory] of directories.entries())
      fs.writeFileSync(path.join(asideOf(directory), 'snapshot.json'), texts[at]!);
    // the first daemons noted nothing
    fs.rmSync(path.join(asideOf(directories[1]!), 'quarantine.json'));
    // with disk limits by an image the directory cannot be removed as it is
    expect(setAside(host.depot)[1]?.advice).toMatch(/umount tmp .* remove the directory/);
    const drivers = host.drivers();
    const connect = async (directory: string): Promise<Init | undefined> =>
      // the host of this test knows an init by the directory in which it was started
      directories.map(asideOf).includes(directory)
        ? ({ disconnect: () => {} } as Init)
        : drivers.init.connect(directory);
    core = await host.start({ drivers: { ...drivers, init: { ...drivers.init, connect } } });
    expect(await core.openSession().list()).toEqual(['newer', 'without a reason']);
    expect((await core.openSession().container('newer').info()).properties).toEqual({ of: 'newer' });
    expect(setAside(host.depot)).toEqual([]);
  });

  it('is refused where the network pool does not hold a container that lives, and nothing has changed then', async () => {
    const directory = await pathOf(await core.openSession().create({ handle: 'lives' }));
    const group = `/core/instance-${path.basename(directory)}/cgroup.procs`;
    host.groups.join(group, { pid: 7, rss: 0n, onEnd: () => {} });
    await core.close();
    const before = host.inventory();
    const drivers = host.drivers();
    const setup = vi.fn(drivers.network.setup);
    const startWith = (pool: string): Promise<Core> =>
      host.start({
        network: { ...NETWORK, pool },
        drivers: { ...drivers, network: { ...drivers.network, setup } },
      });
    await expect(startWith('10.253.0.0/24')).rejects.toMatchObject({
      code: 'INVALID_SPEC',
      message: expect.stringContaining('containers live outside of 10.253.0.0/24: lives (10.254.0.2)'),
      fields: { object: 'network.pool_network', containers: ['lives (10.254.0.2)'] },
    });
    expect(setup).not.toHaveBeenCalled();
    expect(host.inventory()).toEqual(before);
    // larger, or the same beginning later
    for (const pool of ['10.254.0.0/23', '10.254.0.128/24']) {
      core = await startWith(pool);
      expect(await core.openSession().list()).toEqual(['lives']);
      await core.close();
    }
    // a host that was started again has nothing of it but the record
    await (await host.inits({ logger: silentLogger }).connect(directory))!.kill();
    host.groups.end(7);
    core = await startWith('10.253.0.0/24');
    expect(host.inventory()).toEqual(EMPTY);
  });

  it('puts the recorded limits in force, whatever was changed while no daemon was there', async () => {
    const box = await core.openSession().create();
    const group = `/core/instance-${path.basename(await pathOf(box))}`;
    await box.limitMemory(1n << 30n);
    await box.limitCpu(512n);
    await core.close();
    Object.assign(host.groups.groups.get(group)!, { memoryLimit: 1n << 40n, shares: 7n });
    core = await host.start();
    expect(host.groups.groups.get(group)).toMatchObject({ memoryLimit: 1n << 30n, shares: 512n });
  });

  it('stops a container whose memory ran out while no daemon was there', async () => {
    const box = await core.openSession().create({ handle: 'box' });
    const group = `/core/instance-${path.basename(await pathOf(box))}`;
    host.groups.join(`${group}/cgroup.procs`, { pid: 7, rss: 0n, onEnd: () => {} });
    await box.limitMemory(1n << 20n);
    await core.close();
    await host.groups.allocate(7, 1 << 21);
    core = await host.start();
    await vi.waitFor(async () => {
      const { state, events } = await core.openSession().container('box').info();
      expect([state, events]).toEqual(['stopped', ['out of memory']]);
    }, SOON);
  });

  it.each(['stop.record', 'stop.signal'])(
    'finishes a stop that a daemon had begun when it died, behind %s',
    async (name) => {
      const box = await core.openSession().create({ handle: 'box' });
      const { id } = await box.spawn('');
      await core.close();
      vi.stubEnv('WARDEN_FAILPOINT', `${name}=error`);
      core = await host.start();
      await expect(core.openSession().container('box').stop()).rejects.toThrow(`failpoint ${name}`);
      vi.unstubAllEnvs();
      await core.close();
      core = await host.start();
      const same = core.openSession().container('box');
      expect((await same.job(id).link()).exitStatus).toBe(255);
      expect(await same.info()).toMatchObject({ state: 'stopped', jobIds: [] });
    },
  );

  it('gives back the addresses of what it removes without a record', async () => {
    const directory = await pathOf(await core.openSession().create());
    const { network, uid } = read(directory);
    await core.close();
    fs.rmSync(path.join(directory, RECORD_FILE));
    const config = path.join(directory, 'etc/config');
    expect(fs.readFileSync(config, 'utf8')).toContain(`user_uid=${uid}\n`);
    core = await host.start({
      network: { ...NETWORK, pool: '10.254.0.0/30' },
      uids: { first: uid, count: 1 },
    });
    expect(host.inventory()).toEqual(EMPTY);
    const record = read(await pathOf(await core.openSession().create()));
    expect([record.network, record.uid]).toEqual([network, uid]);
  });

  it('ends who is left of a dead container, and gives its image back', async () => {
    const release = vi.fn();
    const images = {
      use: () => ({ image: 'sha256:1', layers: [host.rootfs] }),
      release,
      recover: async () => {},
    } as never;
    await core.close();
    core = await host.start({ images });
    const directory = await pathOf(await core.openSession().create({ image: 'one' }));
    const id = path.basename(directory);
    await core.close();
    await (await host.inits({ logger: silentLogger }).connect(directory))!.kill();
    const onEnd = vi.fn();
    host.groups.join(`/core/instance-${id}/cgroup.procs`, { pid: 7, rss: 0n, onEnd });
    core = await host.start({ images });
    expect(onEnd).toHaveBeenCalledOnce();
    expect(release.mock.calls).toEqual([[id]]);
    expect(host.inventory()).toEqual(EMPTY);
  });
});
