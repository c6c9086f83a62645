/**
 * The operator's hooks, as the specification of the original has them (linux-container.md 9), and what they
 * must never lead to.
 */
import fs from 'node:fs';
import path from 'node:path';
import {
  cgroupParents,
  copyRootfs,
  describeWith,
  remainingLeaks,
  startDaemon,
  type TestDaemon,
  takeInventory,
} from '@warden/test-harness';
import { afterEach, expect, it } from 'vitest';
import { text } from './text.ts';

const ORDER = [
  'hook-parent-before-clone.sh',
  'hook-parent-after-clone.sh',
  'hook-child-before-pivot.sh',
  'hook-child-after-pivot.sh',
] as const;
const VARIABLES = [
  'id',
  'network_host_ip',
  'network_container_ip',
  'network_netmask',
  'user_uid',
  'rootfs_path',
  'allow_nested_warden',
  'container_iface_mtu',
  'dns_servers',
];

let daemon: TestDaemon | undefined;

/** A daemon with these hooks; a script is given without its first line. */
async function withHooks(
  scripts: Readonly<Record<string, string>>,
  config: Readonly<Record<string, unknown>> = {},
  mode = 0o755,
  server: Readonly<Record<string, unknown>> = {},
): Promise<TestDaemon> {
  const hooks = fs.mkdtempSync('/tmp/warden-test-hooks-');
  for (const [name, script] of Object.entries(scripts)) {
    fs.writeFileSync(path.join(hooks, name), script === '' ? '' : `#!/bin/bash\n${script}\n`);
    fs.chmodSync(path.join(hooks, name), mode);
  }
  try {
    daemon = await startDaemon({
      environment: { WARDEN_TEST_SECRET: 'of the daemon' },
      config: {
        server,
        drivers: { hooks_path: hooks, ...config },
        network: { dns_servers: ['192.0.2.1', '192.0.2.2'] },
      },
    });
  } finally {
    fs.rmSync(hooks, { recursive: true });
  }
  return daemon;
}

afterEach(async () => {
  const { place } = daemon ?? {};
  await daemon?.stop();
  await daemon?.kill();
  await place?.remove();
  daemon = undefined;
});

describeWith(['root', 'isolated', 'overlayfs'], 'hooks', () => {
  it('run in order, in their namespaces, in the directory of the container [linux-container 9]', async () => {
    const say = (place: string): string =>
      [
        `echo ${place} $PWD \${PID:-none} $$`,
        'for n in mnt pid net uts ipc; do readlink /proc/self/ns/$n; done',
      ].join('\n');
    const scripts = ORDER.map((name) => [name, `{ ${say(name)}\n} >> $PWD/tmp/told-${name}`] as const);
    const { place, connect } = await withHooks(Object.fromEntries(scripts));
    const warden = await connect();
    await using box = await warden.create();
    const { containerPath } = await box.info();
    const told = ORDER.map((name) =>
      fs
        .readFileSync(path.join(containerPath!, `tmp/told-${name}`), 'utf8')
        .trim()
        .split('\n'),
    );
    const init = text(
      (
        await box.run('for n in mnt pid net uts ipc; do readlink /proc/self/ns/$n; done', {
          privileged: true,
        })
      ).stdout,
    )
      .trim()
      .split('\n');
    // process 1 of the container, by its number on the host
    const pid = fs
      .readdirSync('/proc')
      .find(
        (one) =>
          readOr(`/proc/${one}/status`).match(/^NSpid:.*\t1$/m) && linkOr(`/proc/${one}/ns/pid`) === init[1],
      );
    const [beforeClone, afterClone, beforePivot, afterPivot] = told.map((lines) => lines[0]!.split(' '));
    expect(beforeClone!.slice(0, 3)).toEqual([ORDER[0], containerPath, 'none']);
    expect(afterClone!.slice(0, 3)).toEqual([ORDER[1], containerPath, pid]);
    expect(beforePivot!.slice(0, 3)).toEqual([ORDER[2], containerPath, 'none']);
    expect(afterPivot!.slice(0, 3)).toEqual([ORDER[3], `/mnt${containerPath}`, 'none']);
    // the parent's: a mount namespace of its own, everything else the daemon's
    const host = ['pid', 'net', 'uts', 'ipc'].map((name) =>
      fs.readlinkSync(`/proc/${daemon!.pid}/ns/${name}`),
    );
    for (const parent of [told[0]!, told[1]!]) {
      expect(parent.slice(2)).toEqual(host);
      expect([fs.readlinkSync(`/proc/${place.network.host.pid}/ns/mnt`), init[0]]).not.toContain(parent[1]);
    }
    // the child's: those of the container
    expect(told[2]!.slice(1)).toEqual(init);
    expect(told[3]!.slice(1)).toEqual(init);
    // in this order
    const times = ORDER.map(
      (name) => fs.statSync(path.join(containerPath!, `tmp/told-${name}`), { bigint: true }).mtimeNs,
    );
    expect([...times].sort((a, b) => (a < b ? -1 : 1))).toEqual(times);
  });

  it('get the nine variables, and nothing of the daemon [linux-container 4]', async () => {
    const scripts = ORDER.map((name) => [name, `env > $PWD/tmp/environ-${name}`] as const);
    const { connect } = await withHooks(Object.fromEntries(scripts));
    const warden = await connect();
    await using box = await warden.create();
    const info = await box.info();
    const uid = text((await box.run('id -u')).stdout).trim();
    for (const name of ORDER) {
      const content = fs.readFileSync(path.join(info.containerPath!, `tmp/environ-${name}`), 'utf8');
      // besides those that a shell sets for itself
      const names = content.match(/^(?!(?:_|SHLVL|PWD|OLDPWD)=)[A-Za-z_]+(?==)/gm)!;
      const more = name === ORDER[1] ? ['PID'] : [];
      expect([...names].sort(), name).toEqual([...VARIABLES, 'PATH', ...more].sort());
      expect(content).toContain(`id=${box.handle}\n`);
      expect(content).toContain(`network_host_ip=${info.hostIp}\n`);
      expect(content).toContain(`network_container_ip=${info.containerIp}\n`);
      expect(content).toContain('network_netmask=255.255.255.252\n');
      expect(content).toContain(`user_uid=${uid}\n`);
      expect(content).toContain('allow_nested_warden=false\n');
      expect(content).toContain(`rootfs_path=${fs.realpathSync(daemon!.place.rootfs)}\n`);
      expect(content).toContain('container_iface_mtu=1500\n');
      expect(content).toContain('dns_servers=192.0.2.1\n192.0.2.2\n');
      expect(content).not.toContain('of the daemon');
    }
  });

  it('and etc/config tell whether a warden may be nested [linux-container 4, 5.1]', async () => {
    const scripts = ORDER.map(
      (name) => [name, `echo $allow_nested_warden > $PWD/tmp/nested-${name}`] as const,
    );
    const { connect } = await withHooks(Object.fromEntries(scripts), {}, 0o755, {
      allow_nested_warden: true,
    });
    const warden = await connect();
    await using box = await warden.create();
    const { containerPath } = await box.info();
    for (const name of ORDER)
      expect(fs.readFileSync(path.join(containerPath!, `tmp/nested-${name}`), 'utf8'), name).toBe('true\n');
    expect(fs.readFileSync(path.join(containerPath!, 'etc/config'), 'utf8')).toMatch(
      /^allow_nested_warden=true$/m,
    );
  });

  it('can source etc/config, whatever a path holds [linux-container 5.1]', async () => {
    const { connect, place } = await withHooks({
      'hook-parent-before-clone.sh':
        'source ./etc/config; printf %s "$rootfs_path" > tmp/path; echo $id $allow_nested_warden > tmp/rest',
    });
    const rootfs = path.join(place.directory, "root of $(touch /tmp/warden-test-pwned); it's");
    copyRootfs(place.rootfs, rootfs);
    const warden = await connect();
    await using box = await warden.create({ rootfs });
    const { containerPath } = await box.info();
    expect(fs.readFileSync(`${containerPath}/tmp/path`, 'utf8')).toBe(fs.realpathSync(rootfs));
    expect(fs.readFileSync(`${containerPath}/tmp/rest`, 'utf8')).toBe(`${box.handle} false\n`);
    expect(fs.existsSync('/tmp/warden-test-pwned')).toBe(false);
  });

  it('leave what they mount and set to the container [linux-container 9.3, 9.4]', async () => {
    const { connect } = await withHooks({
      'hook-child-before-pivot.sh':
        'mkdir -p mnt/from-hook && mount -t tmpfs none mnt/from-hook && echo seen > mnt/from-hook/file',
      'hook-child-after-pivot.sh':
        'hostname by-hook; mkdir -p /srv/late; mount -t tmpfs none /srv/late; cp /mnt/etc/passwd /srv/late/of-the-host; chroot /mnt /bin/sh -c "cat /etc/hostname" > /srv/late/by-chroot',
    });
    const warden = await connect();
    await using box = await warden.create();
    const { stdout } = await box.run('cat /from-hook/file; hostname; cat /srv/late/of-the-host; ls /mnt', {
      privileged: true,
    });
    expect(text(stdout)).toBe(`seen\nby-hook\n${fs.readFileSync('/etc/passwd', 'utf8')}`);
    const { stdout: targets } = await box.run('cut -d" " -f5 /proc/self/mountinfo', { privileged: true });
    expect(
      text(targets)
        .split('\n')
        .filter((target) => target.startsWith('/mnt')),
    ).toEqual([]);
  });

  it('run no program of the image, although the last one stands in its root [security W1, E47]', async () => {
    const { connect, place } = await withHooks({
      'hook-child-after-pivot.sh':
        '/bin/bash -c true; /bin/trap; /lib/x; for p in sh mount ls cat; do $p --help; done; /bin/busybox true; PATH=/bin:/sbin; trap-of-the-image; exit 0',
    });
    const rootfs = path.join(place.directory, 'hostile');
    copyRootfs(place.rootfs, rootfs);
    // every program of it tells when it runs while the host's root can be seen
    const trap = `#!/bin/busybox sh\n[ -e /mnt/etc ] && echo ran > /mnt${place.directory}/ran\nexit 0\n`;
    for (const name of [
      'trap-of-the-image',
      'trap',
      'mount',
      'ls',
      'cat',
      'sh',
      'ifconfig',
      'route',
      'hostname',
      'ln',
    ]) {
      fs.rmSync(path.join(rootfs, 'bin', name), { force: true });
      fs.writeFileSync(path.join(rootfs, 'bin', name), trap, { mode: 0o755 });
    }
    const warden = await connect();
    await using box = await warden.create({ rootfs });
    expect(fs.existsSync(path.join(place.directory, 'ran'))).toBe(false);
    const errors = fs.readFileSync(path.join((await box.info()).containerPath!, 'run/wshd.err.log'), 'utf8');
    expect(errors).toMatch(/\/bin\/bash: Permission denied/);
    // afterwards they are programs like any other
    expect((await box.run('/bin/trap && echo fine')).exitStatus).toBe(0);
  });

  it('end with everything they have started inside, before the container is anybody’s', async () => {
    const { connect } = await withHooks({
      'hook-child-before-pivot.sh':
        'setsid sleep 600 & setsid bash -c "trap \\"\\" TERM HUP; sleep 600" & exit 0',
      'hook-child-after-pivot.sh': 'setsid sleep 600 & exit 0',
    });
    const warden = await connect();
    await using box = await warden.create();
    const { stdout } = await box.run('for p in /proc/[0-9]*; do tr "\\0" " " < $p/cmdline; echo; done', {
      privileged: true,
    });
    expect(text(stdout)).not.toContain('sleep 600');
  });

  it.each([
    ['exits with 7', 'echo some; echo last words >&2; exit 7', 7, 'exited with 7: some\nlast words'],
    ['kills itself', 'echo dying; kill -9 $$', 137, 'was killed by signal 9: dying'],
    ['hangs', 'echo waiting; sleep 600', 137, 'did not end within 1 s and was killed: waiting'],
  ])(
    'fail a create when one %s, with all undone [linux-container 9, 28.2]',
    async (_title, script, exitStatus, words) => {
      for (const name of ORDER) {
        // who ends by himself may be slow
        await withHooks({ [name]: script }, { hook_timeout: words.includes('within 1 s') ? 1 : 20 });
        const warden = await daemon!.connect();
        const before = takeInventory(daemon!.place, daemon!.pid);
        const error = await warden.create().catch((one: unknown) => one);
        expect(error, name).toMatchObject({
          code: 'COMMAND_FAILED',
          fields: {
            exitStatus,
            stage: name,
            object: expect.stringContaining(`lib/${name}`),
            output: expect.any(String),
          },
        });
        expect((error as Error).message).toMatch(/^Process for ".*\/hook-[a-z-]+\.sh" /);
        expect((error as Error).message).toContain(words);
        expect(await remainingLeaks(daemon!.place, before, { daemonPid: daemon!.pid })).toEqual([]);
        const { place } = daemon!;
        await daemon!.stop();
        await place.remove();
      }
      daemon = undefined;
    },
    60_000,
  );

  it('may print without end: only the latest and a bounded log are kept', async () => {
    const { connect } = await withHooks({
      'hook-parent-before-clone.sh':
        'for i in {1..300}; do printf "%01000d\\n" $i; done; printf "%01000d\\n" 9 >&2; echo the end',
    });
    const warden = await connect();
    await using box = await warden.create();
    const { containerPath } = await box.info();
    expect(fs.statSync(`${containerPath}/run/wshd.out.log`).size).toBe(65_536);
    expect(fs.statSync(`${containerPath}/run/wshd.err.log`).size).toBe(1_001);
    expect(daemon!.readLog()).toContain('the end');
  });

  it.each([
    ['is not executable', 'exit 3', 0o644],
    ['is empty', '', 0o755],
  ])('are not run when one %s', async (_title, script, mode) => {
    await withHooks(Object.fromEntries(ORDER.map((name) => [name, script])), {}, mode);
    const warden = await daemon!.connect();
    await using box = await warden.create();
    for (const name of ORDER)
      expect(fs.existsSync(path.join((await box.info()).containerPath!, 'lib', name))).toBe(true);
  });

  it('refuse a start whose last hook has no static shell to run it', async () => {
    await expect(
      withHooks({ 'hook-child-after-pivot.sh': 'true' }, { hook_shell: process.execPath }),
    ).rejects.toThrow('hook-child-after-pivot.sh needs a static shell of the host');
  });
});

function readOr(file: string): string {
  try {
    return fs.readFileSync(file, 'latin1');
  } catch {
    return '';
  }
}

function linkOr(file: string): string {
  try {
    return fs.readlinkSync(file);
  } catch {
    return '';
  }
}

describeWith(
  ['root', 'isolated', 'overlayfs', 'cgroup-v1-memory'],
  'the memory group of a container with hooks',
  () => {
    it('is given to nobody, since hooks may have mounted what others have as well', async () => {
      const { place, connect } = await withHooks({ 'hook-child-before-pivot.sh': 'exit 0' });
      const parent = cgroupParents(place.name).find((one) => one.split('/').includes('memory'))!;
      await (await (await connect()).create()).destroy();
      await expect
        .poll(() => fs.readdirSync(parent).filter((name) => name.includes('-')), { timeout: 10_000 })
        .toEqual([]);
    });
  },
);
