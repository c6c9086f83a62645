/** Copies and what the container or the host can put in their way: SECURITY.md section 4, table F, case by case. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ClientContainer } from '@warden/client';
import { describeWith, patience, withDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { copyHelpers, stopCopyHelper } from './copy-helpers.ts';
import { startUntilRefused } from './full-container.ts';
import { PERL_MOUNTS, perl } from './host-perl.ts';
import { text } from './text.ts';
import { until } from './until.ts';

const FAILED = {
  code: expect.stringMatching(/^(COMMAND_FAILED|FORBIDDEN|INVALID_SPEC)$/),
  message: expect.stringMatching(/^command exited with failure: /),
};

/** Compared as a whole: a call for each of so many bytes takes a second. */
function isOneByte(content: Buffer): boolean {
  return content.equals(Buffer.alloc(content.length, content[0]));
}

describeWith(['root', 'isolated', 'overlayfs'], 'confined copies', () => {
  const suite = withDaemon({ config: { drivers: { pids_limit: 40 } } });
  let counter = 0;

  async function withBox(
    body: (box: ClientContainer, host: string) => Promise<void>,
    perlInside = false,
  ): Promise<void> {
    const host = path.join(suite.daemon.place.directory, `confined-${counter++}`);
    fs.mkdirSync(host);
    const warden = await suite.daemon.connect();
    try {
      await using box = await warden.create({ bindMounts: perlInside ? [...PERL_MOUNTS] : [] });
      await body(box as ClientContainer, host);
      expect(copyHelpers(suite.daemon.place)).toEqual([]);
    } finally {
      fs.rmSync(host, { recursive: true, force: true });
    }
  }

  it('the half inside has no capability, the filter of system calls, no new privileges and no descriptor but its own', () =>
    withBox(async (box, host) => {
      fs.writeFileSync(path.join(host, 'large'), Buffer.alloc(300 << 20, 'x'));
      let isStopped = false;
      const copyUntilStopped = async (): Promise<void> => {
        do await box.copyIn(path.join(host, 'large'), '/tmp/large');
        while (!isStopped); // one copy may be over before anybody has found it
      };
      const copy = copyUntilStopped();
      const inside = await stopCopyHelper(suite.daemon.place, 'inside', '/tmp/large').finally(() => {
        isStopped = true;
      });
      const status = fs.readFileSync(`/proc/${inside}/status`, 'utf8');
      const descriptors = fs
        .readdirSync(`/proc/${inside}/fd`)
        .map((fd) => fs.readlinkSync(`/proc/${inside}/fd/${fd}`));
      const root = fs.readlinkSync(`/proc/${inside}/ns/mnt`);
      process.kill(inside, 'SIGCONT');
      await copy;
      for (const name of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb'])
        expect(status).toMatch(new RegExp(`^${name}:\\s+0{16}$`, 'm'));
      expect(status).toMatch(/^Seccomp:\s+2$/m);
      expect(status).toMatch(/^NoNewPrivs:\s+1$/m);
      expect(Number(/^Uid:\s+(\d+)/m.exec(status)![1])).toBeGreaterThanOrEqual(10_000);
      expect(root).not.toBe(fs.readlinkSync('/proc/self/ns/mnt'));
      // its socket, two pipes to init, and what it has open of the tree
      expect(
        descriptors.filter((one) => !/^(socket|pipe):/.test(one)).every((one) => /^\/(tmp.*)?$/.test(one)),
      ).toBe(true);
    }));

  it('programs, shells, loaders and preloads of the root have no part in it [SECURITY F05 E46]', () =>
    withBox(async (box, host) => {
      fs.writeFileSync(path.join(host, 'file'), 'content');
      const { exitStatus } = await box.run(
        `mkdir /ran; printf '#!/bin/bash\\necho $0 > /ran/x\\n' > /tmp/evil; chmod 777 /ran; chmod 755 /tmp/evil
         for f in sh tar rsync cp cat unpigz xz warden-copy mkdir; do rm -f /bin/$f; cp /tmp/evil /bin/$f; done
         echo /tmp/evil.so > /etc/ld.so.preload; echo ". /tmp/evil" > /etc/profile; echo ". /tmp/evil" > /home/vcap/.bashrc
         mkdir -p /lib/locale /etc/nsswitch.d; echo "passwd: evil" > /etc/nsswitch.conf; rm -f /bin/bash /bin/busybox; :`,
        { privileged: true },
      );
      expect(exitStatus).toBe(0);
      await box.copyIn(path.join(host, 'file'), '/tmp/in');
      await box.copyOut('/tmp/in', path.join(host, 'out'));
      expect(fs.readFileSync(path.join(host, 'out'), 'utf8')).toBe('content');
      await expect(box.copyOut('/ran/x', path.join(host, 'ran'))).rejects.toMatchObject({
        ...FAILED,
        fields: { errno: 'ENOENT' },
      });
    }));

  it('attributes, capabilities and access lists of files do not leave, and links are links [SECURITY F06 F09]', () =>
    withBox(async (box, host) => {
      const set = process.arch === 'arm64' ? 6 : 189; // lsetxattr
      const { stdout } = await box.run(
        perl(
          `mkdir "/tmp/d"; open(F, ">", "/tmp/d/f"); print F "x"; close F; @a = ("/tmp/d/f", "user.mine", "secret", 6, 0); print syscall(${set}, @a) == 0 ? "set\\n" : "$!\\n"; symlink("/etc/shadow", "/tmp/d/link"); chmod 06777, "/tmp/d/f"`,
        ),
      );
      await box.copyOut('/tmp/d/', path.join(host, 'got'));
      await expect(box.copyOut('/tmp/d/link', path.join(host, 'alone'))).resolves.toBeUndefined();
      expect(fs.readlinkSync(path.join(host, 'got/link'))).toBe('/etc/shadow');
      expect(fs.readlinkSync(path.join(host, 'alone'))).toBe('/etc/shadow');
      expect(fs.statSync(path.join(host, 'got/f')).mode & 0o7777).toBe(0o777);
      const listed = spawnSync(
        'python3',
        ['-c', `import os; print(os.listxattr(${JSON.stringify(path.join(host, 'got/f'))}))`],
        {
          encoding: 'utf8',
        },
      );
      // where the container's file system takes attributes at all
      expect([text(stdout), listed.stdout]).toEqual([
        expect.stringMatching(/^(set|Operation not supported)\n$/),
        '[]\n',
      ]);
    }, true));

  it.each([
    '/dev/zero',
    '/dev/random',
    '/dev/tty',
    '/dev/ptmx',
    '/proc/self/fd',
    '/proc/self/pagemap',
    '/proc/kmsg',
    '/proc/kcore',
    '/proc/self/mem',
  ])('a source that never ends, blocks or is no file comes to an end: %s [SECURITY F13]', (source) =>
    withBox(async (box, host) => {
      const target = path.join(host, 'got');
      await box.copyOut(source, target).catch((error: unknown) => expect(error).toMatchObject(FAILED));
      const facts = fs.lstatSync(target, { throwIfNoEntry: false });
      if (facts?.isFile()) expect(facts.size).toBe(0);
      expect(facts === undefined || facts.isFile() || facts.isDirectory() || facts.isSymbolicLink()).toBe(
        true,
      );
    }),
  );

  it('what is larger than the host can hold is an error, and holes stay holes [SECURITY F11]', () =>
    withBox(async (box, host) => {
      await box.run('truncate -s 8G /dev/shm/holes; truncate -s 4000000T /dev/shm/huge; ls -l /dev/shm');
      await box.copyOut('/dev/shm/holes', path.join(host, 'holes'));
      const { size, blocks } = fs.statSync(path.join(host, 'holes'));
      expect([size, blocks]).toEqual([8 * 1024 ** 3, 0]);
      await expect(box.copyOut('/dev/shm/huge', path.join(host, 'huge'))).rejects.toMatchObject(FAILED);
      expect(fs.readdirSync(host)).toEqual(['holes']);
    }));

  it(
    'two copies to one place leave one of the two, whole [SECURITY F17]',
    { timeout: patience(180_000) },
    () =>
      withBox(async (box, host) => {
        for (const name of ['a', 'b']) fs.writeFileSync(path.join(host, name), Buffer.alloc(20 << 20, name));
        for (let round = 0; round < 5; round++) {
          await Promise.all(['a', 'b'].map((name) => box.copyIn(path.join(host, name), '/tmp/both')));
          await Promise.all(
            ['/tmp/both', '/tmp/both'].map((source) => box.copyOut(source, path.join(host, 'back'))),
          );
          const content = fs.readFileSync(path.join(host, 'back'));
          expect(content.length).toBe(20 << 20);
          expect(isOneByte(content)).toBe(true);
        }
        expect(text((await box.run('ls -A /tmp')).stdout)).toBe('both\n');
        expect(fs.readdirSync(host).sort()).toEqual(['a', 'b', 'back']);
      }),
  );

  it.each(['in', 'out'] as const)(
    'a helper that is killed at any moment leaves the old file or the new one, copy %s [SECURITY L08 F19]',
    { timeout: patience(180_000) },
    (direction) =>
      withBox(async (box, host) => {
        const size = 24 << 20;
        const [inner, outer] = ['/tmp/file', path.join(host, 'file')];
        const fresh = path.join(host, 'fresh');
        const ends = { killed: 0, whole: 0 };
        // on a machine that is faster, or slower, than the kill it takes more rounds until some came in time
        const enough = performance.now() + patience(100_000);
        for (let round = 0; round < 12 || (ends.killed <= 2 && performance.now() < enough); round++) {
          fs.writeFileSync(fresh, Buffer.alloc(size, 1 + (round % 255)));
          let copy: Promise<void>;
          if (direction === 'in') copy = box.copyIn(fresh, inner);
          else {
            await box.copyIn(fresh, '/tmp/source');
            copy = box.copyOut('/tmp/source', outer);
          }
          const settled = copy.then(
            () => ends.whole++,
            (error: unknown) => {
              expect(error).toMatchObject(FAILED);
              ends.killed++;
            },
          );
          await until(() => copyHelpers(suite.daemon.place).length > 0 || ends.whole + ends.killed > round);
          await delay(Math.random() * 15);
          const role = round % 2 === 0 ? 'inside' : 'outside';
          for (const pid of copyHelpers(suite.daemon.place, role)) {
            try {
              process.kill(pid, 'SIGKILL');
            } catch {
              // it was faster
            }
          }
          await settled;
          if (direction === 'in') await box.copyOut(inner, outer).catch(() => {});
          const content = fs.existsSync(outer) ? fs.readFileSync(outer) : undefined;
          if (content !== undefined) {
            expect(content.length).toBe(size);
            expect(isOneByte(content)).toBe(true);
          }
        }
        expect(ends.killed, 'no kill came in time: this run proves nothing').toBeGreaterThan(2);
        await until(() => copyHelpers(suite.daemon.place).length === 0);
        // The temporary file of a killed receiver may stay where only the container's user writes. On the host it
        // has no name, but for the moment between linkat(2) and renameat(2) where an old file is replaced.
        const stayed = fs.readdirSync(host).filter((name) => name.includes('.warden-copy.'));
        expect(stayed.length).toBeLessThanOrEqual(1);
        for (const name of stayed) expect(fs.statSync(path.join(host, name)).size).toBe(size);
      }),
  );

  it(
    'a client that goes away in the middle leaves the old file or the new one',
    { timeout: patience(180_000) },
    () =>
      withBox(async (box, host) => {
        const fresh = path.join(host, 'fresh');
        for (let round = 0; round < 8; round++) {
          fs.writeFileSync(fresh, Buffer.alloc(32 << 20, String.fromCharCode(97 + round)));
          const other = await suite.daemon.connect();
          const copy = other.container(box.handle).copyIn(fresh, '/tmp/file');
          copy.catch(() => {});
          await delay(Math.random() * 20);
          await other.close().catch(() => {});
          await until(() => copyHelpers(suite.daemon.place).length === 0);
          await box.copyOut('/tmp/file', path.join(host, 'back')).catch(() => {});
          const content = fs.existsSync(path.join(host, 'back'))
            ? fs.readFileSync(path.join(host, 'back'))
            : undefined;
          expect(content === undefined || isOneByte(content)).toBe(true);
          if (content !== undefined) expect(content.length).toBe(32 << 20);
        }
      }),
  );

  it(
    'an init that does not answer and a container without processes left are errors in time [SECURITY F25]',
    { timeout: patience(180_000) },
    () =>
      withBox(async (box, host) => {
        fs.writeFileSync(path.join(host, 'file'), 'x');
        const id = (await box.info()).containerPath!.split('/').at(-1)!;
        const init = fs.readdirSync('/proc').find((pid) => {
          try {
            return (
              /^\d+$/.test(pid) &&
              fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith(`wshd: ${id}`) &&
              fs.readFileSync(`/proc/${pid}/comm`, 'utf8') === 'wshd\n' // its launcher shares these words until it ends
            );
          } catch {
            return false;
          }
        })!;
        process.kill(Number(init), 'SIGSTOP');
        try {
          await expect(box.copyIn(path.join(host, 'file'), '/tmp/file')).rejects.toMatchObject({
            code: 'TIMEOUT',
          });
        } finally {
          process.kill(Number(init), 'SIGCONT');
        }
        await box.copyIn(path.join(host, 'file'), '/tmp/file');
        const bomb = await box.spawn(perl('while (1) { fork }'));
        const { started } = await startUntilRefused(box);
        await expect(box.copyIn(path.join(host, 'file'), '/tmp/file')).rejects.toMatchObject({
          code: 'POOL_EXHAUSTED',
          fields: { errno: 'EAGAIN', pool: 'processes' },
        });
        await bomb.kill();
        await Promise.all(started.map((job) => job.kill()));
        await until(() =>
          box.copyOut('/tmp/file', path.join(host, 'back')).then(
            () => true,
            () => false,
          ),
        );
      }, true),
  );

  it('a disk that is full on the host is an error, and the old file stays [SECURITY F19]', () =>
    withBox(async (box, host) => {
      const network = suite.daemon.place.network.host;
      await box.run(
        'head -c 3000000 /dev/zero > /tmp/large; mkdir /tmp/many; for i in $(seq 1 200); do : > /tmp/many/$i; done',
      );
      network.run('mount', '-t', 'tmpfs', '-o', 'size=1m,nr_inodes=50', 'none', host);
      try {
        network.run('sh', '-c', `echo old > ${host}/large`);
        for (const source of ['/tmp/large', '/tmp/many']) {
          await expect(box.copyOut(source, `${host}/`)).rejects.toMatchObject({
            ...FAILED,
            fields: { errno: 'ENOSPC' },
          });
        }
        expect(
          network.run('sh', '-c', `cat ${host}/large; ls -A ${host} | grep -c warden-copy || true`),
        ).toBe('old\n0\n');
      } finally {
        network.run('umount', host);
      }
    }));
});

describeWith(['root', 'isolated', 'overlayfs'], 'copies and a disk limit', () => {
  const suite = withDaemon({
    config: { server: { quota: { disk_quota_enabled: true } }, drivers: { quota: 'image' } },
  });

  it('that is reached by a copy in is an error, the old file stays, and the container goes on [SECURITY F20]', async () => {
    const host = path.join(suite.daemon.place.directory, 'quota');
    fs.mkdirSync(host, { recursive: true });
    fs.writeFileSync(path.join(host, 'large'), Buffer.alloc(64 << 20, 'x'));
    fs.writeFileSync(path.join(host, 'small'), 'new');
    await using box = await (await suite.daemon.connect()).create();
    await box.run('echo old > /tmp/large');
    await box.limitDisk({ blockHard: 16n * 1024n });
    await expect(box.copyIn(path.join(host, 'large'), '/tmp/large')).rejects.toMatchObject({
      ...FAILED,
      fields: { errno: expect.stringMatching(/^(ENOSPC|EDQUOT)$/) },
    });
    expect(text((await box.run('cat /tmp/large; ls -A /tmp')).stdout)).toBe('old\nlarge\n');
    await box.copyIn(path.join(host, 'small'), '/tmp/large');
    expect(text((await box.run('cat /tmp/large')).stdout)).toBe('new');
  });
});
