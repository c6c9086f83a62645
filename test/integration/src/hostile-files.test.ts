/**
 * Root file systems and files that were made to do harm: a create works or fails with a reason, a destroy
 * removes everything, the host stays as it was.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { copyRootfs, describeWith, remainingLeaks, takeInventory, withDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';

/** What is done to a copy of a good root file system. */
const ROOTS: readonly (readonly [name: string, harm: (root: string, outside: string) => void])[] = [
  [
    '/etc/passwd is a link to the host',
    (root, outside) =>
      replace(root, 'etc/passwd', (file) => fs.symlinkSync(path.join(outside, 'file'), file)),
  ],
  [
    '/etc/passwd is a named pipe',
    (root) => replace(root, 'etc/passwd', (file) => execFileSync('mkfifo', [file])),
  ],
  ['/etc/group is a directory', (root) => replace(root, 'etc/group', (file) => fs.mkdirSync(file))],
  [
    '/etc/passwd is enormous',
    (root) => replace(root, 'etc/passwd', (file) => fs.writeFileSync(file, 'x'.repeat(3_000_000))),
  ],
  [
    '/etc is a link outside',
    (root, outside) => replace(root, 'etc', (file) => fs.symlinkSync(`../../../../../..${outside}`, file)),
  ],
  [
    '/dev is a link outside',
    (root, outside) => replace(root, 'dev', (file) => fs.symlinkSync(outside, file)),
  ],
  ['/proc is a file', (root) => replace(root, 'proc', (file) => fs.writeFileSync(file, ''))],
  [
    '/home is a link outside',
    (root, outside) => replace(root, 'home', (file) => fs.symlinkSync(outside, file)),
  ],
  [
    '/mnt is a link outside',
    (root, outside) => replace(root, 'mnt', (file) => fs.symlinkSync(outside, file)),
  ],
  [
    'the home of vcap is /',
    (root) => fs.appendFileSync(path.join(root, 'etc/passwd'), 'vcap:x:1:1::/:/bin/bash\n'),
  ],
];

function replace(root: string, name: string, make: (file: string) => void): void {
  fs.rmSync(path.join(root, name), { recursive: true, force: true });
  make(path.join(root, name));
}

describeWith(['root', 'isolated', 'overlayfs'], 'hostile files', () => {
  const suite = withDaemon({ config: { network: { release_delay: 0 } } });

  it.each(ROOTS)('%s', async (_name, harm) => {
    const { directory, rootfs } = suite.daemon.place;
    const work = fs.mkdtempSync(path.join(directory, 'hostile-'));
    const [root, outside] = [path.join(work, 'root'), path.join(work, 'outside')];
    copyRootfs(rootfs, root);
    fs.mkdirSync(outside);
    fs.writeFileSync(path.join(outside, 'file'), 'of the host', { mode: 0o600 });
    harm(root, outside);
    const before = takeInventory(suite.daemon.place, suite.daemon.pid);
    const warden = await suite.daemon.connect();
    try {
      await using box = await warden.create({ rootfs: root });
      await box.run('echo alive; touch $HOME/mine; ls / > /dev/null');
    } catch (error) {
      expect(error).toMatchObject({
        code: expect.stringMatching(/^(NATIVE_FAILED|INVALID_SPEC)$/),
        fields: { object: expect.stringMatching(/./) },
      });
    }
    await warden.close();
    expect(await remainingLeaks(suite.daemon.place, before, { daemonPid: suite.daemon.pid })).toEqual([]);
    expect(fs.readdirSync(outside)).toEqual(['file']);
    const { mode, uid } = fs.statSync(path.join(outside, 'file'));
    expect([fs.readFileSync(path.join(outside, 'file'), 'utf8'), mode & 0o777, uid]).toEqual([
      'of the host',
      0o600,
      0,
    ]);
    fs.rmSync(work, { recursive: true, force: true });
  });

  it("keeps a container's set-user-id programs from the host's users, where the depot lets them through to the job sockets", async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    await box.run('cp /bin/busybox /id; chmod 6755 /id; /id', { privileged: true, check: true });
    const { containerPath } = await box.info();
    for (let at = containerPath!; at !== '/tmp'; at = path.dirname(at))
      if (at !== containerPath) fs.chmodSync(at, 0o711); // docs/from-warden.md
    const asNobody = { uid: 65_534, gid: 65_534, encoding: 'utf8' } as const;
    expect(spawnSync('stat', [path.join(containerPath!, 'jobs')], asNobody).status).toBe(0);
    const program = path.join(containerPath!, 'tmp/rootfs/id');
    expect(fs.statSync(program).mode & 0o7777).toBe(0o6755);
    expect(spawnSync(program, { ...asNobody, argv0: 'id' })).toMatchObject({ error: { code: 'EACCES' } });
  });

  it('removes what a privileged job made to stay: odd names, depth, closed and immutable directories', async () => {
    const warden = await suite.daemon.connect();
    const box = await warden.create();
    const { containerPath } = await box.info();
    const { exitStatus } = await box.run(
      [
        'cd /var && mkdir harm && cd harm',
        "touch $'\\xff\\xfe' $'new\\nline' ' ' -- -rf",
        'mkdir closed && touch closed/file && chmod 0 closed',
        'ln -s / everything; mkfifo pipe',
        'd=x; for i in $(seq 1 600); do mkdir $d && cd $d || break; done',
        'chattr +i /var/harm/closed 2>/dev/null; true',
      ].join('\n'),
      { privileged: true },
    );
    expect(exitStatus).toBe(0);
    await box.destroy();
    expect(fs.existsSync(containerPath!)).toBe(false);
  });

  it('survives a privileged job that takes its surroundings apart', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    await box.run(
      'umount /proc /dev/pts /dev/shm; mount -t tmpfs none /dev; rm -rf /bin /etc; kill -STOP 1; kill -9 1',
      { privileged: true, timeoutMs: 5_000 },
    );
    const info = await box.info();
    expect(info.state).toBe('active');
    await expect(box.run('true').then(({ exitStatus }) => exitStatus)).resolves.toBe(255); // /bin/bash is gone
  });
});
