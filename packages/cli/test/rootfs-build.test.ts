/**
 * `warden rootfs build` as a process, with a debootstrap that is written by the test. The real one is run by
 * `npm run rootfs`.
 */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { PROGRAM } from './program.ts';

let place: string;
beforeEach(() => {
  place = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-rootfs-'));
  fs.mkdirSync(path.join(place, 'bin'));
});
afterEach(() => fs.rmSync(place, { recursive: true, force: true }));

/** Puts a debootstrap into PATH. `$root` is the directory it is to fill. */
function withDebootstrap(...lines: string[]): void {
  const head = [
    '#!/bin/bash',
    'set -e',
    'words=$(printf "%s\\n" "$@")',
    'while [[ $1 == --* ]]; do shift; done',
    'suite=$1 root=$2',
  ];
  fs.writeFileSync(path.join(place, 'bin/debootstrap'), [...head, ...lines].join('\n'), { mode: 0o755 });
}

const FILL =
  'mkdir -p "$root"/etc/apt "$root"/var/cache/apt/archives "$root"/var/lib/apt/lists; echo "$suite" > "$root"/etc/suite';

let environment: Record<string, string>;
beforeEach(() => {
  environment = {};
});

function start(...words: string[]) {
  const env = { PATH: `${place}/bin:${process.env.PATH}`, http_proxy: '', https_proxy: '', ...environment };
  const child = spawn(process.execPath, [PROGRAM, 'rootfs', 'build', ...words], { env, cwd: place });
  const ended = new Promise<{ status: number | null; stdout: string; stderr: string }>((resolve) => {
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
    });
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    child.on('close', (status) => resolve({ status, stdout, stderr }));
  });
  child.stdin.end();
  return { child, ended };
}
const build = (...words: string[]) => start(...words).ended;
const entries = (): string[] =>
  fs
    .readdirSync(place)
    .filter((name) => name !== 'bin')
    .sort();

describe.runIf(process.getuid?.() === 0)('rootfs build [needs: root]', () => {
  it('builds beside the directory, cleans up and moves the root into place [linux-container 23]', async () => {
    withDebootstrap(
      FILL,
      'printf "P: 1 2 EXTRACTPKGS\\nI: EXTRACTING\\nIA: bash\\nIF: Extracting %%s...\\n" >&3',
      'touch "$root"/var/cache/apt/archives/a.deb "$root"/var/cache/apt/pkgcache.bin "$root"/var/lib/apt/lists/l "$root"/etc/kept',
      'mkdir "$root"/etc/ssh "$root"/var/log; touch "$root"/etc/ssh/ssh_host_rsa_key "$root"/var/log/bootstrap.log',
      'hostname > "$root"/etc/hostname; echo nameserver 192.0.2.1 > "$root"/etc/resolv.conf',
    );
    const { status, stdout, stderr } = await build('--suite', 'testing', 'made/for/it');
    expect({ status, stdout, stderr }).toEqual({
      status: 0,
      stdout: 'Extracting bash...\nmade/for/it is ready: testing\n',
      stderr: '',
    });
    const root = path.join(place, 'made/for/it');
    expect(fs.readdirSync(path.dirname(root))).toEqual(['it']);
    expect(fs.statSync(root).mode & 0o7777).toBe(0o755);
    expect(fs.readdirSync(path.join(root, 'var/cache/apt'))).toEqual(['archives']);
    for (const empty of ['var/cache/apt/archives', 'var/lib/apt/lists', 'etc/ssh', 'var/log'])
      expect(fs.readdirSync(path.join(root, empty))).toEqual([]);
    expect(fs.readFileSync(path.join(root, 'etc/resolv.conf'), 'utf8')).toBe('');
    expect(fs.readFileSync(path.join(root, 'etc/hostname'), 'utf8')).toBe('localhost\n');
    expect(fs.existsSync(path.join(root, 'etc/kept'))).toBe(true);
  });

  it('checks signatures and passes suite, packages and archive on as they were given [linux-container 23]', async () => {
    withDebootstrap(FILL, 'echo "$words" > "$root"/etc/words');
    await build(
      '--suite',
      'testing',
      '--include',
      'nano,less',
      '--mirror',
      'http://m.example/debian',
      'root',
    );
    const words = fs.readFileSync(path.join(place, 'root/etc/words'), 'utf8').trim().split('\n');
    expect(words).toEqual([
      '--debian-installer',
      '--variant=minbase',
      '--force-check-gpg',
      '--include=nano,less',
      'testing',
      expect.stringMatching(/\/\.root\.building-[0-9]+$/),
      'http://m.example/debian',
    ]);
  });

  it('mounts nothing on the host: debootstrap has namespaces of its own [linux-container 23]', async () => {
    withDebootstrap(
      FILL,
      'mount -t tmpfs none "$root"/etc/apt; readlink /proc/self/ns/mnt /proc/self/ns/pid > "$root"/etc/ns',
    );
    expect(await build('--suite', 's', 'root')).toMatchObject({ status: 0 });
    expect(fs.readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(place);
    const [mnt, pid] = fs.readFileSync(path.join(place, 'root/etc/ns'), 'utf8').trim().split('\n');
    expect(mnt).not.toBe(fs.readlinkSync('/proc/self/ns/mnt'));
    expect(pid).not.toBe(fs.readlinkSync('/proc/self/ns/pid'));
  });

  it('refuses an existing directory where nobody can be asked, and keeps it [linux-container 23]', async () => {
    withDebootstrap(FILL);
    fs.mkdirSync(path.join(place, 'root'));
    fs.writeFileSync(path.join(place, 'root/mine'), '');
    const { status, stderr } = await build('root');
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /^root already exists; give --force to replace it, or another directory\nALREADY_EXISTS: /,
    );
    expect(fs.readdirSync(path.join(place, 'root'))).toEqual(['mine']);
  });

  it('replaces it with --force, through a link too [linux-container 23]', async () => {
    withDebootstrap(FILL);
    fs.mkdirSync(path.join(place, 'root'));
    fs.writeFileSync(path.join(place, 'root/mine'), '');
    fs.symlinkSync('root', path.join(place, 'link'));
    expect(await build('--force', '--suite', 's', 'link')).toMatchObject({ status: 0, stderr: '' });
    expect(entries()).toEqual(['link', 'root']);
    expect(fs.lstatSync(path.join(place, 'link')).isSymbolicLink()).toBe(true);
    expect(fs.readdirSync(path.join(place, 'root'))).toEqual(['etc', 'var']);
  });

  it.each(['/', '/usr', '/etc', '/proc', '/root', '/var/lib/..'])(
    'never replaces %s, whatever the user says',
    async (directory) => {
      withDebootstrap('exit 9');
      const { status, stderr } = await build('--force', directory);
      expect(status).toBe(1);
      expect(stderr).toMatch(/cannot be replaced: (it is a part of this host|.* is a mount point)/);
    },
  );

  it('keeps what was there when debootstrap fails, and says why [linux-container 23]', async () => {
    withDebootstrap(
      FILL,
      'printf "E: NOGETREL\\nEA: http://m.example\\nEF: Failed getting release file %%s\\n" >&3',
      'echo "last words" >&2',
      'exit 7',
    );
    fs.mkdirSync(path.join(place, 'root'));
    fs.writeFileSync(path.join(place, 'root/mine'), '');
    const { status, stderr } = await build('--force', '--suite', 's', 'root');
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /^debootstrap ended with 7: Failed getting release file http:\/\/m.example\nlast words\nCOMMAND_FAILED: /,
    );
    expect(fs.readdirSync(path.join(place, 'root'))).toEqual(['mine']);
    expect(entries()).toEqual(['root']);
    await build('--suite', 's', 'deep/er/root');
    expect(entries()).toEqual(['root']);
  });

  it('says which release debootstrap does not know, and nothing of its records', async () => {
    withDebootstrap('printf "E: NOSCRIPT\\nEA: /scripts/nosuch\\nEF: No such script: %%s\\n"', 'exit 1');
    expect(await build('--suite', 'nosuch', 'root')).toEqual({
      status: 1,
      stdout: '',
      stderr:
        "rootfs build: debootstrap knows no release 'nosuch'\nINVALID_SPEC: give --suite with a name of /usr/share/debootstrap/scripts, as bookworm or trixie\n",
    });
    withDebootstrap('printf "E: ODD\\nEA: one\\nEF: No %%s\\nlast words\\n"', 'exit 1');
    expect((await build('--suite', 's', 'root')).stderr).toMatch(
      /^debootstrap ended with 1: No one\nlast words\nCOMMAND_FAILED: a program or hook that was started failed \(operation: debootstrap, status: 1\)\n$/,
    );
    expect(entries()).toEqual([]);
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)(
    'ends by %s with everything it started and made [linux-container 23]',
    async (signal, expected) => {
      withDebootstrap(
        FILL,
        '(trap "" INT TERM; sleep 1000) &',
        'printf "I: RETRIEVING\\nIF: waiting\\n" >&3',
        'wait',
      );
      const { child, ended } = start('--suite', 's', 'root');
      child.stdout.once('data', () => child.kill(signal));
      expect(await ended).toEqual({ status: expected, stdout: 'waiting\n', stderr: 'Aborting...\n' });
      expect(entries()).toEqual([]);
    },
  );

  it('leaves no process when it is killed, and names what is left at the next build', async () => {
    // known by its number among all processes of the machine
    const seconds = `1000.${process.pid}`;
    withDebootstrap(FILL, 'printf "I: RETRIEVING\\nIF: waiting\\n" >&3', `exec sleep ${seconds}`);
    const { child, ended } = start('--suite', 's', 'root');
    const running = (): string[] =>
      fs.readdirSync('/proc').filter((pid) => {
        try {
          return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8') === `sleep\0${seconds}\0`;
        } catch {
          return false;
        }
      });
    await vi.waitFor(() => expect(running()).not.toEqual([]), 20_000);
    child.kill('SIGKILL');
    await ended;
    await vi.waitFor(() => expect(running()).toEqual([]), 20_000);
    withDebootstrap(FILL);
    const left = path.join(fs.realpathSync(place), `.root.building-${child.pid}`);
    expect(await build('--suite', 's', 'root')).toMatchObject({
      status: 0,
      stderr: `warning: ${left} was left by a build that was killed; remove it\n`,
    });
  });

  it('puts back what a build that was killed between its last two steps has moved away', async () => {
    withDebootstrap(FILL);
    const gone = 2 ** 22 + 1; // no process has this number
    fs.mkdirSync(path.join(place, `.root.old-${gone}`));
    fs.writeFileSync(path.join(place, `.root.old-${gone}/mine`), '');
    fs.mkdirSync(path.join(place, `.root.building-${gone}`));
    const { status, stderr } = await build('root');
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: expect.stringMatching(
        /^warning: root was moved away by a build that was killed; it is back\nroot already exists; give --force/,
      ),
    });
    expect(entries()).toEqual([`.root.building-${gone}`, 'root']);
    expect(fs.existsSync(path.join(place, 'root/mine'))).toBe(true);
  });

  it('takes the directory from a configuration of the daemon, or from the environment [linux-container 23]', async () => {
    withDebootstrap(FILL);
    const config = path.join(place, 'wardend.yml');
    fs.writeFileSync(config, `---\nserver:\n  container_rootfs_path: ${place}/configured\n`);
    expect(await build('--suite', 's', '--config', config)).toMatchObject({ status: 0 });
    expect(fs.existsSync(path.join(place, 'configured/etc/suite'))).toBe(true);
    fs.writeFileSync(config, 'server: {}\n');
    const none = 'Please specify path to config file, or CONTAINER_ROOTFS_PATH\n';
    for (const words of [['--config', config], []]) {
      const { status, stderr } = await build(...words);
      expect({ status, text: stderr.startsWith(none) }).toEqual({ status: 1, text: true });
      expect(stderr).toContain('\nINVALID_SPEC: name the directory, as in: warden rootfs build DIR ');
    }
    environment = { CONTAINER_ROOTFS_PATH: `${place}/from-environment` };
    expect(await build('--suite', 's')).toMatchObject({ status: 0 });
    expect(fs.existsSync(path.join(place, 'from-environment/etc/suite'))).toBe(true);
    expect((await build('--config', '/nonexistent.yml')).stderr).toMatch(
      /^cannot read \/nonexistent.yml: ENOENT/,
    );
  });

  it('speaks JSON on request, errors included', async () => {
    withDebootstrap(FILL, 'printf "P: 1 4 DOWNDEBS\\n" >&3');
    expect((await build('--json', '--suite', 's', 'root')).stdout).toBe(
      '{"stage":"retrieving","percent":25}\n{"stage":"done","directory":"root","suite":"s"}\n',
    );
    expect(JSON.parse((await build('--json', 'root')).stderr)).toMatchObject({ code: 'ALREADY_EXISTS' });
  });

  it('exits with 2 for wrong words, and shows its help without anything else', async () => {
    expect(await build('--nope')).toEqual({ status: 2, stdout: '', stderr: 'invalid option: --nope\n' });
    expect((await build('--help')).stdout).toMatch(/^command: rootfs build\n/);
    expect(entries()).toEqual([]);
  });

  it('needs root, and says so [linux-container 23]', async () => {
    withDebootstrap('exit 9');
    fs.chmodSync(place, 0o777);
    const words = ['--reuid', '65534', '--regid', '65534', '--clear-groups', process.execPath, PROGRAM];
    const child = spawn('setpriv', [...words, 'rootfs', 'build', path.join(place, 'root')], { cwd: '/' });
    let stderr = '';
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    expect(await new Promise((resolve) => child.on('close', resolve))).toBe(1);
    expect(stderr).toMatch(/^Sorry, you need to be root\.\n/);
  });
});
