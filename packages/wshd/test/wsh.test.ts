import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { Init } from '@warden/interface';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Depot, start } from './container.ts';
import { obstacle } from './own-namespaces.ts';

const ID = '0000000000l';
const needs = obstacle();

/** Runs argv[1:] on a pty of 33 by 101; prints what it says, and whether the pty's mode is as before. */
const ON_A_TERMINAL = `
import fcntl, os, pty, struct, sys, termios
master, slave = pty.openpty()
fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 33, 101, 0, 0))
before = termios.tcgetattr(slave)
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2): os.dup2(slave, fd)
    os.close(master)
    os.execv(sys.argv[1], sys.argv[1:])
out = b''
resized = typed = False
while True:
    out += os.read(master, 4096)
    if b'resize me' in out and not resized:
        resized = True
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 44, 102, 0, 0))
    if b'type' in out and not typed:
        typed = True
        os.write(master, b'typed\\r')
    done, status = os.waitpid(pid, os.WNOHANG)
    if done or b'kill me' in out: break
    if b'THE END' in out:
        done, status = os.waitpid(pid, 0)
        break
if b'kill me' in out:
    os.kill(pid, 15)
    done, status = os.waitpid(pid, 0)
# it may have ended before what it said was read
os.set_blocking(master, False)
try:
    while True: out += os.read(master, 4096)
except BlockingIOError: pass
print(out.decode(errors='replace'))
print('restored' if termios.tcgetattr(slave) == before else 'left raw')
print('status', status)
`;

describe.skipIf(needs !== undefined)(`wsh${needs === undefined ? '' : ` [needs: ${needs}]`}`, () => {
  let depot: Depot;
  let init: Init;
  let wsh: string;
  beforeAll(async () => {
    depot = new Depot();
    init = await start(await depot.driver(), depot.spec(ID));
    wsh = join(depot.spec(ID).directory, 'bin/wsh');
  });
  afterAll(async () => {
    await init.kill();
    depot.remove();
  });

  function run(
    argv: readonly string[],
    input: string | Buffer = '',
    environment: NodeJS.ProcessEnv = process.env,
  ): { status: number | null; stdout: string; stderr: string } {
    const result = spawnSync(wsh, argv, {
      input,
      encoding: 'latin1',
      timeout: 20_000,
      maxBuffer: 1 << 26,
      cwd: '/',
      env: environment,
    });
    return { status: result.status, stdout: result.stdout, stderr: result.stderr };
  }

  test('finds the socket beside itself and passes input, outputs and status on', () => {
    const argv = [
      '--user',
      'vcap',
      '--env',
      'A=b c',
      '/bin/sh',
      '-c',
      'cat; id -un; echo "$A"; echo oops >&2; exit 42',
    ];
    expect(run(argv, 'piped in\n')).toEqual({
      status: 42,
      stdout: 'piped in\nvcap\nb c\n',
      stderr: 'oops\n',
    });
  });

  test('takes limits and LANG of its environment, else the defaults of jobs [linux-container 11]', () => {
    const show = ['/bin/sh', '-c', 'ulimit -n; ulimit -c; echo "<$LANG>"'];
    expect(run(show, '', {})).toMatchObject({ status: 0, stdout: '1024\n0\n<>\n' });
    expect(run(show, '', { RLIMIT_NOFILE: '77', RLIMIT_CORE: '0 0', LANG: 'de_DE.UTF-8' })).toMatchObject({
      status: 0,
      stdout: '77\n0\n<de_DE.UTF-8>\n',
    });
    expect(run(show, '', { RLIMIT_NPROC: 'many' })).toEqual({
      status: 255,
      stdout: '',
      stderr: 'wsh: RLIMIT_NPROC: Invalid argument\n',
    });
  });

  test('is a remote shell for programs that want one: flags, user, a host that does not matter, the command [linux-container 12 --rsh]', () => {
    expect(
      run([
        '--rsh',
        '-4',
        '-6',
        '-d',
        '-n',
        '-t',
        '9',
        '-l',
        'vcap',
        'any-host',
        '/bin/sh',
        '-c',
        'id -un; exit 4',
      ]),
    ).toMatchObject({ status: 4, stdout: 'vcap\n' });
    expect(run(['--rsh', '-x', 'host', '/bin/true'])).toMatchObject({
      status: 1,
      stderr: `${wsh}: invalid option -- -x\n`,
    });
    expect(run(['--', '/bin/true'])).toMatchObject({ status: 1, stderr: `${wsh}: invalid option -- --\n` });
  });

  test("without a command it is the user's login shell [linux-container 12]", () => {
    expect(run([], 'id -u; exit 6\n')).toMatchObject({ status: 6, stdout: '0\n' });
    expect(run(['--user', 'vcap'], 'id -un\n')).toMatchObject({ status: 0, stdout: 'vcap\n' });
  });

  test('large streams in both directions at once', () => {
    const input = Buffer.alloc(8 << 20, 'abcdefgh\n');
    const { status, stdout } = run(['/bin/cat'], input);
    expect([status, stdout === input.toString('latin1')]).toEqual([0, true]);
  });

  test('a job that does not read its input ends nevertheless', () => {
    expect(run(['/bin/sh', '-c', 'exec 0<&-; exit 3'], Buffer.alloc(1 << 20))).toMatchObject({ status: 3 });
  });

  test('what a short job wrote is never lost', () => {
    for (let round = 0; round < 50; round++)
      expect(run(['/bin/seq', '1', '3000']).stdout.length).toBe(13_893);
  });

  test('255 for a signal, an unknown user and program, and a socket that is not there; 1 for a wrong word', () => {
    expect(run(['/bin/sh', '-c', 'kill -9 $$']).status).toBe(255);
    expect(run(['--user', 'nobody-knows', '/bin/true']).status).toBe(255);
    expect(run(['/no/such/program']).status).toBe(255);
    expect(run(['--socket', '/no/such.sock', '/bin/true'])).toMatchObject({
      status: 255,
      stderr: 'wsh: cannot connect to the container: No such file or directory\n',
    });
    expect(run(['--bogus'])).toMatchObject({ status: 1, stderr: `${wsh}: invalid option -- --bogus\n` });
    expect(run(['--help'])).toMatchObject({ status: 1, stdout: '' });
  });

  function onTerminal(script: string): string {
    const argv = ['-c', ON_A_TERMINAL, wsh, '/bin/sh', '-c', script];
    return spawnSync('python3', argv, { encoding: 'utf8', timeout: 20_000 }).stdout;
  }

  test('a terminal gets a pty of its size, typed bytes, the status, and its mode back', () => {
    const out = onTerminal(
      'stty size; test -t 1 && echo is-a-tty; echo type; read word; echo "<$word>"; echo THE END; exit 5',
    );
    expect(out).toContain('33 101');
    expect(out).toContain('is-a-tty');
    expect(out).toContain('<typed>');
    expect(out).toContain('restored');
    expect(out).toContain(`status ${5 << 8}`);
  });

  test('a resized terminal resizes the pty', () => {
    const script =
      'echo resize me; n=0; until [ "$(stty size)" = "44 102" ] || [ $n = 200 ]; do n=$((n+1)); sleep 0.05; done; stty size; echo THE END';
    expect(onTerminal(script)).toContain('44 102');
  });

  test('a terminated wsh gives the terminal its mode back', () => {
    const out = onTerminal('echo kill me; sleep 60');
    expect(out).toContain('restored');
    expect(out).toContain('status 15');
  });
});
