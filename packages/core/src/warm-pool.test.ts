/** Prepared containers, over the fakes of the compliance kit. */
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Container, silentLogger, type Warden, WardenError } from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { EMPTY, TestHost } from '../test/host.ts';
import type { Core, CoreOptions } from './index.ts';

/** Deadlines for a machine that is busy with something else. */
const SOON = { timeout: 20_000 };

const PREPARED = 2;
/** Four networks; one that was used comes back only after the tests. */
const NETWORK = {
  pool: '10.254.0.0/28',
  releaseDelay: 60,
  mtu: 1500,
  allowNetworks: [],
  denyNetworks: [],
  allowHostAccess: false,
  dnsServers: ['10.0.0.1'],
};

/** Every daemon on it prepares containers. `failing`: preparations fail while it is set. */
class Host extends TestHost {
  readonly #conditions: { failing: boolean };

  constructor() {
    const conditions = { failing: false };
    super({ program: async () => ({ exitCode: 3 }), fails: () => conditions.failing });
    this.#conditions = conditions;
  }

  set failing(value: boolean) {
    this.#conditions.failing = value;
  }

  override start(over: Partial<CoreOptions> = {}): Promise<Core> {
    return super.start({ network: NETWORK, warmContainers: PREPARED, ...over });
  }

  /** Ids of containers whose inits live, claimed or not. */
  living(): string[] {
    return this.inits.directories().map((directory) => path.basename(directory));
  }
}

let host: Host;
let core: Core;
let warden: Warden;

async function filled(count = PREPARED, withinMs = 10_000): Promise<void> {
  await vi.waitFor(() => expect(host.living()).toHaveLength(count), withinMs);
  // the last one comes out of its making
  await vi.waitFor(() => expect(core.statistics().prepared).toBe(PREPARED), withinMs);
}

const pathOf = async (box: Container): Promise<string> => String((await box.info()).containerPath);

beforeEach(async () => {
  host = new Host();
  core = await host.start();
  warden = core.openSession();
  await filled();
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await core.close();
  host.remove();
});

describe('a prepared container', () => {
  it('is listed where it was claimed, not where it was made, also by the next daemon', async () => {
    // with a root of its own a container is made for the request, later than the prepared ones
    await warden.create({ handle: 'first', rootfs: host.rootfs });
    await warden.create({ handle: 'second' });
    expect(await warden.list()).toEqual(['first', 'second']);
    await core.close();
    core = await host.start();
    warden = core.openSession();
    expect(await warden.list()).toEqual(['first', 'second']);
    await warden.create({ handle: 'third' });
    await core.close();
    core = await host.start();
    expect(await core.openSession().list()).toEqual(['first', 'second', 'third']);
  });

  it('is nobody’s: not listed, not counted, not in the way of a handle', async () => {
    const [prepared] = host.living() as [string];
    expect(await warden.list()).toEqual([]);
    expect(core.containerCount).toBe(0);
    await expect(warden.container(prepared).info()).rejects.toMatchObject({ code: 'UNKNOWN_HANDLE' });
    const box = await warden.create({ handle: prepared });
    expect(await warden.list()).toEqual([prepared]);
    await box.destroy();
  });

  it('is claimed by an ordinary request, with its handle and grace time, and replaced', async () => {
    const before = host.living();
    const named = await warden.create({ handle: 'named', graceTime: 7 });
    const unnamed = await warden.create();
    expect(before).toContain(path.basename(await pathOf(named)));
    expect(before).toContain(unnamed.handle);
    expect((await unnamed.info()).containerPath).toBe(path.join(host.depot, unnamed.handle));
    await filled(2 + PREPARED);
    const record = JSON.parse(fs.readFileSync(path.join(await pathOf(named), 'snapshot.json'), 'utf8'));
    expect(record).toMatchObject({ grace_time: 7, state: 'active', resources: { handle: 'named' } });
    expect((await (await named.spawn('')).link()).exitStatus).toBe(3);
    expect(await warden.list()).toEqual(['named', unnamed.handle]);
    await named.destroy();
    await unnamed.destroy();
    await expect(named.info()).rejects.toMatchObject({ code: 'UNKNOWN_HANDLE' });
  });

  it('is not for requests with a root, mounts or a network of their own', async () => {
    const before = host.living();
    const root = fs.mkdtempSync(path.join(host.directory, 'other-'));
    const specs = [
      { rootfs: root },
      { bindMounts: [{ source: root, target: '/mnt/it', mode: 'ro' as const }] },
    ];
    for (const spec of specs) {
      const box = await warden.create(spec);
      expect(before).not.toContain(box.handle);
      await box.destroy();
    }
    expect(host.living()).toEqual(before);
  });

  it('does not get a handle that is taken, neither its own id nor another', async () => {
    const before = host.living();
    await warden.create({ handle: before[1]! });
    await filled(1 + PREPARED);
    // the one whose id somebody has chosen as a handle is left for requests with a handle
    const handles = new Set([before[1]!]);
    for (let i = 0; i < 2; i++) handles.add((await warden.create()).handle);
    expect(handles.size).toBe(3);
    await expect(warden.create({ handle: before[1]! })).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
  });

  it('is claimed once by 8 who ask at the same time', async () => {
    const boxes = await Promise.all(Array.from({ length: 2 }, () => warden.create()));
    const more = await Promise.allSettled(Array.from({ length: 8 }, () => warden.create()));
    const all = [...boxes, ...more.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))];
    // a /28 has four networks: nobody is refused one that only lies prepared
    expect(all).toHaveLength(4);
    expect(new Set(await Promise.all(all.map(async (box) => (await box.info()).containerIp))).size).toBe(4);
  });

  it('is removed when its root has changed since', async () => {
    const before = host.living();
    fs.renameSync(host.rootfs, `${host.rootfs}.old`);
    fs.mkdirSync(host.rootfs);
    const box = await warden.create();
    expect(before).not.toContain(box.handle);
    await vi.waitFor(() => expect(host.living().some((id) => before.includes(id))).toBe(false), SOON);
  });
});

describe('what prepared containers hold', () => {
  it('is given up for a request that names their network, without the release delay', async () => {
    for (const network of ['10.254.0.0', '10.254.0.4', '10.254.0.8', '10.254.0.12']) {
      const box = await warden.create({ network });
      expect((await box.info()).hostIp).toMatch('10.254.0.');
    }
    await expect(warden.create()).rejects.toMatchObject({ code: 'POOL_EXHAUSTED' });
    expect(host.living()).toHaveLength(4);
  });

  it('is given up for two requests with one handle, of which one gets it', async () => {
    const held = host
      .living()
      .map((id) => JSON.parse(fs.readFileSync(path.join(host.depot, id, 'snapshot.json'), 'utf8')))
      .map((record: { resources: { network: string } }) => record.resources.network);
    const results = await Promise.allSettled(
      held.map((network) => warden.create({ handle: 'same', network })),
    );
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(results).toContainEqual({
      status: 'rejected',
      reason: expect.objectContaining({ code: 'ALREADY_EXISTS' }),
    });
  });

  it('is given up for a request that none of them serves, when a pool is empty', async () => {
    await core.close();
    core = await host.start({ uids: { first: 10_000, count: PREPARED } });
    warden = core.openSession();
    await filled();
    const other = fs.mkdtempSync(path.join(host.directory, 'other-'));
    await warden.create({ rootfs: other });
    await warden.create({ rootfs: other });
    await expect(warden.create({ rootfs: other })).rejects.toMatchObject({ code: 'POOL_EXHAUSTED' });
  });

  it('stays its own when it cannot be given up: nobody else gets its network', async () => {
    await core.close();
    const drivers = host.drivers();
    const release = vi.fn(drivers.network.release);
    core = await host.start({ drivers: { ...drivers, network: { ...drivers.network, release } } });
    warden = core.openSession();
    await filled();
    release.mockRejectedValueOnce(new WardenError('NATIVE_FAILED', 'the link stays'));
    await expect(warden.create({ network: '10.254.0.0' })).rejects.toMatchObject({ code: 'POOL_EXHAUSTED' });
    expect(release).toHaveBeenCalledOnce();
  });

  it('is given up without the handle that somebody has reserved meanwhile', async () => {
    await core.close();
    const drivers = host.drivers();
    const other = fs.mkdtempSync(path.join(host.directory, 'other-'));
    let goOn = (): void => {};
    const held = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const prepare: typeof drivers.filesystem.prepare = async (spec, state) => {
      if (spec.base === other) await held;
      await drivers.filesystem.prepare(spec, state);
    };
    const filesystem = Object.assign(Object.create(drivers.filesystem), { prepare });
    core = await host.start({ drivers: { ...drivers, filesystem } });
    warden = core.openSession();
    await filled();
    const [directory] = host.inits.directories() as [string];
    const handle = path.basename(directory);
    const first = warden.create({ handle, rootfs: other });
    await (await host.inits({ logger: silentLogger }).connect(directory))?.kill();
    await vi.waitFor(() => expect(fs.existsSync(directory)).toBe(false), SOON);
    await expect(warden.create({ handle, rootfs: host.rootfs })).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
    });
    goOn();
    expect((await first).handle).toBe(handle);
  });

  it('goes with the daemon that ends', async () => {
    const box = await warden.create({ handle: 'stays' });
    await filled(1 + PREPARED);
    const containerPath = await pathOf(box);
    await core.close();
    expect(host.inits.directories()).toEqual([containerPath]);
    expect(fs.readdirSync(host.depot)).toEqual([path.basename(containerPath)]);
    core = await host.start({ warmContainers: 0 });
    warden = core.openSession();
    expect(await warden.list()).toEqual(['stays']);
    await warden.container(box.handle).destroy();
    expect(host.inventory()).toEqual(EMPTY);
  });

  it('is found and removed by the next daemon after a kill', async () => {
    // the first daemon is left as it is, as by SIGKILL; only that it cannot be kept from noticing what
    // happens to its containers
    host.failing = true;
    const next = await host.start({ warmContainers: 0 });
    await vi.waitFor(() => expect(host.inventory()).toEqual(EMPTY), 10_000);
    await next.close();
  });
});

describe('preparing', () => {
  it('that fails keeps nobody from creating, and is tried again', { timeout: 60_000 }, async () => {
    await core.close();
    host.failing = true;
    core = await host.start({ network: { ...NETWORK, releaseDelay: 0 } });
    warden = core.openSession();
    await expect(warden.create()).rejects.toMatchObject({ code: 'NATIVE_FAILED' });
    host.failing = false;
    const box = await warden.create();
    await filled(1 + PREPARED, 30_000);
    await box.destroy();
    expect(host.living()).toHaveLength(PREPARED);
  });

  it('replaces one whose init has died, after a while', { timeout: 60_000 }, async () => {
    const [died] = host.inits.directories() as [string];
    await (await host.inits({ logger: silentLogger }).connect(died))?.kill();
    await vi.waitFor(() => expect(host.inits.directories()).not.toContain(died), 10_000);
    // not at once: what ended that one may end the next ones, too
    await delay(500);
    expect(host.living()).toHaveLength(PREPARED - 1);
    await filled(PREPARED, 20_000);
    const box = await warden.create();
    expect(box.handle).not.toBe(path.basename(died));
  });

  it('a claim that cannot be recorded fails, and leaves nothing of the container', async () => {
    const before = host.living();
    for (const id of before) {
      const record = path.join(host.depot, id, 'snapshot.json');
      // another file of that name cannot be written in place, and with this directory none beside it either
      fs.copyFileSync(record, `${record}.copy`);
      fs.renameSync(`${record}.copy`, record);
      fs.mkdirSync(`${record}.new`);
    }
    await expect(warden.create({ handle: 'unlucky' })).rejects.toThrow();
    expect(await warden.list()).toEqual([]);
    const box = await warden.create({ handle: 'unlucky' }).catch(() => warden.create({ handle: 'unlucky' }));
    expect(box.handle).toBe('unlucky');
  });
});
