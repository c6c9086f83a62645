/** Who may be a client: the mode of the socket from its birth on, and the users the configuration names. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { describeWith, startDaemon, type TestDaemon, withDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';

/** One ping by a process of that user; answers what the daemon said, or why nothing was said. */
function pingAs(uid: number, daemon: TestDaemon): string {
  const program = `
import socket, sys
s = socket.socket(socket.AF_UNIX); s.settimeout(20)
try: s.connect(sys.argv[1]); s.sendall(b'4\\r\\n\\x08\\x5b\\x12\\x00\\r\\n'); print(s.recv(4096))
except OSError as error: print(error.strerror)
`;
  const { socket, directory } = daemon.place;
  fs.chmodSync(directory, 0o755);
  const words = [
    `--reuid=${uid}`,
    `--regid=${uid}`,
    '--clear-groups',
    '--',
    'python3',
    '-c',
    program,
    socket,
  ];
  const { stdout, stderr } = spawnSync('setpriv', words, {
    encoding: 'utf8',
    timeout: 60_000,
    // a python3 in root's home is nobody else's
    env: { ...process.env, PATH: `/usr/bin:/bin:${process.env.PATH}` },
  });
  return `${stdout}${stderr}`.trim();
}

const PONG = "b'4\\r\\n\\x08[\\x12\\x00\\r\\n'";

describeWith(['root', 'isolated', 'overlayfs', 'python3'], 'clients of other users', () => {
  const suite = withDaemon({ config: { server: { allowed_uids: [7001], unix_domain_permissions: 0o666 } } });

  it('are served when the configuration names them, else told why not [SECURITY P27]', async () => {
    expect(pingAs(7001, suite.daemon)).toBe(PONG);
    expect(pingAs(0, suite.daemon)).toBe(PONG);
    const refusal = pingAs(7002, suite.daemon);
    expect(refusal).toContain('this client is not admitted: uid 7002 is not among server.allowed_uids');
    expect(refusal).toContain('FORBIDDEN');
    expect(suite.daemon.readLog()).toMatch(/"message":"connection-refused".*uid 7002/);
    await (await suite.daemon.connect()).ping();
  });
});

describeWith(['root', 'isolated', 'overlayfs', 'python3'], 'the socket of a daemon', () => {
  it.each([
    [0o600, 'Permission denied'],
    [0o666, PONG],
  ])(
    'with mode %s lets other users in or not, and is closed to them at every moment of the start [SECURITY P27]',
    async (mode, said) => {
      const daemon = await startDaemon({ config: { server: { unix_domain_permissions: mode } } });
      try {
        expect(fs.lstatSync(daemon.place.socket).mode & 0o777).toBe(mode);
        expect(pingAs(7003, daemon)).toBe(said);
        expect(
          fs.readdirSync(path.dirname(daemon.place.socket)).filter((name) => name.startsWith('.w')),
        ).toEqual([]);
      } finally {
        await daemon.stop();
        await daemon.kill();
        await daemon.place.remove();
      }
    },
  );
});
