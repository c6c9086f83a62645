/** What the next daemon finds, and takes over. */
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Container, type Init, silentLogger, type Warden } from '@warden/interface';
import { describe, expect, it, vi } from 'vitest';
import { EMPTY, NETWORK, type TestHost } from '../test/host.ts';
import { eachAnew, script } from '../test/setting.ts';
import { CREATE_FAILPOINTS } from './failpoint-names.ts';
import { type Core, setAside } from './index.ts';

let host: TestHost;
let core: Core;
let warden: Warden;

eachAnew(
  (setting) => ({ host, core, warden } = setting),
  () => core,
);

describe('recovery (spec behaviour.md 10)', () => {
  it('takes living containers over: jobs, output, pools, rules, references', async () => {
    const box = await warden.create({ handle: 'living' });
    const { hostPort } = await box.netIn();
    await box.netOut({ port: 80 });
    const ending = await box.spawn(script({ wait: 20, stdout: 'while away', status: 4 }));
    const lasting = await box.spawn(script({ forever: true }));
    const before = host.links.inventory();
    await core.close();
    await new Promise((resolve) => setTimeout(resolve, 60));
    core = await host.start();
    const session = core.openSession();
    expect(await session.list()).toEqual(['living']);
    expect(host.links.inventory()).toEqual(before);
    const same = session.container('living');
    const result = await same.job(ending.id).link();
    expect(result.exitStatus).toBe(4);
    expect((await same.info()).jobIds).toEqual([lasting.id]);
    expect((await same.spawn(script({}))).id).toBeGreaterThan(lasting.id);
    const other = await session.create();
    expect((await other.info()).containerIp).toBe('10.254.0.6');
    expect((await other.netIn()).hostPort).not.toBe(hostPort);
    await Promise.all([same.destroy(), other.destroy()]);
    expect(host.inventory()).toEqual(EMPTY);
  });

  it('lets go of containers it has taken over when it cannot start: their grace times are for whoever can', async () => {
    const box = await warden.create({ handle: 'living', graceTime: 0.1 });
    const { containerPath } = await box.info();
    await core.close();
    const drivers = host.drivers();
    vi.spyOn(drivers.network, 'sweep').mockRejectedValue(new Error('no'));
    const connect = vi.spyOn(drivers.init, 'connect');
    await expect(host.start({ drivers })).rejects.toThrow('no');
    const init = (await connect.mock.results[0]!.value) as Init;
    await init.closed.catch(() => undefined); // nothing keeps its process
    await delay(400);
    expect(fs.existsSync(containerPath!)).toBe(true);
    expect(host.inits.directories()).toEqual([containerPath]);
    core = await host.start({ drivers: host.drivers() });
    expect(core.containerCount).toBe(1);
  });

  it('writes no record again that says all of it already, and each that does not', async () => {
    const [same, other] = [await warden.create(), await warden.create()];
    const record = async (box: Container): Promise<string> =>
      path.join((await box.info()).containerPath!, 'snapshot.json');
    const files = [await record(same), await record(other)] as const;
    await core.close();
    // a job that nobody has any more
    const jobs = { 99: { discard_output: false, log_tag: 'x', sockets: false } };
    const { checksum: _, ...rest } = JSON.parse(fs.readFileSync(files[1], 'utf8')) as { checksum: string };
    fs.writeFileSync(files[1], JSON.stringify({ ...rest, jobs }));
    const before = files.map((file) => fs.statSync(file).ino);
    core = await host.start();
    expect(fs.statSync(files[0]).ino).toBe(before[0]);
    expect((JSON.parse(fs.readFileSync(files[1], 'utf8')) as { jobs: object }).jobs).toEqual({});
    expect(fs.statSync(files[1]).ino).not.toBe(before[1]);
  });

  it.each(CREATE_FAILPOINTS)('undoes what a daemon killed at %s had begun', async (name) => {
    await core.close();
    vi.stubEnv('WARDEN_FAILPOINT', `${name}=kill`);
    core = await host.start();
    const died = new Error('killed');
    vi.spyOn(process, 'kill').mockImplementation(() => {
      throw died;
    });
    // a killed process undoes nothing: its undo must not run either
    const unwind = vi
      .spyOn((await import('./undo-stack.ts')).UndoStack.prototype, 'unwind')
      .mockResolvedValue([]);
    await expect(core.openSession().create()).rejects.toThrow();
    unwind.mockRestore();
    vi.restoreAllMocks();
    vi.unstubAllEnvs();
    core = await host.start();
    const session = core.openSession();
    for (const handle of await session.list()) await session.container(handle).destroy();
    expect(host.inventory()).toEqual(EMPTY);
  });

  it('answers waiting links of a daemon that goes away with UNAVAILABLE, and the next daemon has the job', async () => {
    const box = await warden.create({ handle: 'kept' });
    const job = await box.spawn(script({ wait: 100, status: 6 }));
    const waiting = expect(job.link()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await core.close();
    await waiting;
    core = await host.start();
    expect((await core.openSession().container('kept').job(job.id).link()).exitStatus).toBe(6);
  });

  it.each(['', '\0\0\0'])(
    'removes what a power failure left: a record %j without content, and nobody there',
    async (left) => {
      const box = await warden.create();
      const { containerPath } = await box.info();
      await core.close();
      await (await host.inits({ logger: silentLogger }).connect(containerPath!))!.kill();
      fs.writeFileSync(path.join(containerPath!, 'snapshot.json'), left);
      core = await host.start();
      expect(host.inventory()).toEqual(EMPTY);
    },
  );

  it('sets an empty record aside while somebody lives there, says why, and keeps its addresses', async () => {
    const box = await warden.create();
    const { containerPath, containerIp } = await box.info();
    await core.close();
    fs.writeFileSync(path.join(containerPath!, 'snapshot.json'), '');
    core = await host.start();
    const session = core.openSession();
    expect(await session.list()).toEqual([]);
    expect((await (await session.create()).info()).containerIp).not.toBe(containerIp);
    expect(setAside(host.depot)).toEqual([
      expect.objectContaining({ id: box.handle, reason: expect.stringContaining('no JSON') }),
    ]);
  });

  it('sets a broken record aside although nobody lives there, and keeps its addresses from others', async () => {
    const box = await warden.create();
    const { containerPath } = await box.info();
    await core.close();
    await (await host.inits({ logger: silentLogger }).connect(containerPath!))!.kill();
    const record = path.join(containerPath!, 'snapshot.json');
    fs.writeFileSync(record, fs.readFileSync(record, 'utf8').replace(/"version":\d+/, '"version":99'));
    core = await host.start();
    expect(fs.readdirSync(host.depot)).toEqual([`.quarantine-${path.basename(containerPath!)}`]);
  });

  it('leaves alone what a copied directory names, while the container lives that it is a copy of', async () => {
    const box = await warden.create({ handle: 'lives' });
    const { containerPath } = await box.info();
    const group = `/core/instance-${path.basename(containerPath!)}`;
    host.groups.join(`${group}/cgroup.procs`, { pid: 7, rss: 0n, onEnd: () => {} });
    await core.close();
    const depot = path.join(host.directory, 'copied');
    fs.cpSync(host.depot, depot, { recursive: true });
    const drivers = { ...host.drivers(), cgroup: host.cgroups('other') };
    const [groups, links] = [host.inventory(), host.links.inventory()];
    core = await host.start({ depot, drivers });
    expect(await core.openSession().list()).toEqual([]);
    expect(host.inventory()).toEqual(groups);
    expect(host.links.inventory()).toEqual(links);
    expect(setAside(depot)).toEqual([
      expect.objectContaining({
        handle: 'lives',
        reason: expect.stringContaining("the directory is a copy of another daemon's container"),
        advice: expect.stringContaining("its processes are the other container's"),
      }),
    ]);
    await core.close();
    // under another name itself it is taken over, and removed once nobody lives
    core = await host.start({ drivers });
    expect(await core.openSession().list()).toEqual(['lives']);
    await core.close();
    await (await host.inits({ logger: silentLogger }).connect(containerPath!))!.kill();
    host.groups.end(7);
    core = await host.start({ drivers });
    expect(host.inventory()).toEqual(EMPTY);
  });

  it('gives back what a container that could not be continued had', async () => {
    await core.close();
    const narrow = { network: { ...NETWORK, pool: '10.254.0.0/30' } };
    core = await host.start(narrow);
    await core.openSession().create();
    await core.close();
    host.links.links.clear(); // its link is gone: restore fails
    core = await host.start(narrow);
    const session = core.openSession();
    expect(await session.list()).toEqual([]);
    await (await session.create()).destroy();
  });

  it('does not let two containers have one handle', async () => {
    const [first, second] = [await warden.create({ handle: 'one' }), await warden.create({ handle: 'two' })];
    const paths = [(await first.info()).containerPath!, (await second.info()).containerPath!];
    await core.close();
    const record = path.join(paths[1]!, 'snapshot.json');
    const renamed = fs.readFileSync(record, 'utf8').replace('"handle":"two"', '"handle":"one"');
    fs.writeFileSync(record, renamed.replace(/,"checksum":"\w+"/, ''));
    core = await host.start();
    expect(await core.openSession().list()).toEqual(['one']);
    expect(fs.readdirSync(host.depot).sort()).toEqual([
      `.quarantine-${path.basename(paths[1]!)}`,
      path.basename(paths[0]!),
    ]);
  });

  it('removes dead containers and directories without a record', async () => {
    const box = await warden.create();
    await core.close();
    const { containerPath } = await box.info();
    await (await host.inits({ logger: silentLogger }).connect(containerPath!))!.kill();
    fs.mkdirSync(path.join(host.depot, 'vvvvvvvvvvv/tmp'), { recursive: true });
    core = await host.start();
    expect(await core.openSession().list()).toEqual([]);
    expect(host.inventory()).toEqual(EMPTY);
  });

  it.each(['without its record', 'without etc/config', 'with both in the place of its directory'])(
    'destroys a living container %s, or takes it over under its new name [behaviour 10] [linux-container 25 recovery]',
    async (what) => {
      const box = await warden.create({ handle: 'h' });
      const { containerPath } = await box.info();
      await core.close();
      if (what === 'without its record') fs.rmSync(path.join(containerPath!, 'snapshot.json'));
      else if (what === 'without etc/config') fs.rmSync(path.join(containerPath!, 'etc/config'));
      core = await host.start();
      const isWhole = what.startsWith('with both');
      expect(await core.openSession().list()).toEqual(isWhole ? ['h'] : []);
      if (isWhole) await core.openSession().container('h').destroy();
      expect(host.inventory()).toEqual(EMPTY);
    },
  );

  it('touches nothing in the depot that is not a container of ours [behaviour 10]', async () => {
    await core.close();
    const foreign = ['lost+found', 'containers1', 'backup', 'tmp', '.hidden'];
    for (const name of foreign) {
      fs.mkdirSync(path.join(host.depot, name, 'tmp'), { recursive: true });
      fs.writeFileSync(path.join(host.depot, name, 'precious'), name);
    }
    fs.writeFileSync(path.join(host.depot, 'backup/snapshot.json'), '{"of": "something else"}');
    fs.writeFileSync(path.join(host.depot, 'vvvvvvvvvv1'), 'a file with the name of a container');
    fs.symlinkSync(host.rootfs, path.join(host.depot, 'vvvvvvvvvv2'));
    const before = fs.readdirSync(host.depot, { recursive: true }).length;
    core = await host.start();
    expect(await core.openSession().list()).toEqual([]);
    expect(fs.readdirSync(host.depot, { recursive: true }).length).toBe(before);
    for (const name of foreign)
      expect(fs.readFileSync(path.join(host.depot, name, 'precious'), 'utf8')).toBe(name);
  });

  it('leaves the copy of a living container alone [behaviour 10]', async () => {
    const box = await warden.create({ handle: 'original' });
    const { containerPath } = await box.info();
    await core.close();
    fs.cpSync(containerPath!, path.join(host.depot, '0copy'), { recursive: true });
    core = await host.start();
    const session = core.openSession();
    expect((await session.container('original').info()).containerPath).toBe(containerPath);
    await session.container('original').destroy();
    expect(fs.readdirSync(host.depot)).toEqual(['0copy']);
  });

  it('sets aside what it cannot understand while it lives, and leaves foreign directories alone', async () => {
    const box = await warden.create();
    const { containerPath } = await box.info();
    await core.close();
    fs.writeFileSync(path.join(containerPath!, 'snapshot.json'), '{"broken');
    fs.mkdirSync(path.join(host.depot, 'lost+found'));
    core = await host.start();
    expect(await core.openSession().list()).toEqual([]);
    expect(fs.readdirSync(host.depot).sort()).toEqual([
      `.quarantine-${path.basename(containerPath!)}`,
      'lost+found',
    ]);
    expect(host.groups.groups.size).toBe(1);
    expect(host.links.links.size).toBe(1);
  });
});
