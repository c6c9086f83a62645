/**
 * No shell, `ip`, `iptables`, `tc`, `mount`, `cp` or `rsync` on a request's path: every execve(2) of daemon
 * and containers is traced.
 */
import fs from 'node:fs';
import path from 'node:path';
import { describeWith, startDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';

describeWith(['root', 'isolated', 'overlayfs', 'strace'], 'programs on the path of a request', () => {
  it('are wshd, and inside the container what the job is', async () => {
    const trace = `/tmp/warden-trace-${process.pid}`;
    const daemon = await startDaemon({
      wrapper: ['strace', '-f', '-qq', '-e', 'trace=execve', '-e', 'signal=none', '-s', '200', '-o', trace],
    });
    try {
      const warden = await daemon.connect();
      await warden.ping();
      await new Promise((resolve) => setTimeout(resolve, 200));
      const before = fs.readFileSync(trace, 'utf8').length;
      const shared = path.join(daemon.place.directory, 'shared');
      fs.mkdirSync(shared);
      const box = await warden.create({ bindMounts: [{ source: shared, target: '/shared', mode: 'rw' }] });
      await box.run('echo $BASHPID');
      const job = await box.spawn('exec /bin/busybox sleep 0.1');
      for await (const _ of job.output);
      const init = fs.readFileSync(path.join((await box.info()).containerPath!, 'bin/wshd'));
      await box.stop();
      await box.destroy();
      const calls = [
        ...fs
          .readFileSync(trace, 'utf8')
          .slice(before)
          .matchAll(/execve\("([^"]+)"/g),
      ].map((match) => match[1]!);
      const programs = [
        ...new Set(
          calls.map((program) => {
            if (!program.startsWith('/')) return path.basename(program);
            // a mount without a place, which the daemon holds: known by what is in it
            if (/^\/proc\/\d+\/fd\//.test(program) && fs.readFileSync(program).equals(init)) return 'wshd';
            return program;
          }),
        ),
      ].sort();
      expect(programs.filter((program) => path.basename(program) === 'wshd')).toHaveLength(1);
      expect(programs.filter((program) => path.basename(program) !== 'wshd')).toEqual([
        '/bin/bash',
        '/bin/busybox',
      ]);
    } finally {
      await daemon.stop();
      await daemon.place.remove();
      fs.rmSync(trace, { force: true });
    }
  });
});
