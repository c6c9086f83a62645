/** `warden` against a real daemon (spec cli.md). */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { describeWith, withDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';

const PROGRAM = path.resolve(import.meta.dirname, '../../../packages/cli/bin/warden.js');

describeWith(['root', 'isolated', 'overlayfs', 'python3'], 'the command line', () => {
  const suite = withDaemon();
  /** Whoever runs the tests has a history of the prompt, which is none of theirs. */
  const ownHome = (): NodeJS.ProcessEnv => ({ ...process.env, HOME: suite.daemon.place.directory });
  const warden = (...args: string[]): { status: number | null; stdout: string; stderr: string } => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [PROGRAM, '--socket', suite.daemon.place.socket, ...args],
      { encoding: 'utf8', timeout: 30_000, env: ownHome() },
    );
    return { status, stdout, stderr };
  };

  it('creates, runs, lists and destroys by one-shot commands [cli 4]', () => {
    const created = warden('create', '--handle', 'by-cli');
    expect(created).toMatchObject({ status: 0, stdout: expect.stringContaining('by-cli') });
    expect(warden('list')).toMatchObject({ status: 0, stdout: expect.stringContaining('by-cli') });
    const ran = warden('run', '--handle', 'by-cli', '--script', 'echo out; echo err >&2; exit 7');
    expect(ran).toMatchObject({
      status: 7,
      stdout: expect.stringContaining('out'),
      stderr: expect.stringContaining('err'),
    });
    expect(warden('info', '--handle', 'by-cli')).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/state\s*: active/),
    });
    expect(warden('destroy', '--handle', 'by-cli')).toMatchObject({ status: 0 });
    expect(warden('info', '--handle', 'by-cli')).toMatchObject({
      status: expect.toSatisfy((status: number) => status > 0),
      stderr: expect.stringContaining('unknown handle'),
    });
  });

  it('answers JSON on request [cli 10 --json]', () => {
    expect(JSON.parse(warden('--json', 'create', '--handle', 'as-json').stdout)).toEqual({
      handle: 'as-json',
    });
    const info = JSON.parse(warden('--json', 'info', '--handle', 'as-json').stdout);
    expect(info).toMatchObject({ state: 'active' });
    expect(warden('destroy', '--handle', 'as-json').status).toBe(0);
  });

  it('drives the prompt from a pipe [cli 2 script]', async () => {
    const child = spawn(process.execPath, [PROGRAM, '--socket', suite.daemon.place.socket], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: ownHome(),
    });
    let output = '';
    child.stdout.on('data', (chunk) => {
      output += chunk;
    });
    child.stdin.end('ping\ncreate --handle prompted\nlist\ndestroy --handle prompted\nlist\n');
    const [status] = await once(child, 'close'); // its output has come to an end, too
    expect(status).toBe(0);
    expect(output).toContain('prompted');
    expect(fs.existsSync(path.join(suite.daemon.place.directory, '.warden-history'))).toBe(false);
  });

  it('writes the answers of real requests in the form of the contract [cli 4, 5]', () => {
    const data = path.join(suite.daemon.place.directory, 'data');
    fs.mkdirSync(data, { recursive: true });
    fs.writeFileSync(path.join(data, 'file'), 'bound\n');
    const mount = (name: string, value: string): string[] => [`--bind_mounts[0].${name}`, value];
    const binds = [...mount('src_path', data), ...mount('dst_path', '/data'), ...mount('mode', 'ro')];
    expect(warden('--', 'create', '--handle', 'forms', '--grace_time', '0x100', ...binds)).toEqual({
      status: 0,
      stdout: 'handle : forms\n',
      stderr: '',
    });
    const handle = ['--handle', 'forms'];
    expect(warden('--', 'list').stdout).toBe('handles[0] : forms\n');
    expect(warden('--', 'ping').stdout).toBe('');
    const script = 'cat /data/file; printf "\\377"; echo no >&2; exit 3';
    const spawned = warden('--', 'spawn', ...handle, '--script', script).stdout;
    expect(spawned).toMatch(/^job_id : [0-9]+\n$/);
    const linked = spawnSync(
      process.execPath,
      [
        PROGRAM,
        '--socket',
        suite.daemon.place.socket,
        '--',
        'link',
        ...handle,
        '--job_id',
        spawned.slice(9).trim(),
      ],
      { encoding: 'latin1', timeout: 30_000 },
    );
    expect(linked.status).toBe(0);
    expect(linked.stdout).toMatch(
      /^exit_status : 3\nstdout : bound\n\xff\nstderr : no\n\ninfo\.state : active\ninfo\.host_ip : [0-9.]+\n/,
    );
    const names = warden('--', 'info', ...handle)
      .stdout.split('\n')
      .map((line) => line.split(' : ')[0]);
    expect(names.slice(0, 5)).toEqual([
      'state',
      'host_ip',
      'container_ip',
      'container_path',
      'memory_stat.cache',
    ]);
    expect(names).toContain('cpu_stat.usage');
    expect(warden('--', 'net_in', ...handle, '--container_port', '8080').stdout).toMatch(
      /^host_port : [0-9]+\ncontainer_port : 8080\n$/,
    );
    expect(warden('--', 'limit_cpu', ...handle, '--limit_in_shares', '5_00').stdout).toBe(
      'limit_in_shares : 500\n',
    );
    expect(warden('--', 'stop', ...handle, '--kill')).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(warden('--', 'info', ...handle).stdout).toMatch(/^state : stopped\n/);
    expect(warden('--', 'destroy', ...handle)).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(warden('--', 'destroy', ...handle)).toMatchObject({ status: 1, stdout: '' });
  });

  it('run shows output while the job runs, and its status; stream does so later [cli 4.1]', async () => {
    expect(warden('create', '--handle', 'live').status).toBe(0);
    const words = ['--', 'run', '--handle', 'live', '--privileged', '--script'];
    const child = spawn(
      process.execPath,
      [
        PROGRAM,
        '--socket',
        suite.daemon.place.socket,
        ...words,
        'id -un; until [ -e /tmp/go ]; do sleep 0.05; done; echo late; exit 9',
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    let output = '';
    const closed = once(child, 'close');
    const first = once(child.stdout, 'data');
    child.stdout.on('data', (chunk) => {
      output += chunk;
    });
    await first;
    expect(output).toBe('root\n');
    expect(warden(...words, 'touch /tmp/go').status).toBe(0);
    expect(await closed).toEqual([9, null]);
    expect(output).toMatch(/^root\nlate\n$/);
    const spawned = warden('--', 'spawn', '--handle', 'live', '--script', 'echo one; exit 4').stdout;
    const id = spawned.slice('job_id : '.length).trim();
    expect(warden('--', 'stream', '--handle', 'live', '--job_id', id)).toEqual({
      status: 4,
      stdout: 'one\n',
      stderr: '',
    });
    expect(warden('--', 'run', '--handle', 'live', '--script', 'kill -9 $$').status).toBe(255);
    expect(warden('destroy', '--handle', 'live').status).toBe(0);
  });

  it('exec ends its job when nobody reads its output any more', async () => {
    await using client = await suite.daemon.connect();
    await using box = await client.create({ handle: 'unread' });
    const job =
      'exec 2>/dev/null; trap "echo ended >/tmp/trap; exit 3" TERM; while :; do echo tick; sleep 0.1; done';
    const line = `"$@" exec unread -- sh -c '${job}' | head -n 1; echo "\${PIPESTATUS[0]}"`;
    const words = ['-c', line, 'bash', process.execPath, PROGRAM, '--socket', suite.daemon.place.socket];
    const { stdout, stderr } = spawnSync('bash', words, { encoding: 'utf8', timeout: 30_000 });
    expect({ stdout, stderr }).toEqual({ stdout: 'tick\n141\n', stderr: '' });
    expect(Buffer.from((await box.run('cat /tmp/trap')).stdout).toString()).toBe('ended\n');
    expect((await box.info()).jobIds).toEqual([]);
  });

  it('exec passes a signal on to its job', async () => {
    await using client = await suite.daemon.connect();
    await using box = await client.create({ handle: 'told' });
    const job = 'trap "echo told; exit 3" INT; echo begun; while :; do sleep 0.1; done';
    const words = ['--socket', suite.daemon.place.socket, 'exec', 'told', '--', 'sh', '-c', job];
    const child = spawn(process.execPath, [PROGRAM, ...words], { stdio: ['ignore', 'pipe', 'inherit'] });
    const closed = once(child, 'close');
    child.stdout.once('data', () => child.kill('SIGINT'));
    expect(await child.stdout.toArray().then(String)).toContain('told\n');
    expect(await closed).toEqual([3, null]);
    expect((await box.info()).jobIds).toEqual([]);
  });

  it('gives a job up after --timeout and leaves it to others [cli 10 --timeout]', async () => {
    await using client = await suite.daemon.connect();
    await using box = await client.create({ handle: 'patience' });
    const { status, stderr } = warden(
      '--timeout',
      '5',
      '--',
      'run',
      '--handle',
      'patience',
      '--script',
      'sleep 1000',
    );
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /^the daemon did not finish its answer within 5 s\nTIMEOUT: what had been started goes on/,
    );
    expect((await box.info()).jobIds).toHaveLength(1);
    await box.stop({ kill: true });
  });

  it('opens a shell over a terminal of its own: size, resize, user, status, and the terminal as it was [cli 10 shell]', () => {
    expect(warden('create', '--handle', 'shell').status).toBe(0);
    const command = `'${process.execPath}' '${PROGRAM}' --socket '${suite.daemon.place.socket}' -- shell --handle shell`;
    const session = (line: string, steps: readonly (readonly [string, string])[]): string => {
      const { stdout, stderr, status } = spawnSync('python3', ['-c', TERMINAL, line, JSON.stringify(steps)], {
        encoding: 'utf8',
        timeout: 60_000,
      });
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      return stdout;
    };
    // The marks are computed by the shell, so that the echo of what is typed does not look like them.
    const output = session(`${command}; echo "status=$?"; stty -a; echo end`, [
      ['$ ', 'echo size $(stty size) user $(id -un) mark$((40 + 2))\n'],
      ['mark42', 'RESIZE'],
      ['', 'until [ "$(stty size)" = "40 132" ]; do :; done; echo mark$((40 + 3))\n'],
      ['mark43', 'exit 7\n'],
      ['end', ''],
    ]);
    expect(output).toContain('size 33 101 user vcap');
    expect(output).toContain('status=7');
    expect(output).toMatch(/ icanon /);
    expect(output).toMatch(/ echo /);
    const privileged = session(`${command} --privileged; echo "status=$?"`, [
      ['# ', 'echo user $(id -un); kill -9 $$\n'],
      ['status=', ''],
    ]);
    expect(privileged).toContain('user root');
    expect(privileged).toContain('status=255');
    expect(warden('destroy', '--handle', 'shell').status).toBe(0);
  });

  it('pipes through a shell where stdin is no terminal [cli 10 shell]', () => {
    expect(warden('create', '--handle', 'piped').status).toBe(0);
    const { status, stdout } = spawnSync(
      process.execPath,
      [PROGRAM, '--socket', suite.daemon.place.socket, '--', 'shell', '--handle', 'piped', '--privileged'],
      { input: 'id -un; exit 6\n', encoding: 'utf8', timeout: 30_000 },
    );
    expect({ status, stdout }).toEqual({ status: 6, stdout: 'root\n' });
    expect(warden('--', 'shell', '--handle', 'absent').stderr).toMatch(/^unknown handle\n/);
    expect(warden('destroy', '--handle', 'piped').status).toBe(0);
  });
});

describeWith(['root', 'isolated', 'overlayfs'], 'the command line of a daemon with disk limits', () => {
  const suite = withDaemon({
    config: { server: { quota: { disk_quota_enabled: true } }, drivers: { quota: 'image' } },
  });
  const warden = (...args: string[]): string =>
    spawnSync(process.execPath, [PROGRAM, '--socket', suite.daemon.place.socket, ...args], {
      encoding: 'utf8',
      timeout: 30_000,
    }).stdout;

  it('inspect tells the limits that are in force, and none that is not', async () => {
    await using client = await suite.daemon.connect();
    await using _box = await client.create({ handle: 'limited' });
    expect(warden('inspect', 'limited')).not.toMatch(/(disk|inode) limit/);
    expect(warden('limit_disk', '--handle', 'limited', '--byte', '16777216')).toMatch(
      /^byte_hard : 16777216$/m,
    );
    warden('limit_cpu', '--handle', 'limited', '--limit_in_shares', '200');
    const told = warden('inspect', 'limited');
    expect(told).toMatch(/^ {2}disk limit +16\.0 MiB$/m);
    expect(told).toMatch(/^ {2}processor shares +200$/m);
  });
});

describeWith(['root', 'isolated'], 'the command line of the insecure backend', () => {
  const suite = withDaemon({ config: { server: { container_klass: 'Warden::Container::Insecure' } } });

  it.each([
    ['--bind', '/etc:/x'],
    ['--rootfs', '/'],
  ])('run %s is refused where it would be passed over, and leaves no container', async (...words) => {
    const { status, stderr } = spawnSync(
      process.execPath,
      [PROGRAM, '--socket', suite.daemon.place.socket, 'run', ...words, '--', 'true'],
      { encoding: 'utf8', timeout: 30_000 },
    );
    expect(status).toBe(125);
    expect(stderr).toMatch(
      /^run: --(bind|rootfs): containers of this daemon have no files of their own\nUNSUPPORTED: run it without --/,
    );
    expect(await (await suite.daemon.connect()).list()).toEqual([]);
  });
});

/** Runs a line in a pseudo-terminal of 33 by 101: waits for each text in what follows the one before, then types. */
const TERMINAL = `
import fcntl, json, os, pty, struct, sys, termios
def size(fd, rows, columns): fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
pid, master = pty.fork()
if pid == 0:
    size(0, 33, 101)
    os.execvp("sh", ["sh", "-c", sys.argv[1]])
seen, at = b"", 0
for wanted, typed in json.loads(sys.argv[2]):
    while seen.find(wanted.encode(), at) < 0:
        seen += os.read(master, 4096)
    at = seen.find(wanted.encode(), at) + len(wanted)
    if typed == "RESIZE": size(master, 40, 132)
    else: os.write(master, typed.encode())
try:
    while True: seen += os.read(master, 4096)
except OSError: pass
os.waitpid(pid, 0)
sys.stdout.buffer.write(seen)
`;
