/** How much of the kernel's own a container may take, and that its mounts are nobody else's. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import type { ClientContainer } from '@warden/client';
import { copyRootfs, describeWith, withDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { CALLS, PERL_MOUNTS, perl } from './host-perl.ts';
import { text } from './text.ts';
import { until } from './until.ts';

interface MountLine {
  readonly target: string;
  readonly options: readonly string[];
  readonly propagation: readonly string[];
  readonly type: string;
  readonly superOptions: readonly string[];
}

async function mountsOf(box: ClientContainer): Promise<MountLine[]> {
  const { stdout } = await box.run('cat /proc/self/mountinfo');
  return text(stdout)
    .trim()
    .split('\n')
    .map((line) => {
      const [before = '', after = ''] = line.split(' - ');
      const [, , , , target = '', options = '', ...propagation] = before.split(' ');
      const [type = '', , superOptions = ''] = after.split(' ');
      return {
        target,
        options: options.split(','),
        propagation,
        type,
        superOptions: superOptions.split(','),
      };
    });
}

/** Opens terminals until it fails; `{fd}` needs bash. */
const OPEN_TERMINALS =
  'n=0; while [ $n -lt 600 ] && { exec {fd}<>/dev/ptmx; } 2>/dev/null; do n=$((n+1)); done; echo $n';

/** Takes so many watchers of files and message queues, or all that there are, and tells how many of each. */
const takeCounted = (most: number): string =>
  `$| = 1; $w = 0; $w++ while ($w < ${most} && syscall(${CALLS.inotify_init1}, 0) >= 0); ` +
  `$q = 0; $q++ while ($q < ${most} && syscall(${CALLS.mq_open}, "warden-$$-$q", 0102, 0600, 0) >= 0); print "$w $q\\n"; `;

describeWith(['root', 'isolated', 'overlayfs'], 'ceilings', () => {
  const suite = withDaemon();

  it('are 256 terminals, 64 MiB of shared memory and 64 KiB of /dev by default [SECURITY 1.1 Mounts]', async () => {
    await using box = await (await suite.daemon.connect()).create();
    const mounts = await mountsOf(box as ClientContainer);
    const at = (target: string): MountLine => mounts.findLast((one) => one.target === target)!;
    expect(at('/dev/pts').superOptions).toEqual(
      expect.arrayContaining(['max=256', 'mode=620', 'ptmxmode=666']),
    );
    expect(at('/dev/shm').superOptions).toEqual(expect.arrayContaining(['size=65536k']));
    expect(at('/dev').superOptions).toEqual(expect.arrayContaining(['size=64k', 'nr_inodes=1024']));
    const { stdout } = await box.run(`ulimit -n 1024; ${OPEN_TERMINALS}`);
    expect(text(stdout)).toBe('256\n');
    // another container still has its own
    await using other = await (await suite.daemon.connect()).create();
    expect(text((await other.run('exec 3<>/dev/ptmx && echo open')).stdout)).toBe('open\n');
  });

  it('of shared memory count bytes, files and what System V has of them', async () => {
    await using box = await (await suite.daemon.connect()).create({ bindMounts: [...PERL_MOUNTS] });
    const bytes = await box.run(
      'head -c 70000000 /dev/zero > /dev/shm/large 2>/dev/null; stat -c %s /dev/shm/large',
    );
    expect(Number(text(bytes.stdout))).toBe(64 * 1024 ** 2);
    const files = await box.run(
      perl(
        'unlink "/dev/shm/large"; $n = 0; while ($n < 40000 && open($f, ">", "/dev/shm/$n")) { $n++ } print "$n $!\\n"',
      ),
      { privileged: true },
    );
    expect(text(files.stdout)).toMatch(/^16\d{3} No space left on device\n$/);
    const shared = await box.run(
      perl(
        'for (1 .. 3) { print defined shmget(0, 40 << 20, 01600) ? "yes" : "no: $!"; print "\\n" } $n = 0; while ($n < 2000 && defined msgget(0, 01600)) { $n++ } print "$n\\n"',
      ),
    );
    expect(text(shared.stdout), text(shared.stderr)).toBe(
      'yes\nno: No space left on device\nno: No space left on device\n512\n',
    );
  });

  it('of what the kernel counts for each user of the host are for each container: it leaves others and the host theirs', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create({ bindMounts: [...PERL_MOUNTS] });
    await using other = await warden.create({ bindMounts: [...PERL_MOUNTS] });
    await box.spawn(perl(`${takeCounted(1_000)} open F, ">", "/tmp/taken"; sleep 1000`), {
      privileged: true,
    });
    await until(async () => (await box.run('test -e /tmp/taken')).exitStatus === 0);
    expect(text((await other.run(perl(takeCounted(1)))).stdout)).toBe('1 1\n');
    const program = `${takeCounted(1)} syscall(${CALLS.mq_unlink}, "warden-$$-0")`;
    expect(execFileSync('perl', ['-e', program], { encoding: 'utf8' })).toBe('1 1\n');
  });

  it('of /dev stop whoever is root inside from filling it', async () => {
    await using box = await (await suite.daemon.connect()).create();
    const { stdout } = await box.run(
      'head -c 1000000 /dev/zero > /dev/large 2>/dev/null; stat -c %s /dev/large; n=0; while [ $n -lt 5000 ] && { : > /dev/$n; } 2>/dev/null; do n=$((n+1)); done; [ $n -lt 1024 ] && echo full',
      { privileged: true },
    );
    const [size, files] = text(stdout).split('\n');
    expect(Number(size)).toBeLessThanOrEqual(65_536);
    expect(files).toBe('full');
  });

  it('leave the device files of every mount but /dev dead [SECURITY E18]', async () => {
    const shared = path.join(suite.daemon.place.directory, 'with-device');
    const rootfs = path.join(suite.daemon.place.directory, 'root-with-device');
    for (const left of [shared, rootfs]) fs.rmSync(left, { recursive: true, force: true }); // by an attempt before
    fs.mkdirSync(shared);
    copyRootfs(suite.daemon.place.rootfs, rootfs);
    const { spawnSync } = await import('node:child_process');
    for (const directory of [shared, rootfs]) {
      for (const [name, kind, major, minor] of [
        ['null', 'c', '1', '3'],
        ['disk', 'b', '7', '0'],
      ] as const) {
        const { status } = spawnSync('mknod', ['-m', '666', path.join(directory, name), kind, major, minor]);
        expect(status).toBe(0);
      }
    }
    await using box = await (await suite.daemon.connect()).create({
      rootfs,
      bindMounts: [{ source: shared, target: '/shared', mode: 'rw' }],
    });
    const mounts = await mountsOf(box as ClientContainer);
    const alive = mounts.filter(({ options }) => !options.includes('nodev')).map(({ target }) => target);
    // masks are the null device, whose node they cover files with
    expect(alive.filter((target) => !target.startsWith('/proc/'))).toEqual(['/dev', '/dev/pts']);
    const { stdout } = await box.run(
      'for f in /null /disk /shared/null /shared/disk; do [ -e $f ] && { : < $f; } 2>/dev/null && echo "$f opened"; done; ls /shared; ls / | grep -E "^(disk|null)$"',
      { privileged: true },
    );
    expect(text(stdout)).toBe('disk\nnull\ndisk\nnull\n');
  });

  it('nothing that is mounted on one side shows on the other [SECURITY E52]', async () => {
    const shared = path.join(suite.daemon.place.directory, 'propagation');
    fs.mkdirSync(path.join(shared, 'later'), { recursive: true });
    const { host } = suite.daemon.place.network;
    const outside = (): string => host.run('cat', '/proc/self/mountinfo');
    // a shared mount, as on most hosts
    host.run('mount', '--bind', shared, shared);
    try {
      host.run('mount', '--make-shared', shared);
      const before = outside();
      expect(before).toContain('shared:');
      await using box = await (await suite.daemon.connect()).create({
        bindMounts: [{ source: shared, target: '/shared', mode: 'rw' }],
      });
      for (const { target, propagation } of await mountsOf(box as ClientContainer))
        expect(propagation, target).toEqual([]);
      expect(outside()).toBe(before);
      host.run('mount', '-t', 'tmpfs', 'none', path.join(shared, 'later'));
      host.run('touch', path.join(shared, 'later/file'));
      try {
        const { stdout } = await box.run('ls -A /shared/later; grep -c later /proc/self/mountinfo');
        expect(text(stdout)).toBe('0\n');
      } finally {
        host.run('umount', path.join(shared, 'later'));
      }
    } finally {
      host.run('umount', shared);
    }
  });
});

describeWith(['root', 'isolated', 'overlayfs'], 'ceilings of the configuration', () => {
  const suite = withDaemon({
    config: { security: { pty_max: 3, shm_size: 1_048_577, dev_size: 131_072, core_dumps: 'never' } },
  });

  it('are in force', async () => {
    await using box = await (await suite.daemon.connect()).create();
    const mounts = await mountsOf(box as ClientContainer);
    const data = (target: string): readonly string[] =>
      mounts.findLast((one) => one.target === target)!.superOptions;
    expect(data('/dev/pts')).toContain('max=3');
    // the kernel rounds up to whole pages
    expect(data('/dev/shm')).toContain('size=1028k');
    expect(data('/dev')).toContain('size=128k');
    expect(text((await box.run(OPEN_TERMINALS)).stdout)).toBe('3\n');
  });

  it('the limit of core files is shown to who asks for it', async () => {
    await using box = await (await suite.daemon.connect()).create();
    const { stdout, exitStatus } = await box.run('ulimit -c && ulimit -a >/dev/null');
    // 1 byte, in units of 1 KiB
    expect({ stdout: text(stdout), exitStatus }).toEqual({ stdout: '0\n', exitStatus: 0 });
  });

  it.each([false, true])(
    'core files are never made, whatever a job asks for, privileged: %s',
    async (privileged) => {
      await using box = await (await suite.daemon.connect()).create();
      const crash =
        'cd /tmp; ulimit -c unlimited; ulimit -S -c 0; ulimit -c unlimited; grep core /proc/self/limits; ';
      const { stdout, exitStatus } = await box.run(`${crash} (kill -SEGV $BASHPID); ls -A /tmp`, {
        privileged,
        rlimits: { core: 0xffff_ffff_ffff_ffffn },
      });
      // 1 is what the kernel takes for: not even to the program of core_pattern
      expect(text(stdout)).toMatch(/^Max core file size +1 +1 +bytes *\n$/);
      expect(exitStatus).toBe(0);
    },
  );
});
