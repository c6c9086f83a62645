/**
 * What a container is confined by unless somebody says otherwise: users of its own, capabilities, system
 * calls, /proc.
 */
import fs from 'node:fs';
import path from 'node:path';
import { describeWith, withDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { text } from './text.ts';

const CHOWN_TO_SYS_CHROOT = 0x405fbn & ~(1n << 9n);

function status(output: string): Map<string, string> {
  return new Map(output.split('\n').map((line) => line.split(/:\s*/, 2) as [string, string]));
}

describeWith(['root', 'isolated', 'overlayfs'], 'confinement by default', () => {
  const suite = withDaemon();

  it('maps at least 65,536 private ids, never the host root', async () => {
    const warden = await suite.daemon.connect();
    await using first = await warden.create();
    await using second = await warden.create();
    const ranges = await Promise.all(
      [first, second].map(async (box) =>
        text((await box.run('cat /proc/self/uid_map', { privileged: true })).stdout)
          .trim()
          .split('\n')
          .map((line) => line.trim().split(/\s+/).map(Number)),
      ),
    );
    const outside = ranges.flat().flatMap(([, start, count]) => [[start!, start! + count!] as const]);
    for (const one of ranges) {
      expect(one.reduce((sum, [, , count]) => sum + count!, 0)).toBeGreaterThanOrEqual(65_536);
    }
    for (const [start, end] of outside) {
      expect(start).toBeGreaterThan(0);
      expect(outside.filter(([from, to]) => from < end && to > start)).toHaveLength(1);
    }
  });

  it('gives root files of the image and of its own, and the host sees others', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const { containerPath } = await box.info();
    const { stdout, exitStatus } = await box.run(
      'stat -c %u:%g / /etc/passwd /bin/busybox; echo x > /root/own && stat -c %u /root/own && echo changed >> /etc/passwd',
      { privileged: true },
    );
    expect(text(stdout).trim().split('\n')).toEqual(['0:0', '0:0', '0:0', '0']);
    expect(exitStatus).toBe(0);
    const own = fs.statSync(path.join(containerPath!, 'tmp/rootfs/root/own'));
    expect(own.uid).toBeGreaterThanOrEqual(536_870_912);
  });

  it('leaves the uid of the unprivileged user as it is on the host', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const { containerPath } = await box.info();
    const { stdout } = await box.run('id -u; touch ~/mine');
    const uid = Number(text(stdout));
    expect(uid).toBeGreaterThanOrEqual(10_000);
    expect(fs.statSync(path.join(containerPath!, 'tmp/rootfs/home/vcap/mine')).uid).toBe(uid);
  });

  it('gives root ten capabilities and nobody else any; filter and no-new-privileges are on', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const root = status(text((await box.run('cat /proc/self/status', { privileged: true })).stdout));
    const user = status(text((await box.run('cat /proc/self/status')).stdout));
    for (const name of ['CapPrm', 'CapEff', 'CapBnd'])
      expect(BigInt(`0x${root.get(name)}`), name).toBe(CHOWN_TO_SYS_CHROOT);
    for (const name of ['CapPrm', 'CapEff']) expect(BigInt(`0x${user.get(name)}`), name).toBe(0n);
    for (const one of [root, user]) {
      expect(BigInt(`0x${one.get('CapInh')}`)).toBe(0n);
      expect(BigInt(`0x${one.get('CapAmb')}`)).toBe(0n);
      expect(one.get('NoNewPrivs')).toBe('1');
      expect(one.get('Seccomp')).toBe('2');
    }
  });

  it('shows nothing of the host in /proc and lets nobody write there', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const { stdout } = await box.run(
      `for f in kallsyms kcore keys timer_list kpageflags vmallocinfo slabinfo interrupts; do
         [ -e /proc/$f ] && echo "$f $(head -c 64 /proc/$f 2>/dev/null | wc -c)"; done
       for f in sys/kernel/core_pattern sys/kernel/hostname sys/net/ipv4/ip_forward sysrq-trigger irq/default_smp_affinity; do
         [ -e /proc/$f ] && { echo x > /proc/$f; } 2>/dev/null && echo "$f was written"; done
       ls -A /proc/acpi 2>/dev/null`,
      { privileged: true },
    );
    const lines = text(stdout).trim().split('\n');
    expect(lines.length).toBeGreaterThan(3);
    expect(lines.filter((line) => !/^\w+ 0$/.test(line))).toEqual([]);
  });

  it('gives the file systems that it makes itself no devices, set-user-id bits or programs beyond what they need', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const { stdout } = await box.run('cat /proc/self/mountinfo');
    const mounts = text(stdout).trim().split('\n');
    const flags = new Map(
      mounts.map((line) => line.split(' ')).map((fields) => [fields[4]!, fields[5]!.split(',')] as const),
    );
    for (const [target, wanted] of [
      ['/proc', ['nosuid', 'nodev', 'noexec']],
      ['/dev', ['nosuid', 'noexec']],
      ['/dev/pts', ['nosuid', 'noexec']],
      ['/dev/shm', ['nosuid', 'nodev', 'noexec']],
    ] as const)
      expect(flags.get(target), target).toEqual(expect.arrayContaining([...wanted]));
    const covered = [...flags].filter(([target]) => target.startsWith('/proc/'));
    expect(covered.length).toBeGreaterThan(3);
    for (const [target, found] of covered)
      expect(found, target).toEqual(expect.arrayContaining(['ro', 'nosuid', 'noexec']));
  });

  it('lets everybody bind low ports and open sockets for pings, which need capabilities elsewhere', async () => {
    const warden = await suite.daemon.connect();
    const libraries = ['/usr', '/lib', '/lib64'].filter((directory) => fs.existsSync(directory));
    await using box = await warden.create({
      bindMounts: libraries.map((directory) => ({ source: directory, target: directory, mode: 'ro' })),
    });
    const { stdout, stderr } = await box.run(
      `exec /usr/bin/perl -MSocket -e '
         socket(LOW, AF_INET, SOCK_STREAM, 0) && bind(LOW, sockaddr_in(80, INADDR_LOOPBACK)) or die "bind: $!";
         socket(PING, AF_INET, SOCK_DGRAM, 1) or die "ping: $!";
         socket(RAW, AF_INET, SOCK_RAW, 1) and die "raw sockets work";
         print "$<"'`,
    );
    expect([text(stdout), text(stderr)]).toEqual([expect.stringMatching(/^\d{5}$/), '']);
  });

  it('shows bind mounts with the owners they have on the host', async () => {
    const warden = await suite.daemon.connect();
    const directory = path.join(suite.daemon.place.directory, 'shared');
    fs.mkdirSync(directory, { recursive: true });
    fs.writeFileSync(path.join(directory, 'of-root'), 'x', { mode: 0o600 });
    await using box = await warden.create({
      bindMounts: [{ source: directory, target: '/shared', mode: 'rw' }],
    });
    const { stdout, exitStatus } = await box.run('stat -c %u /shared/of-root; cat /shared/of-root', {
      privileged: true,
    });
    expect([text(stdout), exitStatus]).toEqual(['0\nx', 0]);
  });
});

describeWith(['root', 'isolated', 'overlayfs'], 'confinement switched off by name', () => {
  const suite = withDaemon({
    config: { security: { user_namespace: false, no_new_privileges: false, seccomp: false } },
  });

  it('root inside is the host root, without filter, still bounded', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const { stdout } = await box.run('cat /proc/self/uid_map /proc/self/status', { privileged: true });
    const facts = status(text(stdout));
    expect(text(stdout)).toMatch(/^\s*0\s+0\s+4294967295/);
    expect(facts.get('Seccomp')).toBe('0');
    expect(facts.get('NoNewPrivs')).toBe('0');
    expect(BigInt(`0x${facts.get('CapBnd')}`)).toBe(CHOWN_TO_SYS_CHROOT);
  });
});
