/** The operator's shell, which works with and without the daemon. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { describeWith, withDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';

describeWith(['root', 'isolated', 'overlayfs', 'python3'], 'wsh', () => {
  const suite = withDaemon();

  it('runs a command, passes its input, outputs and exit status on', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const { containerPath } = await box.info();
    const wsh = path.join(containerPath!, 'bin/wsh');
    const socket = path.join(containerPath!, 'run/wshd.sock');
    const result = spawnSync(
      wsh,
      ['--socket', socket, '--user', 'vcap', '/bin/bash', '-c', 'cat; id -un; echo oops >&2; exit 42'],
      { input: 'piped in\n', encoding: 'utf8', timeout: 10_000 },
    );
    expect(result).toMatchObject({ status: 42, stdout: 'piped in\nvcap\n', stderr: 'oops\n' });
  });

  it('gives a terminal where there is one, with its size', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const { containerPath } = await box.info();
    const script = [
      'import fcntl, os, pty, struct, sys, termios',
      'pid, master = pty.fork()',
      '# before there is anybody who could ask for it, on whichever processor',
      'if pid == 0:',
      '    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))',
      '    os.execv(sys.argv[1], sys.argv[1:])',
      'out = b""',
      'try:',
      '    while True:',
      '        chunk = os.read(master, 4096)',
      '        if not chunk: break',
      '        out += chunk',
      'except OSError: pass',
      '_, status = os.waitpid(pid, 0)',
      'sys.stdout.buffer.write(out)',
      'sys.exit(os.waitstatus_to_exitcode(status))',
    ].join('\n');
    const wsh = path.join(containerPath!, 'bin/wsh');
    const socket = path.join(containerPath!, 'run/wshd.sock');
    const result = spawnSync(
      'python3',
      ['-c', script, wsh, '--socket', socket, '/bin/bash', '-c', 'test -t 0 && stty size; exit 5'],
      { encoding: 'utf8', timeout: 10_000 },
    );
    expect(result.stdout).toContain('33 101');
    expect(result.status).toBe(5);
  });
});
