/**
 * Root file systems in which what a daemon touches is something else: a create fails with a reason or stays
 * inside; the host stays as it was [SECURITY E47 E48].
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import type { WardenClient } from '@warden/client';
import { describeWith, withDaemon } from '@warden/test-harness';
import { beforeAll, expect, it } from 'vitest';
import { makeHostileImage, makeImage } from './image.ts';
import { hostFacts, IS_SHORT, makeSentinel } from './place.ts';
import { addRow } from './report.ts';
import { text } from './text.ts';

/** Everything a daemon, its init or a mount touches in a root. */
const NAMES =
  'dev proc sys etc sbin tmp mnt run home root var bin/bash dev/pts dev/shm dev/null dev/console dev/tty dev/ptmx etc/passwd etc/group etc/hosts etc/resolv.conf etc/hostname etc/mtab home/vcap proc/self sys/fs'.split(
    ' ',
  );

/** What stands there instead. `host` is a directory of the host, `secret` a file in it. */
const KINDS: Readonly<Record<string, (at: string, host: string, secret: string) => void>> = {
  'absolute-link': (at, host) => fs.symlinkSync(host, at),
  'link-to-file': (at, _host, secret) => fs.symlinkSync(secret, at),
  'climbing-link': (at, host) => fs.symlinkSync(`../../../../../../../../../../..${host}`, at),
  'dangling-link': (at, host) => fs.symlinkSync(path.join(host, 'made'), at),
  loop: (at) => fs.symlinkSync(path.basename(at), at),
  'magic-link': (at) => fs.symlinkSync('/proc/1/root', at),
  'own-root': (at) => fs.symlinkSync('/', at),
  pipe: (at) => {
    execFileSync('mkfifo', [at]);
  },
  file: (at) => fs.writeFileSync(at, 'x'),
  directory: (at) => fs.mkdirSync(at),
  device: (at) => {
    execFileSync('mknod', [at, 'b', '254', '0']);
  },
};

describeWith(['root', 'isolated', 'overlayfs', 'python3'], 'hostile root file systems', () => {
  const suite = withDaemon();
  let warden: WardenClient;
  let good = '';
  let sentinel = '';
  let facts = '';

  beforeAll(async () => {
    warden = await suite.daemon.connect();
    good = path.join(suite.daemon.place.directory, 'good');
    makeImage(good);
    sentinel = makeSentinel(suite.daemon.place);
    facts = hostFacts(sentinel);
  });

  it.each(Object.keys(KINDS))('%s in place of each thing that is touched [SECURITY E48]', async (kind) => {
    const offset = Object.keys(KINDS).indexOf(kind);
    const names = IS_SHORT ? NAMES.filter((_, at) => at % 9 === offset % 9) : NAMES;
    for (const name of names) {
      const root = path.join(suite.daemon.place.directory, `root-${kind}`);
      // hard links: a copy in no time. What stands in the way is replaced, never written to
      execFileSync('cp', ['-al', good, root]);
      const at = path.join(root, name);
      fs.mkdirSync(path.dirname(at), { recursive: true });
      fs.rmSync(at, { recursive: true, force: true });
      KINDS[kind]!(at, path.dirname(sentinel), sentinel);
      let outcome = 'contained';
      try {
        const box = await warden.create({ rootfs: root });
        try {
          const seen = await box.run(
            `for f in /${name} /${name}/secret /${name}/self/environ; do timeout 1 head -c 4096 "$f"; done 2>/dev/null < /dev/null | tr -d '\\0'; timeout 1 ls /${name}/ 2>/dev/null`,
            { privileged: true, timeoutMs: 20_000 },
          );
          expect(text(seen.stdout), `${kind} as ${name}`).not.toContain('secret of the host');
        } catch (error) {
          outcome = `refused ${(error as { code?: string }).code}`;
        }
        await box.destroy();
      } catch (error) {
        expect(error, `${kind} as ${name}`).toMatchObject({ code: expect.stringMatching(/^[A-Z_]+$/) });
        outcome = `refused ${(error as { code: string }).code}`;
      }
      expect(hostFacts(sentinel), `${kind} as ${name}`).toBe(facts);
      addRow('hostile-root', `rootfs/${name}-is-${kind}`, 'hostile', outcome);
      fs.rmSync(root, { recursive: true, force: true });
    }
    await warden.ping();
  });

  it('no program of the root file system runs before the container is confined, and none on the host [SECURITY E47]', async () => {
    const { directory } = suite.daemon.place;
    const hostile = path.join(directory, 'hostile');
    const canary = path.join(directory, 'canary/log');
    fs.mkdirSync(path.dirname(canary));
    makeHostileImage(hostile, canary);
    await using box = await warden.create({ rootfs: hostile });
    const upper = path.join((await box.info()).containerPath!, 'tmp/rootfs');
    const log = path.join(upper, 'canary/log');
    expect(fs.existsSync(log), 'a program of the root ran while it was created').toBe(false);
    await box.run('anything', { privileged: true });
    await box.run('anything');
    // copies, limits, ports and info start nothing of the root either: its tar, rsync, cp and shell would tell
    const file = path.join(directory, 'file');
    fs.writeFileSync(file, 'x');
    await box.copyIn(file, '/tmp/file');
    await box.copyOut('/tmp/file', path.join(directory, 'back'));
    await box.netIn();
    await box.limitMemory(1n << 28n);
    await box.stop({ kill: true });
    const lines = fs.readFileSync(log, 'utf8').trim().split('\n');
    expect(lines).toHaveLength(2);
    for (const line of lines) expect(line).toMatch(/^bash pid=\d+ uid=\d+ seccomp=2 nnp=1$/);
    expect(fs.existsSync(canary), 'a program of the root saw the host').toBe(false);
    addRow('hostile-root', 'programs/started-by-anything-but-jobs', 'hostile', 'refused');
  });

  it('accounts of the image make no unprivileged job anybody else than its own user [SECURITY E43 E44]', async () => {
    const lines = [
      'vcap:x:0:0::/:/bin/bash',
      'vcap:x:4294967295:4294967295::/:/bin/bash',
      'vcap:x:4294967296:0::/:/bin/bash',
      'vcap:x:2147483648:0::/:/bin/bash',
      'vcap:x:-1:-1::/:/bin/bash',
      'vcap:x:0x0:0::/:/bin/bash',
      'vcap:x:: 0::/:/bin/bash',
      'vcap:x',
      `vcap${'x'.repeat(5000)}:x:0:0::/:/bin/bash\nvcap:x:0:0::/:/bin/bash`,
      'vcap:x:0:0::/:/bin/bash\0\nvcap:x:1:1::/:/bin/bash',
      'nobody:x:0:0\nvcap:x:0:0',
    ];
    for (const [at, passwd] of lines.entries()) {
      const root = path.join(suite.daemon.place.directory, `accounts-${at}`);
      execFileSync('cp', ['-al', good, root]);
      for (const name of ['passwd', 'group']) fs.rmSync(path.join(root, 'etc', name));
      fs.writeFileSync(path.join(root, 'etc/passwd'), `${passwd}\nroot:x:0:0::/root:/bin/bash\n`);
      fs.writeFileSync(path.join(root, 'etc/group'), 'root:x:0:vcap\nvcap:x:0:vcap\ndisk:x:6:vcap\n');
      let outcome: string;
      try {
        await using box = await warden.create({ rootfs: root });
        const { stdout, exitStatus } = await box.run('grep -E "^(Uid|CapEff)" /proc/self/status');
        const uid = /^Uid:\s+(\d+)/m.exec(text(stdout))?.[1];
        outcome = exitStatus === 0 ? `uid ${uid}` : 'refused';
        expect(uid, passwd).not.toBe('0');
        if (exitStatus === 0) expect(text(stdout)).toMatch(/CapEff:\s+0+$/m);
      } catch (error) {
        outcome = `refused ${(error as { code: string }).code}`;
        expect(error).toMatchObject({ code: expect.stringMatching(/^[A-Z_]+$/) });
      }
      addRow('hostile-root', `accounts/form-${at}`, 'hostile', outcome);
      fs.rmSync(root, { recursive: true });
    }
  });

  it('a home that leads elsewhere, or nowhere, starts the job inside [SECURITY E09]', async () => {
    await using box = await warden.create({ rootfs: good });
    for (const home of [
      '/proc/self/fd/3',
      '/proc/self/fd/7',
      '/proc/1/cwd',
      '/proc/1/root',
      '/proc/self/cwd',
      '/gone',
      '/etc/passwd',
      '/trap',
    ]) {
      await box.run(
        `ln -sfn /proc/1/cwd /trap; sed -i 's|^\\(vcap:.*\\):[^:]*:\\([^:]*\\)$|\\1:${home}:\\2|' /etc/passwd; grep -q '^vcap.*:${home}:' /etc/passwd`,
        { privileged: true },
      );
      const { stdout, exitStatus } = await box.run(
        'busybox pwd -P; cat ../../../../../../../../..$0 2>/dev/null; ls -a',
      );
      expect([exitStatus, text(stdout).split('\n')[0]], home).toEqual([
        0,
        expect.stringMatching(/^\/(?!unreachable)/),
      ]);
      const climbed = await box.run(
        `cat ../../../../../../..${sentinel}; cat .${sentinel}; cat $HOME/../..${sentinel}`,
      );
      expect(text(climbed.stdout), home).toBe('');
      addRow('hostile-root', `home${home}`, 'user', 'contained');
    }
  });

  it('a mount made on the host later does not arrive inside [SECURITY E52]', async () => {
    const shared = path.join(suite.daemon.place.directory, 'shared');
    fs.mkdirSync(path.join(shared, 'sub'), { recursive: true });
    await using box = await warden.create({
      rootfs: good,
      bindMounts: [{ source: shared, target: '/shared', mode: 'rw' }],
    });
    const { host } = suite.daemon.place.network;
    host.run('mount', '-t', 'tmpfs', 'none', path.join(shared, 'sub'));
    try {
      host.run('sh', '-c', `echo later > ${shared}/sub/file`);
      expect(text((await box.run('ls -A /shared/sub')).stdout)).toBe('');
      await using other = await warden.create({
        rootfs: good,
        bindMounts: [{ source: shared, target: '/shared', mode: 'rw' }],
      });
      expect(text((await other.run('ls -A /shared/sub')).stdout)).toBe('');
    } finally {
      host.run('umount', path.join(shared, 'sub'));
    }
    addRow('hostile-root', 'mounts/propagate-in', 'root', 'refused');
  });

  it.each([
    ['user', false],
    ['root', true],
  ] as const)(
    '%s may kill everybody inside, and the container serves on [SECURITY E40]',
    async (role, privileged) => {
      await using box = await warden.create({ rootfs: good });
      const victim = await box.spawn('sleep 600', { privileged: true });
      await box.run('kill -9 -1; kill -STOP -1', { privileged }).catch((error: unknown) => {
        expect(error).toMatchObject({ code: expect.any(String) });
      });
      expect(text((await box.run('echo serves', { privileged })).stdout)).toBe('serves\n');
      // who is killed dies when he runs next, which on a busy machine is after those who came later
      if (role === 'root')
        expect(await victim.link()).toMatchObject({ verdict: { reason: 'signal', signal: 9 } });
      const { jobIds } = await box.info();
      expect(jobIds.includes(victim.id)).toBe(role === 'user');
      await box.stop({ kill: true });
      addRow('hostile-root', 'signals/kill-everybody', role, 'contained');
    },
  );
});
