/** `wardend cleanup`: what a daemon that is gone has left, and nothing of anybody else. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {
  describeWith,
  makePlace,
  remainingLeaks,
  startDaemon,
  type TestDaemon,
  type TestPlace,
  takeInventory,
  WARDEND,
} from '@warden/test-harness';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { until } from './until.ts';

interface Leftover {
  readonly kind: string;
  readonly name: string;
  readonly handle?: string;
  readonly fate: string;
  readonly why: string;
}

describeWith(['root', 'isolated', 'overlayfs', 'nft'], 'wardend cleanup', () => {
  let place: TestPlace;
  let before: ReturnType<typeof takeInventory>;
  let daemon: TestDaemon;
  beforeEach(async () => {
    place = await makePlace();
    before = takeInventory(place);
    daemon = await startDaemon({ place });
  });
  afterEach(async () => {
    try {
      await daemon.stop();
      expect(await remainingLeaks(place, before)).toEqual([]);
    } finally {
      await daemon.kill();
      await place.remove();
    }
  });

  const run = (...words: readonly string[]): { status: number; found: Leftover[]; stderr: string } => {
    const file = path.join(place.directory, 'wardend.yml');
    const command = [process.execPath, WARDEND, 'cleanup', '--config', file, '--json', ...words];
    const { status, stdout, stderr } = place.network.host.try(command);
    const found = stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Leftover);
    return { status, found, stderr };
  };
  const fates = (found: readonly Leftover[]): string[] =>
    found.map(({ kind, handle, name, fate }) => `${fate} ${kind} ${handle ?? path.basename(name)}`).sort();
  const rules = (): string => place.network.host.run('nft', 'list', 'ruleset');

  it('is refused beside a running daemon, which notices nothing [operations cleanup]', async () => {
    const { status, stderr } = run('--all');
    expect([status, stderr]).toEqual([2, expect.stringContaining('belongs to a running wardend')]);
    // nor on another depot: table, groups and links are found by the name
    const other = path.join(place.directory, 'other');
    fs.mkdirSync(other);
    const elsewhere = run('--all', '--depot', other);
    expect([elsewhere.status, elsewhere.stderr]).toEqual([
      2,
      expect.stringContaining('another wardend with the name'),
    ]);
    await (await daemon.connect()).ping();
  });

  it('tells what it would do and changes nothing, then removes the dead and keeps the living [operations cleanup]', async () => {
    const warden = await daemon.connect();
    const dead = await warden.create({ handle: 'dead' });
    const alive = await warden.create({ handle: 'alive' });
    const job = await alive.spawn('echo begun; read line < <(sleep 60)');
    const { containerPath } = await dead.info();
    const pid = Number(fs.readFileSync(path.join(containerPath!, 'run/wshd.pid'), 'utf8'));
    await daemon.kill();
    process.kill(pid, 'SIGKILL');
    await until(() => !fs.existsSync(`/proc/${pid}`));
    const left = path.join(place.depot, '.removed/0123456789a-1-0/tmp/rootfs');
    fs.mkdirSync(left, { recursive: true });
    const kernel = rules();
    const depot = fs.readdirSync(place.depot).sort();
    const dry = run('--dry-run');
    expect(dry.status).toBe(0);
    expect(fates(dry.found)).toEqual(
      expect.arrayContaining([
        'keep container alive',
        'remove container dead',
        'remove file 0123456789a-1-0',
        'remove file warden.sock',
      ]),
    );
    expect([rules(), fs.readdirSync(place.depot).sort()]).toEqual([kernel, depot]);
    expect([fs.existsSync(place.socket), fs.existsSync(left)]).toEqual([true, true]);
    const { status, found } = run();
    expect(status).toBe(0);
    expect(fates(found)).toEqual(
      expect.arrayContaining([
        'keep container alive',
        'removed container dead',
        'removed file 0123456789a-1-0',
        'removed file warden.sock',
      ]),
    );
    expect(fs.readdirSync(path.join(place.depot, '.removed'))).toEqual([]);
    expect(found.filter(({ kind }) => kind === 'host').every(({ fate }) => fate === 'keep')).toBe(true);
    expect(fs.existsSync(containerPath!)).toBe(false);
    // the next daemon has the living one, with its job and its output
    daemon = await startDaemon({ place });
    const again = await daemon.connect();
    expect(await again.list()).toEqual(['alive']);
    const output = again.container('alive').job(job.id).stream();
    expect((await output.next()).done).toBe(false);
    await output.return(undefined as never);
  });

  it('removes the memory group of a container whose daemon was killed right behind its files [operations cleanup]', async ({
    skip,
  }) => {
    if (!fs.readFileSync('/proc/self/mountinfo', 'utf8').match(/ - cgroup \S+ \S*memory/))
      return skip('groups of cgroup v2 are removed before the answer');
    await daemon.stop();
    daemon = await startDaemon({ place, environment: { WARDEN_FAILPOINT: 'destroy.filesystem=kill' } });
    const box = await (await daemon.connect()).create();
    await box.destroy().catch(() => {}); // the answer may be on its way yet
    await until(() => !fs.existsSync(`/proc/${daemon.pid}`));
    const left = [`cgroup ${box.handle}`];
    const groups = ({ found }: ReturnType<typeof run>): string[] =>
      found.filter(({ kind }) => kind === 'cgroup').map(({ kind, name }) => `${kind} ${name}`);
    expect(groups(run('--dry-run'))).toEqual(left);
    expect(groups(run())).toEqual(left);
    expect(groups(run())).toEqual([]);
  });

  it('with --all leaves nothing of the configuration, and everything of others [operations cleanup]', async () => {
    const { host } = place.network;
    host.run('nft', 'add', 'table', 'inet', `${place.name}-other`);
    host.run('ip', 'link', 'add', 'w-others-0', 'type', 'veth', 'peer', 'name', 'w-others-1');
    fs.mkdirSync(path.join(place.depot, 'lost+found'));
    fs.writeFileSync(path.join(place.depot, 'notes'), 'mine');
    // of a driver that is not chosen any more, and of a look at the room
    for (const trial of ['.aufs-probe-abc123', '.room-abc123']) fs.mkdirSync(path.join(place.depot, trial));
    const warden = await daemon.connect();
    const alive = await warden.create({ handle: 'alive' });
    await alive.netOut({ domain: '*.example.org', port: 443 });
    await daemon.kill();
    const { status, found } = run('--all');
    expect([status, found.filter(({ fate }) => fate !== 'removed')]).toEqual([0, []]);
    expect(fates(found)).toEqual(
      expect.arrayContaining(['removed container alive', 'removed file .skeleton']),
    );
    const tables = host.run('nft', 'list', 'tables').trim().split('\n');
    expect(tables).toEqual([`table inet ${place.name}-other`]);
    expect(fs.readdirSync(place.depot).sort()).toEqual(['.lock', 'lost+found', 'notes']);
    expect(host.run('ip', '-o', 'link')).toContain('w-others-0');
    expect(fs.readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(place.depot);
    const groups = fs.readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
    for (const line of groups.filter((one) => / - cgroup2? /.test(one)))
      expect(fs.existsSync(path.join(line.split(' ')[4]!, place.name))).toBe(false);
    expect(run().found).toEqual([]);
    host.run('nft', 'delete', 'table', 'inet', `${place.name}-other`);
    host.run('ip', 'link', 'delete', 'w-others-0');
    fs.rmdirSync(path.join(place.depot, 'lost+found'));
    fs.rmSync(path.join(place.depot, 'notes'));
  });

  it('makes nothing, not even the root file system that no other one is configured for [operations cleanup]', async () => {
    await (await daemon.connect()).create({ handle: 'left' });
    await daemon.kill();
    const words = [`server.container_depot_path=${place.depot}`, `drivers.name=${place.name}`].flatMap(
      (setting) => ['--set', setting],
    );
    const command = [process.execPath, WARDEND, 'cleanup', '--all', '--socket', place.socket, ...words];
    // an empty /var/lib of its own, so that what the machine has there neither hides nor suffers anything
    const script = 'mount -t tmpfs none /var/lib && "$@" > "$0" && ls -A /var/lib';
    const listed = path.join(place.directory, 'listed');
    for (const flags of [['--dry-run'], []]) {
      const within = ['unshare', '--mount', 'sh', '-c', script, listed, ...command, ...flags];
      const { status, stdout, stderr } = place.network.host.try(within);
      expect([status, stdout, stderr]).toEqual([0, '', '']);
      expect(fs.readFileSync(listed, 'utf8')).toContain('handle "left"');
    }
  });

  it('is not kept from anything else by a file that cannot be removed [operations cleanup]', async () => {
    await daemon.kill();
    const left = path.join(place.depot, '.removed/0123456789a-1-0');
    fs.mkdirSync(left, { recursive: true });
    // the directory is the daemon's own, which no removal of what is in there changes
    execFileSync('chattr', ['+i', path.dirname(left)]);
    try {
      const { status, found } = run();
      expect([status, found.filter(({ fate }) => fate !== 'removed')]).toEqual([
        1,
        [{ kind: 'file', name: left, fate: 'failed', why: expect.stringContaining('EPERM') }],
      ]);
      expect(place.network.host.run('nft', 'list', 'tables')).toBe('');
      expect(fs.readdirSync(place.depot).sort()).toEqual(['.lock', '.removed']);
    } finally {
      execFileSync('chattr', ['-i', path.dirname(left)]);
    }
    expect(fates(run().found)).toEqual(
      expect.arrayContaining(['removed file 0123456789a-1-0', 'removed file .removed']),
    );
  });

  it('keeps what nobody understands, with its reason', async () => {
    const warden = await daemon.connect();
    const box = await warden.create({ handle: 'odd' });
    const { containerPath } = await box.info();
    await daemon.kill();
    const record = path.join(containerPath!, 'snapshot.json');
    const good = fs.readFileSync(record);
    fs.writeFileSync(record, '{"version": 99}');
    const { status, found } = run('--all');
    expect([status, found.find(({ kind }) => kind === 'container')]).toEqual([
      0,
      expect.objectContaining({ fate: 'keep', why: expect.stringContaining('cannot be read') }),
    ]);
    expect(rules()).toContain(place.name);
    fs.writeFileSync(record, good);
    daemon = await startDaemon({ place });
    expect(await (await daemon.connect()).list()).toEqual(['odd']);
  });
});
