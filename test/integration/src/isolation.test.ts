/**
 * What a job can see and reach. The complete threat list is the business of the hostile-code suite; these are
 * the foundations.
 */
import fs from 'node:fs';
import { copyRootfs, describeWith, FAR_ADDRESS, OUTSIDE_ADDRESS, withDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { PERL_MOUNTS, perl } from './host-perl.ts';
import { text } from './text.ts';

describeWith(['root', 'isolated', 'overlayfs'], 'isolation', () => {
  const PROCESSES = 100;
  const suite = withDaemon({ config: { drivers: { pids_limit: PROCESSES } } });

  it('shows only its own processes, with its init as number 1', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const { stdout } = await box.run('ls -d /proc/[0-9]* | wc -l; tr "\\0" " " < /proc/1/cmdline', {
      privileged: true,
    });
    const [count, first] = text(stdout).split('\n');
    expect(Number(count)).toBeLessThan(8);
    expect(first).toMatch(/^wshd: [0-9a-v]{11}/);
  });

  it('does not show the host environment of its init', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const { stdout } = await box.run('tr -d "\\0" < /proc/1/environ | wc -c', { privileged: true });
    expect(text(stdout).trim()).toBe('0');
  });

  it('has every namespace to itself', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const { stdout } = await box.run('for n in mnt pid net uts ipc; do readlink /proc/self/ns/$n; done', {
      privileged: true,
    });
    const own = ['mnt', 'pid', 'net', 'uts', 'ipc'].map((name) => fs.readlinkSync(`/proc/self/ns/${name}`));
    const inside = text(stdout).trim().split('\n');
    expect(inside).toHaveLength(5);
    for (const name of inside) expect(own).not.toContain(name);
  });

  it('has detached the old root and mounts only what the plan says', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const { stdout } = await box.run('cut -d" " -f5 /proc/self/mountinfo | sort', { privileged: true });
    const targets = text(stdout).trim().split('\n');
    expect(targets).toEqual(expect.arrayContaining(['/', '/proc', '/dev', '/dev/pts', '/dev/shm']));
    expect(targets.filter((target) => !/^\/($|proc|dev|sys)/.test(target))).toEqual([]);
  });

  it('has its own host name, hosts and name servers', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const info = await box.info();
    const { stdout } = await box.run('hostname; cat /etc/hosts; cat /etc/resolv.conf | wc -c');
    expect(text(stdout)).toContain('localhost');
    expect(text(stdout)).toContain(info.containerIp);
    expect(text(stdout).split('\n')[0]).not.toBe('');
  });

  it('offers the usual devices and no other', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const works = await box.run(
      'head -c 4 /dev/urandom | wc -c; echo x > /dev/null && : < /dev/zero && ls /dev/fd /dev/stdin /dev/ptmx > /dev/null && echo fine',
    );
    expect(text(works.stdout)).toBe('4\nfine\n');
    const foreign = await box.run(
      'mknod /tmp/disk b 254 0 2>/dev/null && head -c 1 /tmp/disk > /dev/null 2>&1 && echo readable || echo refused',
      { privileged: true },
    );
    expect(text(foreign.stdout)).toBe('refused\n');
  });

  it('reaches its host address only as allowed, and nothing else by default', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    await using other = await warden.create();
    const { network } = suite.daemon.place;
    const [server, ...args] = network.outside.enter([
      'python3',
      '-m',
      'http.server',
      '8000',
      '--bind',
      '0.0.0.0',
    ]);
    const { spawn } = await import('node:child_process');
    const child = spawn(server!, args, { stdio: 'ignore', cwd: suite.daemon.place.directory });
    try {
      await expect
        .poll(
          () =>
            network.host.try(['sh', '-c', `exec 3<>/dev/tcp/${OUTSIDE_ADDRESS}/8000`.replace('sh', 'bash')])
              .status >= 0,
          { timeout: 5_000 },
        )
        .toBe(true);
      const otherIp = (await other.info()).containerIp!;
      for (const address of [OUTSIDE_ADDRESS, FAR_ADDRESS, '203.0.113.1', otherIp]) {
        const { stdout } = await box.run(
          `timeout 2 bash -c 'exec 3<>/dev/tcp/${address}/8000' 2>/dev/null && echo open || echo closed`,
        );
        expect(text(stdout), address).toBe('closed\n');
      }
      const { stdout } = await box.run('ip -o -4 addr show | wc -l; ip route | head -1', {
        privileged: true,
      });
      expect(text(stdout)).toMatch(/^2\ndefault via 10\.254\./);
    } finally {
      child.kill('SIGKILL');
    }
  });

  it('has no IPv6 but on loopback, from the first moment on [SECURITY N05]', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const { stdout } = await box.run(
      'for f in /proc/sys/net/ipv6/conf/w-*/disable_ipv6; do cat $f; done; cat /proc/net/if_inet6',
    );
    const [disabled, ...addresses] = text(stdout).trim().split('\n');
    expect(disabled).toBe('1');
    expect(addresses.map((line) => line.split(/\s+/).at(-1))).toEqual(['lo']);
  });

  it('cannot be left through a symbolic link in the root file system', async () => {
    const warden = await suite.daemon.connect();
    const { directory } = suite.daemon.place;
    const outside = `${directory}/outside-of-the-root`;
    fs.mkdirSync(outside, { recursive: true });
    const rootfs = `${directory}/hostile-root`;
    copyRootfs(suite.daemon.place.rootfs, rootfs);
    fs.rmSync(`${rootfs}/etc/hosts`, { force: true });
    fs.symlinkSync(`${outside}/hosts`, `${rootfs}/etc/hosts`);
    fs.rmSync(`${rootfs}/home`, { recursive: true });
    fs.symlinkSync(outside, `${rootfs}/home`);
    fs.symlinkSync(`../../../../../../../../../../${outside}`, `${rootfs}/data`);
    try {
      await using box = await warden.create({
        rootfs,
        bindMounts: [{ source: '/tmp', target: '/data/deep', mode: 'ro' }],
      });
      await box.run('true');
    } catch (error) {
      expect(error).toMatchObject({ code: expect.stringMatching(/NATIVE_FAILED|INVALID_SPEC/) });
    }
    expect(fs.readdirSync(outside)).toEqual([]);
  });

  it('cannot change the program of its init, which other containers share', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const program = `${(await box.info()).containerPath}/bin/wshd`;
    const before = fs.statSync(program);
    const { stdout } = await box.run(
      'chmod 0 /proc/1/exe 2>/dev/null && echo changed; (cat /bin/busybox > /proc/1/exe) 2>/dev/null && echo written; echo done',
      { privileged: true },
    );
    expect(text(stdout)).toBe('done\n');
    const { mode, size, mtimeMs } = fs.statSync(program);
    expect([mode, size, mtimeMs]).toEqual([before.mode, before.size, before.mtimeMs]);
  });

  it('is limited to its number of processes', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create({ bindMounts: [...PERL_MOUNTS] });
    // bounded, should there be no limit: no more than 1,000 processes, which end by themselves
    const { stdout } = await box.run(
      perl(
        `$n = 0; while ($n < 1000 && defined($pid = fork)) { if (!$pid) { close STDOUT; close STDERR; sleep 30; exit } $n++ } print "$n ", $!{EAGAIN} ? "full" : $!`,
      ),
      { privileged: true, rlimits: { nproc: 2_000n } },
    );
    const [, started] = /^(\d+) full$/.exec(text(stdout)) ?? [];
    // who starts them and init are two more
    expect(Number(started), text(stdout)).toBe(PROCESSES - 2);
    await (await suite.daemon.connect()).ping();
    await box.stop({ kill: true });
  });
});
