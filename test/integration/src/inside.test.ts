/**
 * What a container looks like from inside and in its directory, with each driver of the root file system that
 * every host has.
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import type { WardenClient } from '@warden/client';
import { copyRootfs, describeWith, ownMounts, withDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { text } from './text.ts';

const KEYS = [
  'id',
  'network_netmask',
  'network_host_ip',
  'network_host_iface',
  'network_container_ip',
  'network_container_iface',
  'network_ifb_iface',
  'user_uid',
  'rootfs_path',
  'allow_nested_warden',
];

/** Output of a job of root's, whose success is part of the expectation. */
async function asRoot(box: Awaited<ReturnType<WardenClient['create']>>, script: string): Promise<string> {
  const { stdout, stderr, exitStatus } = await box.run(script, { privileged: true });
  expect([exitStatus, text(stderr)], script).toEqual([0, '']);
  return text(stdout);
}

for (const driver of ['overlayfs', 'bind']) {
  describeWith(['root', 'isolated', 'overlayfs'], `inside, with the driver ${driver}`, () => {
    const suite = withDaemon({
      config: { drivers: { filesystem: driver }, network: { mtu: 1454, release_delay: 0 } },
      environment: { LANG: 'de_DE.UTF-8' },
    });

    /** A copy of the good root file system, with a change. */
    const imageWith = (change: (root: string) => void): string => {
      const root = fs.mkdtempSync(path.join(suite.daemon.place.directory, 'image-'));
      copyRootfs(suite.daemon.place.rootfs, root);
      fs.chmodSync(root, 0o755);
      change(root);
      return root;
    };

    it('has the directory of the original, and etc/config with ten keys in order [linux-container 1.1, 5.1]', async () => {
      const warden = await suite.daemon.connect();
      await using box = await warden.create();
      const { containerPath: at, hostIp, containerIp } = await box.info();
      expect(
        fs
          .readdirSync(at!)
          .filter((name) => !name.startsWith('.'))
          .sort(),
      ).toEqual(expect.arrayContaining(['bin', 'etc', 'jobs', 'lib', 'mnt', 'run', 'tmp']));
      expect(fs.readdirSync(`${at}/bin`).sort()).toEqual(expect.arrayContaining(['wsh', 'wshd']));
      expect(fs.readdirSync(`${at}/lib`).sort()).toEqual([
        'hook-child-after-pivot.sh',
        'hook-child-before-pivot.sh',
        'hook-parent-after-clone.sh',
        'hook-parent-before-clone.sh',
      ]);
      const lines = fs.readFileSync(`${at}/etc/config`, 'utf8').trim().split('\n');
      const uid = (await box.run('id -u')).stdout;
      const values = [
        box.handle,
        '255.255.255.252',
        hostIp,
        `w-${box.handle}-0`,
        containerIp,
        `w-${box.handle}-1`,
        `w-${box.handle}-2`,
        text(uid).trim(),
        fs.realpathSync(suite.daemon.place.rootfs),
        'false',
      ];
      expect(lines).toEqual(KEYS.map((key, at) => `${key}=${values[at]}`));
      expect(fs.statSync(`${at}/run`).mode & 0o777).toBe(0o700);
      expect(fs.readdirSync(`${at}/mnt`)).toEqual([]);
    });

    it('shows on the host what the container wrote, below tmp/rootfs [behaviour 15.2]', async () => {
      const warden = await suite.daemon.connect();
      await using box = await warden.create();
      const { containerPath } = await box.info();
      const { stdout } = await box.run('mkdir -p ~/app && echo from inside > ~/app/file; id -u');
      const file = `${containerPath}/tmp/rootfs/home/vcap/app/file`;
      expect(fs.readFileSync(file, 'utf8')).toBe('from inside\n');
      expect(fs.statSync(file).uid).toBe(Number(text(stdout)));
      expect(fs.existsSync(path.join(suite.daemon.place.rootfs, 'home/vcap'))).toBe(false);
    });

    it('has exactly the specified devices and links [linux-container 5.3, behaviour 15.2]', async () => {
      const warden = await suite.daemon.connect();
      await using box = await warden.create();
      const listing = await asRoot(
        box,
        'cd /dev; for f in $(ls); do if [ -h $f ]; then echo "$f -> $(readlink $f)"; else echo $(stat -c "%n %F %a %t:%T %u:%g" $f); fi; done',
      );
      expect(listing.trim().split('\n')).toEqual([
        'fd -> /proc/self/fd',
        'full character special file 666 1:7 0:0',
        'null character special file 666 1:3 0:0',
        'ptmx -> pts/ptmx',
        'pts directory 755 0:0 0:0',
        'random character special file 666 1:8 0:0',
        'shm directory 1777 0:0 0:0',
        'stderr -> fd/2',
        'stdin -> fd/0',
        'stdout -> fd/1',
        'tty character special file 666 5:0 0:5',
        'urandom character special file 666 1:9 0:0',
        'zero character special file 666 1:5 0:0',
      ]);
      const own = await box.run(
        '{ echo x > /dev/full; } 2> /dev/null || echo full; echo to stderr > /dev/stderr; head -c 3 /dev/zero | wc -c',
      );
      expect([text(own.stdout), text(own.stderr)]).toEqual(['full\n3\n', 'to stderr\n']);
    });

    it('mounts a private devpts, proc and shared memory, and no sysfs [linux-container 9.4]', async () => {
      const warden = await suite.daemon.connect();
      await using box = await warden.create();
      const table = await asRoot(
        box,
        'for at in /dev /dev/pts /dev/shm /proc; do stat -f -c "%n %T" $at; done; grep -c " /sys" /proc/mounts || true',
      );
      expect(table).toBe('/dev tmpfs\n/dev/pts devpts\n/dev/shm tmpfs\n/proc proc\n0\n');
      expect(await asRoot(box, 'ls /dev/pts; stat -c %a /dev/pts/ptmx')).toBe('ptmx\n666\n');
    });

    it('has host name, hosts, interfaces and their state [linux-container 5.4, 9.4, 25 interfaces]', async () => {
      const warden = await suite.daemon.connect();
      await using box = await warden.create();
      const { containerIp, hostIp } = await box.info();
      const name = box.handle;
      expect(await asRoot(box, 'hostname; cat /etc/hostname /etc/hosts')).toBe(
        `${name}\n${name}\n127.0.0.1 localhost\n${containerIp} ${name}\n`,
      );
      const links = await asRoot(box, 'ip -o link; ip -o -4 addr; ip route');
      expect(links).toMatch(/lo: <LOOPBACK,UP,LOWER_UP>/);
      expect(links).toMatch(new RegExp(`w-${name}-1@\\S+: <BROADCAST,MULTICAST,UP,LOWER_UP[^>]*> mtu 1454 `));
      expect(links).toContain('inet 127.0.0.1/8 ');
      expect(links).toContain(`inet ${containerIp}/30 `);
      expect(links).toMatch(new RegExp(`^default via ${hostIp} dev w-${name}-1`, 'm'));
    });

    it('has the niceness 10 and the language of the daemon [linux-container 7, config 5]', async () => {
      const warden = await suite.daemon.connect();
      await using box = await warden.create();
      const { stdout } = await box.run('set -- $(cat /proc/self/stat); shift 18; echo $1 $LANG');
      expect(text(stdout)).toBe('10 de_DE.UTF-8\n');
      expect(await asRoot(box, 'set -- $(cat /proc/1/stat); shift 18; echo $1')).toBe('10\n');
    });

    it('makes vcap with its group, home and shell where the image has none [linux-container 5.5, behaviour 15.3]', async () => {
      const warden = await suite.daemon.connect();
      await using box = await warden.create();
      const { containerPath } = await box.info();
      const uid = /^user_uid=(\d+)$/m.exec(fs.readFileSync(`${containerPath}/etc/config`, 'utf8'))![1];
      const { stdout } = await box.run(
        'grep ^vcap: /etc/passwd; grep ^vcap: /etc/group; stat -c "%F %u %g %a" /home/vcap; id -G',
      );
      expect(text(stdout)).toBe(
        `vcap:x:${uid}:${uid}::/home/vcap:/bin/bash\nvcap:x:${uid}:\ndirectory ${uid} ${uid} 755\n${uid}\n`,
      );
    });

    it('gives files of the image’s vcap to the container’s, wherever they lie [linux-container 5.5, behaviour 15.3]', async () => {
      const warden = await suite.daemon.connect();
      const mine = (file: string, uid: number, gid: number): void => fs.lchownSync(file, uid, gid);
      const rootfs = imageWith((root) => {
        fs.appendFileSync(`${root}/etc/passwd`, 'vcap:x:1234:1234:of the image:/home/vcap:/bin/bash\n');
        fs.appendFileSync(`${root}/etc/group`, 'vcap:x:1234:\n');
        for (const name of ['home/vcap', 'home/vcap/deep/er', 'var/vcap', 'opt/of-root'])
          fs.mkdirSync(`${root}/${name}`, { recursive: true });
        for (const name of [
          'home/vcap/file',
          'tmp/file',
          'var/vcap/group',
          'var/vcap/foreign',
          'home/vcap/deep/er/file',
        ])
          fs.writeFileSync(`${root}/${name}`, 'of the image\n');
        fs.symlinkSync('/etc/passwd', `${root}/home/vcap/link`);
        fs.linkSync(`${root}/home/vcap/file`, `${root}/home/vcap/hard`);
        for (const name of [
          'home/vcap',
          'home/vcap/file',
          'tmp/file',
          'home/vcap/link',
          'home/vcap/deep',
          'home/vcap/deep/er',
          'home/vcap/deep/er/file',
        ])
          mine(`${root}/${name}`, 1234, 1234);
        mine(`${root}/var/vcap/group`, 0, 1234);
        mine(`${root}/var/vcap/foreign`, 1235, 1235);
      });
      await using box = await warden.create({ rootfs });
      const uid = Number(text((await box.run('id -u')).stdout));
      const listing = await asRoot(
        box,
        'for f in /home/vcap /home/vcap/file /home/vcap/hard /tmp/file /home/vcap/link /home/vcap/deep/er/file /var/vcap/group /var/vcap/foreign /opt/of-root /etc/passwd; do stat -c "%n %u:%g" $f; done; grep -c vcap /etc/passwd',
      );
      expect(listing.trim().split('\n')).toEqual([
        `/home/vcap ${uid}:${uid}`,
        `/home/vcap/file ${uid}:${uid}`,
        `/home/vcap/hard ${uid}:${uid}`,
        `/tmp/file ${uid}:${uid}`,
        `/home/vcap/link ${uid}:${uid}`,
        `/home/vcap/deep/er/file ${uid}:${uid}`,
        `/var/vcap/group 0:${uid}`,
        '/var/vcap/foreign 1235:1235',
        '/opt/of-root 0:0',
        '/etc/passwd 0:0',
        '1',
      ]);
      // its owner may change it, and then it counts as the container's on the disk
      const { exitStatus } = await box.run(
        'echo more >> ~/file && chmod 600 ~/deep/er/file && rm ~/link && id -gn',
      );
      expect(exitStatus).toBe(0);
      const { containerPath } = await box.info();
      expect(fs.statSync(`${containerPath}/tmp/rootfs/home/vcap/file`).uid).toBe(uid);
      expect(fs.statSync(`${rootfs}/home/vcap/file`).uid).toBe(1234);
      expect(fs.readFileSync(`${rootfs}/home/vcap/file`, 'utf8')).toBe('of the image\n');
    });

    it('shows whose a read-only part of the image is, too', async () => {
      const warden = await suite.daemon.connect();
      const rootfs = imageWith((root) => {
        fs.appendFileSync(`${root}/etc/passwd`, 'vcap:x:1:1::/home/vcap:/bin/bash\n');
        fs.writeFileSync(`${root}/usr/bin/of-vcap`, '#!/bin/bash\necho ran\n', { mode: 0o700 });
        fs.chownSync(`${root}/usr/bin/of-vcap`, 1, 0);
      });
      await using box = await warden.create({ rootfs });
      expect(text((await box.run('/usr/bin/of-vcap')).stdout)).toBe('ran\n');
    });

    it.each([
      [
        'without vcap, /mnt, /tmp, /proc, /dev, /sys and /home',
        ['mnt', 'tmp', 'proc', 'dev', 'sys', 'home', 'var', 'sbin'],
      ],
      ['without /etc/group, /etc/hosts and /root', ['etc/group', 'etc/hosts', 'root']],
    ])('works with an image %s', async (_title, missing) => {
      const warden = await suite.daemon.connect();
      const rootfs = imageWith((root) => {
        for (const name of missing) fs.rmSync(`${root}/${name}`, { recursive: true });
      });
      const before = fs.readdirSync(rootfs);
      await using box = await warden.create({ rootfs });
      const { stdout } = await box.run(
        'echo $HOME; pwd; id -un; echo x > /tmp/mine && cat /tmp/mine; ls -d /proc/1 /dev/null',
      );
      expect(text(stdout)).toBe('/home/vcap\n/home/vcap\nvcap\nx\n/dev/null\n/proc/1\n');
      expect(fs.readdirSync(rootfs)).toEqual(before);
    });

    it('works with an image that has nothing but /bin/bash and /etc/passwd', async () => {
      const warden = await suite.daemon.connect();
      const rootfs = fs.mkdtempSync(path.join(suite.daemon.place.directory, 'bare-'));
      fs.chmodSync(rootfs, 0o755);
      fs.mkdirSync(`${rootfs}/bin`);
      fs.mkdirSync(`${rootfs}/etc`, { mode: 0o555 });
      fs.copyFileSync(path.join(suite.daemon.place.rootfs, 'bin/bash'), `${rootfs}/bin/bash`);
      fs.writeFileSync(`${rootfs}/etc/passwd`, 'root:x:0:0:root:/root:/bin/bash\n', { mode: 0o444 });
      await using box = await warden.create({ rootfs });
      const result = await box.run('echo $UID $HOME > ~/file; read line < ~/file; echo $line');
      expect(text(result.stdout)).toMatch(/^1\d{4} \/home\/vcap\n$/);
    });

    it('takes an image by a link, tells of a missing one, and lives on when it is removed [linux-container 5, 25 create rootfs]', async () => {
      const warden = await suite.daemon.connect();
      const rootfs = imageWith(() => {});
      const link = `${rootfs}-link`;
      fs.symlinkSync(rootfs, link);
      await expect(warden.create({ rootfs: `${rootfs}-none` })).rejects.toMatchObject({
        message: `rootfs ${rootfs}-none not found`,
      });
      await using box = await warden.create({ rootfs: link });
      expect(fs.readFileSync(`${(await box.info()).containerPath}/etc/config`, 'utf8')).toContain(
        `rootfs_path=${fs.realpathSync(rootfs)}\n`,
      );
      fs.rmSync(link);
      fs.rmSync(rootfs, { recursive: true });
      expect((await box.info()).state).toBe('active');
      await box.destroy();
    });

    it('binds what a path can name, in order, and nothing shows on the host [linux-container 6, 25 bind mounts, security E50]', async () => {
      const warden = await suite.daemon.connect();
      const work = fs.mkdtempSync(path.join(suite.daemon.place.directory, 'binds-'));
      const names = [
        'a b',
        "it's",
        'x;touch pwned',
        '$(touch pwned)',
        'new\nline',
        '-o rw',
        'com,ma',
        'back\\slash',
        '#start',
        '\u{dcff}\u{dcfe}',
        'ümlaut',
      ];
      const bytes = (name: string): Buffer =>
        Buffer.concat([
          Buffer.from(`${work}/`),
          name.startsWith('\u{dcff}') ? Buffer.from([0xff, 0xfe]) : Buffer.from(name),
        ]);
      for (const [at, name] of names.entries()) {
        fs.mkdirSync(bytes(name));
        fs.chmodSync(bytes(name), 0o777);
        fs.writeFileSync(Buffer.concat([bytes(name), Buffer.from('/number')]), `${at}\n`);
      }
      const hostTable = (): string =>
        fs.readFileSync(`/proc/${suite.daemon.place.network.host.pid}/mounts`, 'utf8');
      const table = [ownMounts(suite.daemon.place), hostTable()];
      await using box = await warden.create({
        bindMounts: names.map((name, at) => ({
          source: `${work}/${name}`,
          target: `/tmp/binds/${name}`,
          mode: at % 2 === 0 ? 'ro' : 'rw',
        })),
      });
      const { stdout } = await box.run(
        'cd /tmp/binds; for d in *; do read n < "$d/number"; (echo x > "$d/new") 2>/dev/null && echo $n rw || echo $n ro; done | sort -n',
      );
      expect(text(stdout)).toBe(names.map((_name, at) => `${at} ${at % 2 === 0 ? 'ro' : 'rw'}\n`).join(''));
      expect([ownMounts(suite.daemon.place), hostTable()]).toEqual(table);
      expect(fs.existsSync('pwned') || fs.existsSync(`${work}/pwned`)).toBe(false);
    });

    it('binds below /mnt, over each other, files, and through links of the image [linux-container 6]', async () => {
      const warden = await suite.daemon.connect();
      const work = fs.mkdtempSync(path.join(suite.daemon.place.directory, 'binds-'));
      for (const name of ['one', 'two']) {
        fs.mkdirSync(`${work}/${name}`);
        fs.writeFileSync(`${work}/${name}/file`, `${name}\n`);
      }
      fs.symlinkSync('two', `${work}/link`);
      const rootfs = imageWith((root) => {
        fs.symlinkSync('/tmp/real', `${root}/etc/by-link`);
        fs.mkdirSync(`${root}/mnt`, { recursive: true });
      });
      const mount = (source: string, target: string) => ({
        source: `${work}/${source}`,
        target,
        mode: 'ro' as const,
      });
      await using box = await warden.create({
        rootfs,
        bindMounts: [
          mount('one', '/tmp/real'),
          mount('two', '/etc/by-link'),
          mount('link', '/home/x/../y//z/'),
          mount('one/file', '/home/file'),
          mount('one', '/mnt/one'),
          mount('two', '/mntfoo'),
        ],
      });
      const { stdout } = await box.run(
        'cat /tmp/real/file /home/y/z/file /home/file; (echo x > /tmp/real/file) 2>&1',
      );
      expect(text(stdout)).toMatch(/^two\ntwo\none\n.*Read-only file system/);
      expect(text((await box.run('cat /mnt/one/file /mntfoo/file')).stdout)).toBe('one\ntwo\n');
    });

    it('refuses bind mounts with the texts of the original [linux-container 6]', async () => {
      const warden = await suite.daemon.connect();
      await expect(
        warden.create({ bindMounts: [{ source: '/does/not/exist', target: '/x', mode: 'ro' }] }),
      ).rejects.toMatchObject({ message: 'Source path for bind mount does not exist: /does/not/exist' });
      for (const target of ['/', '/..', 'relative', '/tmp/../..'])
        await expect(
          warden.create({ bindMounts: [{ source: '/tmp', target, mode: 'ro' }] }),
          target,
        ).rejects.toMatchObject({ code: 'INVALID_SPEC' });
    });

    it('keeps what the source of a bind mount forbids', async () => {
      const warden = await suite.daemon.connect();
      const work = fs.mkdtempSync(path.join(suite.daemon.place.directory, 'locked-'));
      const { host } = suite.daemon.place.network;
      host.run('mount', '-t', 'tmpfs', '-o', 'ro,nosuid,nodev,noexec', 'none', work);
      try {
        await using box = await warden.create({
          bindMounts: [{ source: work, target: '/tmp/locked', mode: 'rw' }],
        });
        const { stdout } = await box.run(
          'grep " /tmp/locked " /proc/self/mountinfo | cut -d" " -f6; echo x > /tmp/locked/x || echo refused',
        );
        expect(text(stdout)).toBe('ro,nosuid,nodev,noexec,relatime,idmapped\nrefused\n');
      } finally {
        host.run('umount', work);
      }
    });

    it('does no harm through links at the files it writes [linux-container 5.4, 28.1, security W2]', async () => {
      const warden = await suite.daemon.connect();
      const outside = fs.mkdtempSync(path.join(suite.daemon.place.directory, 'outside-'));
      const files = ['hostname', 'hosts', 'resolv.conf'];
      for (const name of files) fs.writeFileSync(`${outside}/${name}`, 'of the host');
      const rootfs = imageWith((root) => {
        for (const name of files) {
          fs.rmSync(`${root}/etc/${name}`, { force: true });
          fs.symlinkSync(`${outside}/${name}`, `${root}/etc/${name}`);
        }
      });
      await using box = await warden.create({ rootfs });
      expect(await asRoot(box, `cat /etc/hostname; ls -d ${outside} 2>/dev/null || echo not there`)).toBe(
        `${box.handle}\nnot there\n`,
      );
      for (const name of files) expect(fs.readFileSync(`${outside}/${name}`, 'utf8')).toBe('of the host');
    });

    it('lets shared memory count as the container’s own, not the host’s [linux-container 25 /dev/shm]', async () => {
      const warden = await suite.daemon.connect();
      await using box = await warden.create();
      const { stdout } = await box.run(
        'echo private > /dev/shm/mine && stat -f -c %T /dev/shm && stat -c %a /dev/shm',
      );
      expect(text(stdout)).toBe('tmpfs\n1777\n');
      expect(fs.existsSync('/dev/shm/mine')).toBe(false);
    });

    it('leaves the shipped base as it was', () => {
      expect(execFileSync('find', [suite.daemon.place.rootfs, '-uid', '+9999'], { encoding: 'utf8' })).toBe(
        '',
      );
    });
  });
}

describeWith(
  ['root', 'isolated', 'overlayfs'],
  'inside, for a daemon that is configured and started otherwise',
  () => {
    const suite = withDaemon({
      config: { drivers: { nice: 3 } },
      wrapper: ['sh', '-c', 'umask 077; unset LANG; trap "" HUP PIPE USR1; exec "$@"', 'sh'],
    });

    it('has the niceness that is configured [DECISIONS niceness]', async () => {
      await using box = await (await suite.daemon.connect()).create();
      const { stdout } = await box.run('set -- $(cat /proc/self/stat); shift 18; echo $1');
      expect(text(stdout)).toBe('3\n');
    });

    it('has en_US.UTF-8 where the daemon has no language [linux-container 13 LANG, config 5]', async () => {
      await using box = await (await suite.daemon.connect()).create();
      expect(text((await box.run('echo $LANG')).stdout)).toBe('en_US.UTF-8\n');
    });

    it('has nothing of the umask and the signals, ignored or blocked, of the daemon [linux-container 11]', async () => {
      await using box = await (await suite.daemon.connect()).create();
      const { stdout, stderr } = await box.run(
        'umask; sed -n "s/^Sig\\(Blk\\|Ign\\):\t//p" /proc/self/status; stat -c %a / /etc /home /home/vcap /etc/passwd /etc/hosts',
      );
      expect([text(stdout), text(stderr)]).toEqual([
        '0022\n0000000000000000\n0000000000000000\n755\n755\n755\n755\n644\n644\n',
        '',
      ]);
    });
  },
);
