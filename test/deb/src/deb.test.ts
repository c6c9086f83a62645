/**
 * The Debian package: what is in it, that it is built the same way each time, and a host on which it is
 * installed, used, renewed and removed.
 */
import { type ChildProcess, execFileSync, spawnSync } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, type WardenClient } from '@warden/client';
import { describeWith, makePlace, remainingLeaks, type TestPlace, takeInventory } from '@warden/test-harness';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Debian, end } from './debian.ts';
import { build, fieldOf, type Member, membersOf, ROOT, unpack } from './package.ts';

const EPOCH = '1700000000';
const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-deb-test-'));
let file: string;
let members: readonly Member[];
beforeAll(() => {
  file = build(path.join(directory, 'one'), { SOURCE_DATE_EPOCH: EPOCH });
  members = membersOf(file);
});
afterAll(() => fs.rmSync(directory, { recursive: true, force: true }));

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
const paths = (): readonly string[] => members.map((member) => member.path);

describe('the package', () => {
  it('is the same bytes when it is built again, whatever the umask and the place [deb reproducible]', () => {
    const elsewhere = path.join(directory, 'else', 'where');
    const umask = process.umask(0o077);
    try {
      const again = build(elsewhere, { SOURCE_DATE_EPOCH: EPOCH, TZ: 'Asia/Tokyo', LC_ALL: 'C' });
      const sum = (name: string): string =>
        crypto.createHash('sha256').update(fs.readFileSync(name)).digest('hex');
      expect(path.basename(again)).toBe(path.basename(file));
      expect(sum(again)).toBe(sum(file));
    } finally {
      process.umask(umask);
    }
    expect(new Set(members.map(({ date }) => date))).toEqual(new Set(['2023-11-14 22:13']));
  });

  it('has the daemon, the command, the native parts, units and documents, all root’s and nothing with more rights [deb content]', () => {
    const modules = '/usr/lib/warden/node_modules';
    expect(paths()).toEqual(
      expect.arrayContaining([
        '/etc/warden/wardend.yml',
        '/usr/bin/warden',
        '/usr/bin/wardend',
        '/usr/lib/systemd/system/warden.service',
        '/usr/lib/systemd/system/warden.socket',
        `${modules}/@warden/native/prebuilt/linux-${process.arch}/libwarden_native.so`,
        ...['wshd', 'wsh', 'warden-copy', 'warden-unpack'].map(
          (name) => `${modules}/@warden/wshd/prebuilt/linux-${process.arch}/${name}`,
        ),
        `${modules}/@warden/page/assets/index.html`,
        '/usr/share/man/man1/warden.1.gz',
        '/usr/share/man/man1/warden-run.1.gz',
        '/usr/share/man/man8/wardend.8.gz',
        '/usr/share/bash-completion/completions/warden',
        '/usr/share/zsh/vendor-completions/_warden',
        '/usr/share/fish/vendor_completions.d/warden.fish',
        '/usr/share/doc/warden/copyright',
        '/usr/share/doc/warden/changelog.Debian.gz',
        '/usr/share/doc/warden/operations.md',
      ]),
    );
    for (const { mode, owner, path: name } of members) {
      expect(owner, name).toBe('root/root');
      expect(mode, name).toMatch(/^(drwxr-xr-x|-rw-r--r--|-rwxr-xr-x)$/);
    }
    expect(paths().filter((name) => /\.(ts|map|test\.js|cc|hh|h|c)$/.test(name))).toEqual([]);
    for (const name of ['driver-compliance', 'test-harness', 'vitest'])
      expect(paths().filter((one) => one.includes(name))).toEqual([]);
  });

  it('has every page that its pages lead to', () => {
    const documents = '/usr/share/doc/warden/';
    const pages = paths().filter((name) => name.startsWith(documents) && name.endsWith('.md'));
    expect(pages).toContain(`${documents}troubleshooting.md`);
    for (const page of pages) {
      const content = execFileSync(
        'sh',
        ['-c', 'dpkg-deb --fsys-tarfile "$1" | tar -xO ".$2"', 'sh', file, page],
        {
          encoding: 'utf8',
        },
      );
      const links = [...content.matchAll(/\]\(([^)#\s]+)/g)].map(([, target]) => target!);
      const near = links.filter((target) => !target.startsWith('https://'));
      expect(pages, page).toEqual(expect.arrayContaining(near.map((target) => documents + target)));
    }
  });

  it('asks for what it needs, and its scripts touch no network [deb control]', () => {
    expect(fieldOf(file, 'Package')).toBe('warden');
    expect(fieldOf(file, 'Depends')).toMatch(/nodejs \(>= 20\.19\)/);
    // of these the root file system is made that a service without settings begins with
    expect(fieldOf(file, 'Recommends')?.split(', ')).toEqual(
      expect.arrayContaining(['busybox-static', 'bash-static']),
    );
    const { version } = JSON.parse(
      fs.readFileSync(path.join(ROOT, 'packages/daemon/package.json'), 'utf8'),
    ) as {
      version: string;
    };
    expect(fieldOf(file, 'Version')).toBe(`${version.replace('-', '~')}-1`);
    const raw = path.join(directory, 'raw');
    unpack(file, raw);
    expect(fs.readFileSync(path.join(raw, 'DEBIAN/conffiles'), 'utf8')).toBe('/etc/warden/wardend.yml\n');
    for (const name of ['postinst', 'prerm', 'postrm']) {
      const script = fs.readFileSync(path.join(raw, 'DEBIAN', name), 'utf8');
      expect(script).not.toMatch(/https?:|\b(curl|wget|npm|npx|pnpm|yarn|apt|apt-get|git|nc|ssh)\b/);
      expect(spawnSync('sh', ['-n', '-c', script]).status).toBe(0);
    }
    execFileSync('md5sum', ['--check', '--quiet', 'DEBIAN/md5sums'], { cwd: raw });
    for (const manifest of paths().filter((name) => name.endsWith('/package.json')))
      expect(
        Object.keys(JSON.parse(fs.readFileSync(path.join(raw, manifest), 'utf8')) as object),
      ).not.toContain('scripts');
  });
});

describeWith(['lintian'], 'the package, as Debian’s own tool sees it', () => {
  it('has neither errors nor warnings, and nothing is passed over without a reason [deb lintian]', () => {
    const { stdout } = spawnSync('lintian', ['--allow-root', '--no-cfg', '--fail-on', 'none', file], {
      encoding: 'utf8',
      env: { ...process.env, TMPDIR: directory }, // it leaves files there
    });
    expect(stdout.split('\n').filter((line) => /^[EW]:/.test(line))).toEqual([]);
    const overrides = fs.readFileSync(path.join(ROOT, 'scripts/deb/files/lintian-overrides'), 'utf8');
    for (const block of overrides.trim().split('\n\n')) expect(block).toMatch(/^# .{20,}\n(# .*\n)*warden: /);
  });
});

describeWith(
  ['root', 'isolated', 'overlayfs', 'cgroup-memory', 'debian-rootfs'],
  'a Debian with the package',
  () => {
    let place: TestPlace;
    let before: ReturnType<typeof takeInventory>;
    let debian: Debian;
    let daemon: ChildProcess | undefined;
    beforeAll(async () => {
      place = await makePlace();
      before = takeInventory(place);
      debian = new Debian(place);
      debian.installNode();
      debian.bind(file, '/srv/warden.deb');
    });
    afterAll(async () => {
      try {
        if (daemon) await end(daemon);
        debian.close();
        expect(await remainingLeaks(place, before)).toEqual([]);
      } finally {
        await place.remove();
      }
    });

    const socket = (): string => path.join(place.directory, 'run/warden.sock');
    const dial = async (): Promise<WardenClient> => {
      for (const deadline = Date.now() + 60_000; ; ) {
        try {
          return await connect({ path: socket() });
        } catch (error) {
          if (Date.now() > deadline || daemon?.exitCode !== null)
            throw new Error(fs.readFileSync(place.log, 'utf8').slice(-2_000), { cause: error });
          await delay(20);
        }
      }
    };
    const startDaemon = (): void => {
      daemon = debian.start('/usr/bin/wardend', '--config', '/etc/warden/wardend.yml');
    };
    const status = (): string =>
      /^Status: (.*)$/m.exec(debian.run('dpkg-query', '--status', 'warden'))?.[1] ?? 'unknown';

    it('installs it without a network, with its group and its units switched on [deb install]', () => {
      debian.run('dpkg', '--install', '/srv/warden.deb');
      expect(status()).toBe('install ok installed');
      expect(debian.run('dpkg', '--verify', 'warden')).toBe('');
      expect(debian.run('getent', 'group', 'warden')).toMatch(/^warden:x:\d+:$/m);
      for (const link of ['sockets.target.wants/warden.socket', 'multi-user.target.wants/warden.service'])
        expect(debian.run('readlink', `/etc/systemd/system/${link}`)).toMatch(
          /lib\/systemd\/system\/warden\./,
        );
      expect(
        JSON.parse(debian.run('wardend', 'config', 'check', '--json', '--config', '/etc/warden/wardend.yml')),
      ).toBeDefined();
      expect(debian.run('wardend', '--help')).toMatch(/^Usage: wardend/);
      expect(debian.run('warden', '--help')).toMatch(/^Usage: warden/i);
    });

    it('runs a container from what was installed, asked by what was installed [deb use]', async () => {
      // as an operator does: one name and one base for containers more
      debian.write(
        '/etc/warden/wardend.yml',
        `${debian.read('/etc/warden/wardend.yml').replace('  #container_rootfs_path: /var/lib/warden/debian', '  container_rootfs_path: /srv/base')}
drivers: { name: ${place.name} }
network: { pool_network: 10.254.0.0/24 }
health_check_server: { port: null }
compat: { cgroup_view: null }
`,
      );
      startDaemon();
      await using warden = await dial();
      const box = await warden.create({ handle: 'packaged' });
      expect(text((await box.run('echo from a container; id -u')).stdout)).toMatch(
        /^from a container\n\d+\n$/,
      );
      expect(debian.run('warden', 'list')).toMatch(/packaged/);
      // what they have compiled is kept for the next start, beside the programs, and goes with the package
      for (const name of ['daemon', 'cli'])
        await expect
          .poll(() => debian.has(`/usr/lib/warden/node_modules/@warden/${name}/dist/program/shared.cache`), {
            timeout: 30_000,
          })
          .toBe(true);
      const pid = fs.readFileSync(path.join(place.depot, '.lock'), 'utf8').trim();
      expect(fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, 2)).toEqual([
        '/usr/bin/node',
        '/usr/lib/warden/node_modules/@warden/daemon/bin/wardend.js',
      ]);
    });

    it('keeps the configuration and containers when it is renewed [deb upgrade]', async () => {
      const changed = debian.read('/etc/warden/wardend.yml');
      await end(daemon!);
      debian.run('dpkg', '--install', '/srv/warden.deb');
      expect(status()).toBe('install ok installed');
      expect(debian.read('/etc/warden/wardend.yml')).toBe(changed);
      startDaemon();
      await using warden = await dial();
      expect(await warden.list()).toEqual(['packaged']);
      expect(text((await warden.container('packaged').run('echo again')).stdout)).toBe('again\n');
    });

    it('leaves nothing but what others may want when it is removed and purged [deb remove]', async () => {
      await end(daemon!);
      expect(fs.readdirSync(place.depot).filter((name) => !name.startsWith('.')).length).toBeGreaterThan(0);
      debian.run('dpkg', '--remove', 'warden');
      expect(fs.readdirSync(place.depot).filter((name) => !name.startsWith('.'))).toEqual([]);
      expect(debian.has('/usr/lib/warden')).toBe(false);
      expect(debian.has('/etc/warden/wardend.yml'), 'until it is purged').toBe(true);
      debian.run('dpkg', '--purge', 'warden');
      for (const name of ['/etc/warden', '/usr/bin/warden', '/usr/bin/wardend', '/usr/share/doc/warden'])
        expect(debian.has(name), name).toBe(false);
      expect(debian.run('find', '/etc/systemd', '-name', 'warden*')).toBe('');
      expect([...fs.readdirSync(place.depot), ...fs.readdirSync(path.dirname(socket()))]).toEqual([]);
    });

    it.each([
      ['with its containers where the configuration has them', ['kept elsewhere']],
      ['without a container: what the daemon had made for all of them goes, too', []],
    ])('is removed %s [deb remove elsewhere]', async (_, handles) => {
      debian.run('dpkg', '--install', '/srv/warden.deb');
      debian.write(
        '/etc/warden/wardend.yml',
        `server: { unix_domain_path: /run/warden/warden.sock, container_depot_path: /srv/depot, container_rootfs_path: /srv/base }
drivers: { name: ${place.name} }
network: { pool_network: 10.254.0.0/24 }
health_check_server: { port: null }
compat: { cgroup_view: null }
`,
      );
      const depot = path.join(place.directory, 'elsewhere');
      fs.mkdirSync(depot, { recursive: true });
      debian.bind(depot, '/srv/depot');
      startDaemon();
      {
        await using warden = await dial();
        for (const handle of handles) await warden.create({ handle });
      }
      await end(daemon!);
      debian.run('dpkg', '--remove', 'warden');
      expect(fs.readdirSync(depot)).toEqual(['.lock']);
      debian.run('dpkg', '--purge', 'warden');
    });
  },
);
