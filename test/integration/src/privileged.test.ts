/** `privileged: true`: root inside, and nothing more. What an abuse would begin with is refused to it as to anybody. */
import fs from 'node:fs';
import path from 'node:path';
import { describeWith, withDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { CALLS, PERL_MOUNTS, perl } from './host-perl.ts';
import { text } from './text.ts';

const PRIVILEGED = { privileged: true } as const;
/** SECURITY.md 1.1, and what further this project hides. */
const MASKED =
  'acpi asound config.gz interrupts iomem ioports kallsyms kcore key-users keys kmsg kpagecgroup kpagecount kpageflags latency_stats locks modules sched_debug scsi slabinfo timer_list timer_stats vmallocinfo'
    .split(' ')
    .map((name) => `/proc/${name}`);
const READONLY = ['bus', 'fs', 'irq', 'sys', 'sysrq-trigger'].map((name) => `/proc/${name}`);

describeWith(['root', 'isolated', 'overlayfs'], 'a privileged job', () => {
  const suite = withDaemon();
  const existing = (paths: readonly string[]): string[] => paths.filter((one) => fs.existsSync(one));

  it('is uid 0 with ten capabilities, a private id range, a filter and no new privileges [SECURITY E42]', async () => {
    await using box = await (await suite.daemon.connect()).create();
    const { stdout } = await box.run(
      'id -u; id -G; grep -E "^(Cap|NoNewPrivs|Seccomp:)" /proc/self/status; cat /proc/self/uid_map /proc/self/gid_map; readlink /proc/self/ns/user',
      PRIVILEGED,
    );
    const lines = text(stdout).trim().split('\n');
    expect(lines.slice(0, 2)).toEqual(['0', '0']);
    const status = new Map(lines.map((line) => line.split(/:\s+/, 2) as [string, string]));
    const mask = '00000000000401fb'.replace('401fb', '405fb');
    expect([...status].filter(([name]) => /^(Cap|NoNew|Secc)/.test(name))).toEqual([
      ['CapInh', '0000000000000000'],
      ['CapPrm', expect.any(String)],
      ['CapEff', status.get('CapPrm')],
      ['CapBnd', status.get('CapPrm')],
      ['CapAmb', '0000000000000000'],
      ['NoNewPrivs', '1'],
      ['Seccomp', '2'],
    ]);
    expect(BigInt(`0x${status.get('CapPrm')}`)).toBe(BigInt(`0x${mask}`) & ~(1n << 9n));
    const maps = lines
      .filter((line) => /^\s*\d+\s+\d+\s+\d+$/.test(line))
      .map((line) => line.trim().split(/\s+/).map(Number));
    expect(maps.length).toBeGreaterThanOrEqual(2);
    for (const [, outside] of maps) expect(outside).toBeGreaterThan(0);
    expect(lines.at(-1)).not.toBe(fs.readlinkSync('/proc/self/ns/user'));
  });

  it('cannot mount, unmount, change roots, enter or make namespaces, load programs into the kernel or look into it [SECURITY E01 E02 E14 E17 E23-E36]', async () => {
    await using box = await (await suite.daemon.connect()).create({ bindMounts: [...PERL_MOUNTS] });
    const calls: readonly (readonly [call: string, args: string])[] = [
      ...[
        'proc',
        'sysfs',
        'tmpfs',
        'cgroup',
        'cgroup2',
        'overlay',
        'devpts',
        'mqueue',
        'bpf',
        'debugfs',
        'tracefs',
      ].map((type) => ['mount', `"none", "/tmp", "${type}", 0, 0`] as const),
      ['mount', '"/proc/sys", "/proc/sys", "none", 4096|32, 0'], // bind and remount, to be writable again
      ['mount', '"none", "/", "none", 1 << 20, 0'], // shared
      ['umount2', '"/proc/sys", 2'],
      ['pivot_root', '"/tmp", "/tmp"'],
      ...[0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000, 0x80].map(
        (flag) => ['unshare', `${flag}`] as const,
      ),
      ['setns', '0, 0'],
      ['bpf', '0, $zero, 64'],
      ['bpf', '5, $zero, 64'],
      ['init_module', '$zero, 64, ""'],
      ['keyctl', '0, 0xfffffffd, 1'],
      ['perf_event_open', '$zero, 0, -1, -1, 0'],
      ['reboot', '0xfee1dead, 672274793, 0, 0'],
      ['sethostname', '"x", 1'],
      ['syslog', '3, $zero, 64'],
      ['settimeofday', '$zero, 0'],
      ['swapon', '"/etc/passwd", 0'],
      ['quotactl', '0x80000101, 0, 0, 0'],
      ['open_by_handle_at', '-100, $zero, 0'],
      ['fanotify_init', '0, 0'],
      ['userfaultfd', '1'],
      ['open_tree', '-100, "/", 1'],
      ['move_mount', '-100, "/", -100, "/tmp", 0'],
      ['fsopen', '"tmpfs", 0'],
      ['mount_setattr', '-100, "/", 0, $zero, 32'],
      ['pidfd_getfd', '0, 0, 0'],
      ['mknodat', '-100, "/tmp/disk", 0x61b6, 0x700'],
      ['ptrace', '16, 1, 0, 0'],
    ];
    const program = `$zero = "\\0" x 128;
      ${calls.map(([call, args]) => `@a = (${args}); print "${call}: ", (syscall(${CALLS[call]}, @a) == -1 ? $! + 0 : "done"), "\\n";`).join('\n')}`;
    const { stdout, stderr } = await box.run(perl(program), PRIVILEGED);
    expect(text(stdout), text(stderr)).toBe(calls.map(([call]) => `${call}: 1\n`).join(''));
  });

  it('cannot see or uncover what is masked, nor write what is read-only, by any path [SECURITY E03 E04 E12 E13]', async () => {
    await using box = await (await suite.daemon.connect()).create();
    const masked = existing(MASKED);
    const readonly = existing(READONLY);
    expect(masked.length).toBeGreaterThan(3);
    expect(readonly).toContain('/proc/sys');
    const { stdout } = await box.run(
      `roots="'' /proc/self/root /proc/1/root /proc/thread-self/root /proc/self/cwd"; cd /
       for r in "" /proc/self/root /proc/thread-self/root /proc/self/cwd; do
         for f in ${masked.join(' ')}; do
           [ -d $r$f ] && ls -A $r$f; head -c 16 $r$f 2>/dev/null | od -An -c
           { echo x > $r$f; } 2>/dev/null && [ ! -c $r$f ] && echo "written: $r$f"
           umount $r$f 2>/dev/null && echo "uncovered: $r$f"; umount -l $r$f 2>/dev/null && echo "uncovered: $r$f"
           mv $r$f $r$f.x 2>/dev/null && echo "moved: $f"; rm -rf $r$f 2>/dev/null && [ ! -e $r$f ] && echo "removed: $f"
           mount --bind /tmp $r$f 2>/dev/null && echo "covered: $f"
         done
         for f in ${readonly.join(' ')}; do
           umount -l $r$f 2>/dev/null && echo "uncovered: $r$f"; mount -o remount,rw $r$f 2>/dev/null && echo "again writable: $r$f"
           mount -o remount,bind,rw $r$f 2>/dev/null && echo "again writable: $r$f"; chmod 777 $r$f 2>/dev/null && echo "mode: $r$f"
         done
         { echo h > $r/proc/sysrq-trigger; } 2>/dev/null && echo "sysrq by $r"
       done
       # a descriptor of what was opened for reading
       exec 3< /proc/sys/kernel/core_pattern; { echo x > /proc/self/fd/3; } 2>/dev/null && echo "written by descriptor"
       exec 4< /proc/sys/kernel; { echo x > /proc/self/fd/4/core_pattern; } 2>/dev/null && echo "written by directory"
       find /proc/sys /proc/irq /proc/bus /proc/fs -type f 2>/dev/null | while read f; do { : >> $f; } 2>/dev/null && echo "opened: $f"; done
       echo looked`,
      { ...PRIVILEGED, timeoutMs: 60_000 },
    );
    expect(text(stdout)).toBe('looked\n');
  });

  it('finds no sysfs, no control groups, no device of the host and no socket of the daemon [SECURITY E15 E38]', async () => {
    await using box = await (await suite.daemon.connect()).create();
    const { stdout } = await box.run(
      `grep -cE " - (sysfs|cgroup2?|debugfs|tracefs|bpf|securityfs|configfs) " /proc/self/mountinfo
       find / -xdev -type s; find /dev /tmp /run /mnt -type s 2>/dev/null; wc -l < /proc/net/unix
       find / -xdev -type b -o -xdev -type c; ls -d /sys/* 2>/dev/null; echo looked`,
      PRIVILEGED,
    );
    const [mounts, sockets, ...rest] = text(stdout).trim().split('\n');
    expect([mounts, rest]).toEqual(['0', ['looked']]);
    expect(Number(sockets)).toBeLessThanOrEqual(1); // the heading
  });

  it('owns the files of its root and no others: what it makes belongs to its range, also what is bound in from the host', async () => {
    const shared = path.join(suite.daemon.place.directory, 'privileged-shared');
    fs.mkdirSync(shared, { recursive: true });
    fs.chmodSync(shared, 0o777);
    await using box = await (await suite.daemon.connect()).create({
      bindMounts: [{ source: shared, target: '/shared', mode: 'rw' }],
    });
    const { containerPath } = await box.info();
    const { exitStatus, stderr } = await box.run(
      'cp /bin/busybox /root/suid && chmod 6755 /root/suid && chown 4294967294 /root/suid 2>/dev/null; touch /root/mine',
      PRIVILEGED,
    );
    expect(exitStatus, text(stderr)).toBe(0);
    for (const name of ['suid', 'mine']) {
      const { uid, gid } = fs.statSync(path.join(containerPath!, 'tmp/rootfs/root', name));
      expect(uid).toBeGreaterThanOrEqual(536_870_912);
      expect(gid).toBeGreaterThanOrEqual(536_870_912);
    }
  });
});
