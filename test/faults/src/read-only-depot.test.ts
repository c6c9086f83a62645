/**
 * The depot's file system becomes read-only while the daemon lives, as ext4 makes itself after an error: jobs
 * end for those who wait, nothing hangs, and what can be taken away without the disk is.
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { constants } from 'node:os';
import path from 'node:path';
import {
  cgroupParents,
  describeWith,
  makePlace,
  processesOf,
  startDaemon,
  type TestDaemon,
} from '@warden/test-harness';
import { expect, it } from 'vitest';

const BYTES = 64 << 20;

describeWith(['root', 'isolated', 'overlayfs'], 'a depot that becomes read-only', () => {
  it('lets a job with sockets end and be linked, and the container be stopped and taken apart', async () => {
    const directory = fs.mkdtempSync('/tmp/warden-read-only-');
    const [image, mount] = [path.join(directory, 'image'), path.join(directory, 'mount')];
    fs.mkdirSync(mount);
    fs.writeFileSync(image, '');
    fs.truncateSync(image, BYTES);
    execFileSync('mkfs.ext4', ['-q', image]);
    execFileSync('mount', ['-o', 'loop', image, mount]);
    const place = { ...(await makePlace()), depot: path.join(mount, 'depot') };
    let daemon: TestDaemon | undefined;
    try {
      fs.mkdirSync(place.depot, { mode: 0o700 });
      daemon = await startDaemon({ place });
      const warden = await daemon.connect();
      const box = await warden.create();
      const job = await box.spawn('trap "echo late; exit 3" USR1; echo ready; while :; do sleep 0.05; done');
      for await (const _ of job.output) break;
      const deaf = await box.spawn('sleep 600');
      execFileSync('mount', ['-o', 'remount,abort', mount]);
      expect(() => fs.writeFileSync(path.join(mount, 'file'), '')).toThrow(/EROFS/);
      await job.kill({ signal: constants.signals.SIGUSR1 });
      const { exitStatus, stdoutText } = await job.link();
      expect([exitStatus, stdoutText]).toEqual([3, 'ready\nlate\n']);
      const waiting = deaf.link();
      await expect(box.stop({ kill: true })).rejects.toThrow(/EROFS/);
      expect((await waiting).exitStatus).toBe(255);
      expect((await box.info()).state).toBe('stopped');
      await expect(box.destroy()).rejects.toThrow(/EROFS/);
      expect(processesOf(place).filter((pid) => Number(pid) !== daemon!.pid)).toEqual([]);
    } finally {
      await daemon?.kill('SIGTERM');
      // on cgroup v1 a place empties them first, and for pages that it cannot write the kernel takes long for that
      for (const parent of cgroupParents(place.name)) {
        for (const entry of fs.readdirSync(parent, { withFileTypes: true }))
          if (entry.isDirectory()) fs.rmdirSync(path.join(parent, entry.name));
        fs.rmdirSync(parent);
      }
      await place.remove();
      execFileSync('umount', [mount]);
      fs.rmSync(directory, { recursive: true });
    }
  }, 60_000);
});
