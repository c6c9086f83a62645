/** A file system of the host that does not answer is the matter of who names it, and of nobody else. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { describeWith, withDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';

/** Mounts FUSE without anybody who would answer, for as long as the shell lives. */
const MOUNT_HUNG =
  'exec 3<>/dev/fuse && mount -i -t fuse hung "$1" -o fd=3,rootmode=40000,user_id=0,group_id=0 && echo ready && exec sleep 600';

describeWith(['root', 'isolated', 'overlayfs', 'fuse'], 'a file system that does not answer', () => {
  const suite = withDaemon();

  it('makes a create fail that names a path in it, while all others are served, and is forgotten when it answers', async () => {
    const { place } = suite.daemon;
    const { host } = place.network;
    const directory = path.join(place.directory, 'hung');
    fs.mkdirSync(directory);
    const [program, ...words] = host.enter(['bash', '-c', MOUNT_HUNG, 'bash', directory]);
    const holder = spawn(program!, words, { stdio: ['ignore', 'pipe', 'inherit'] });
    const client = await suite.daemon.connect();
    // of its own: the creates of one client wait for one another
    const bind = async (source: string) =>
      (await suite.daemon.connect()).create({ bindMounts: [{ source, target: '/bound', mode: 'ro' }] });
    const refused = (creating: Promise<unknown>) =>
      expect(creating).rejects.toMatchObject({ code: 'TIMEOUT', fields: { operation: 'create' } });
    try {
      await once(holder.stdout, 'data');
      let isWaiting = true;
      const answers = [
        ...[1, 2, 3, 4, 5].map((at) => refused(bind(path.join(directory, String(at))))),
        refused(suite.daemon.connect().then((one) => one.create({ rootfs: path.join(directory, 'root') }))),
      ];
      const all = Promise.all(answers).finally(() => {
        isWaiting = false;
      });
      let lives = 0;
      while (isWaiting) {
        await using box = await client.create();
        expect((await box.run('true')).exitStatus).toBe(0);
        await box.copyOut('/etc/passwd', path.join(place.directory, 'copied'));
        lives++;
      }
      await all;
      expect(lives).toBeGreaterThan(2);
    } finally {
      holder.kill('SIGKILL');
      await once(holder, 'exit');
      host.run('umount', directory);
    }
    await using box = await bind(directory);
    expect((await box.run('ls -A /bound')).exitStatus).toBe(0);
  }, 60_000);
});
