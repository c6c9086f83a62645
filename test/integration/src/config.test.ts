/**
 * The configuration with the real daemon: the sample of the original, start-up in order, and what a start is
 * refused for.
 */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {
  DEFAULT_ROOTFS,
  describeWith,
  makePlace,
  remainingLeaks,
  startDaemon,
  type TestDaemon,
  type TestPlace,
  takeInventory,
  WARDEND,
} from '@warden/test-harness';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { text } from './text.ts';
import { until } from './until.ts';

/** Prints the datagrams that come to a socket, one a line. */
const RECEIVER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
while True: print(s.recv(1 << 20).decode(), flush=True)
`;
const SAMPLE = path.resolve(import.meta.dirname, '../../../packages/daemon/test/original-sample.yml');

describeWith(['root', 'isolated', 'overlayfs'], 'the sample configuration of the original', () => {
  let place: TestPlace;
  let daemon: TestDaemon;
  let before: ReturnType<typeof takeInventory>;
  beforeAll(async () => {
    const made = await makePlace();
    // its paths are below /tmp: the daemon's own mount namespace gets one to itself
    const tmp = path.join(made.directory, 't');
    fs.mkdirSync(path.join(tmp, 'warden/rootfs'), { recursive: true });
    made.network.host.run('mount', '--bind', DEFAULT_ROOTFS, path.join(tmp, 'warden/rootfs'));
    made.network.host.run('mount', '--rbind', tmp, '/tmp');
    // only the name is changed, so that the groups of other daemons on this machine stay apart
    fs.writeFileSync(
      path.join(tmp, 'wardend.yml'),
      `${fs.readFileSync(SAMPLE, 'utf8')}\ndrivers: {name: ${made.name}}\ncompat: {cgroup_view: ~}\n`,
    );
    place = {
      ...made,
      socket: path.join(tmp, 'warden.sock'),
      depot: path.join(tmp, 'warden/containers'),
    };
    before = takeInventory(place);
    daemon = await startDaemon({ place, file: '/tmp/wardend.yml' });
  });
  afterAll(async () => {
    try {
      await daemon?.stop();
      expect((await remainingLeaks(place, before)).filter((line) => !line.includes('wardend'))).toEqual([]);
    } finally {
      await daemon?.kill();
      await place?.remove();
    }
  });

  it('starts, with a socket that everybody may use and its depot made with parents [config 4]', () => {
    expect(fs.statSync(place.socket).mode & 0o777).toBe(0o777);
    expect(fs.statSync(place.depot).isDirectory()).toBe(true);
  });

  it('gives jobs its process limits [config 4 container_rlimits]', async () => {
    await using box = await (await daemon.connect()).create();
    const { stdout } = await box.run('ulimit -v; ulimit -n; ulimit -u; ulimit -Hn');
    expect(text(stdout)).toBe('4194304\n8192\n512\n8192\n');
  });

  it('takes networks from 256 blocks and users from 256 uids [config 4 network]', async () => {
    const warden = await daemon.connect();
    await using last = await warden.create({ network: '10.254.3.252' });
    expect((await last.info()).containerIp).toBe('10.254.3.254');
    await expect(warden.create({ network: '10.254.4.0' })).rejects.toThrow(
      'Could not acquire network: 10.254.4.0',
    );
    expect(Number(text((await last.run('id -u')).stdout))).toBeGreaterThanOrEqual(10_000);
    expect(Number(text((await last.run('id -u')).stdout))).toBeLessThan(10_256);
  });

  it('answers health checks on port 2345 [config 4 health_check_server]', () => {
    const ask = 'exec 3<>/dev/tcp/127.0.0.1/2345 && echo GET >&3 && cat <&3';
    expect(place.network.host.run('bash', '-c', ask)).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  });

  it('has limits of disks [config 4 quota]', async () => {
    await using box = await (await daemon.connect()).create();
    expect(await box.limitDisk({ blockHard: 20_000n })).toMatchObject({ blockHard: 20_000n });
  });

  it('logs its configuration once at info, and whole requests at debug2 [config 2 logging]', async () => {
    await using box = await (await daemon.connect()).create();
    await box.run('echo "a word in the script"');
    const lines = logLines(place);
    const configurations = lines.filter(({ message }) => message === 'configuration');
    expect(configurations).toEqual([expect.objectContaining({ log_level: 'info' })]);
    expect(configurations[0]).toMatchObject({
      data: { configuration: { user: { pool_start_uid: 10_000, pool_size: 256 } } },
    });
    const run = lines.filter((line) => JSON.stringify(line.data).includes('a word in the script'));
    expect(run.map(({ message, log_level }) => `${message} ${log_level}`)).toEqual([
      'request debug2',
      'answer debug2',
    ]);
  });
});

describeWith(['root', 'isolated', 'overlayfs', 'python3'], 'the start of a daemon', () => {
  let place: TestPlace;
  beforeAll(async () => {
    place = await makePlace();
  });
  afterAll(() => place.remove());

  /** Runs a daemon that ends by itself; answers its status and what it complained about. */
  const refused = (
    sections: Record<string, Record<string, unknown>>,
    asUser: readonly string[] = [],
  ): { status: number; stderr: string } => {
    const file = path.join(place.directory, 'refused.yml');
    fs.writeFileSync(file, JSON.stringify(configOf(place, sections)));
    fs.chmodSync(place.directory, 0o755);
    const { status, stderr } = place.network.host.try([
      ...asUser,
      process.execPath,
      WARDEND,
      '--config',
      file,
    ]);
    expect(fs.existsSync(place.socket)).toBe(false);
    return { status, stderr };
  };

  it('needs root for Linux containers [behaviour 2 step 4]', () => {
    const unprivileged = ['setpriv', '--reuid=54321', '--regid=54321', '--clear-groups', '--'];
    const { status, stderr } = refused({}, unprivileged);
    expect([status, stderr]).toEqual([
      1,
      'wardend: linux containers require root privileges (UNSUPPORTED)\n',
    ]);
  });

  it('names a root file system that is not there [behaviour 2 step 4]', () => {
    const { status, stderr } = refused({ server: { container_rootfs_path: '/nonexistent/rootfs' } });
    expect([status, stderr]).toEqual([
      1,
      'wardend: container_rootfs_path does not exist /nonexistent/rootfs (INVALID_SPEC)\n',
    ]);
  });

  it('names a depot that cannot be made [behaviour 2 step 4]', () => {
    const { status, stderr } = refused({ server: { container_depot_path: '/proc/depot/below' } });
    expect([status, stderr]).toEqual([
      1,
      expect.stringMatching(
        /^wardend: container_depot_path does not exist \/proc\/depot\/below, and it cannot be made \(ENOENT\)/,
      ),
    ]);
  });

  it('makes the depot with its parents [config 2 container_depot_path]', async () => {
    const depot = path.join(place.directory, 'a/b/depot');
    const daemon = await startDaemon({
      place: { ...place, depot },
      config: { server: { container_depot_path: depot } },
    });
    expect(fs.statSync(depot).mode & 0o777).toBe(0o700);
    await daemon.stop();
  });

  it('makes the root file system that no other one is configured for', async () => {
    // an empty /var/lib of its own, so that it finds none of another daemon's
    const wrapper = ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs none /var/lib && exec "$@"', 'sh'];
    const daemon = await startDaemon({
      place,
      config: { server: { container_rootfs_path: undefined } },
      wrapper,
    });
    try {
      await using box = await (await daemon.connect()).create();
      expect(text((await box.run('echo from "$BASH"')).stdout)).toBe('from /bin/bash\n');
      expect(fs.readdirSync(`/proc/${daemon.pid}/root/var/lib/warden`)).toEqual(['rootfs']);
    } finally {
      await daemon.stop();
    }
  });

  it('names the backends it has when another one is configured [config 2 container_klass]', () => {
    const { status, stderr } = refused({ server: { container_klass: 'Warden::Container::Jail' } });
    expect(status).toBe(2);
    expect(stderr).toContain(
      'server.container_klass: expected one of Warden::Container::Linux, Warden::Container::Insecure, found "Warden::Container::Jail"',
    );
  });

  it.each([
    [{ network: { pool_network: '10.254.0.0' } }, 2, 'Invalid address/netmask (require: 1.2.3.4/5)'],
    [{ network: { pool_network: '10.254.0.256/24' } }, 2, 'invalid address'],
    [
      { port: { pool_size: 999 } },
      2,
      'Insufficient non-ephemeral ports available (expected >= 1000, got: 999)',
    ],
    [{ user: { pool_start_uid: 1 } }, 1, 'UID in user pool overlaps with user in /etc/passwd'],
  ])('is refused for the pools of %j [behaviour 13]', (sections, status, message) => {
    const result = refused(sections);
    expect(result.status).toBe(status);
    expect(result.stderr).toContain(message);
  });

  it('checks pools before it asks for root [behaviour 2 step 1]', () => {
    const unprivileged = ['setpriv', '--reuid=54321', '--regid=54321', '--clear-groups', '--'];
    expect(refused({ port: { pool_size: 999 } }, unprivileged).stderr).toContain(
      'Insufficient non-ephemeral ports',
    );
  });

  it('checks a file without starting, and prints what is effective [--check-config]', () => {
    const file = path.join(place.directory, 'checked.yml');
    fs.writeFileSync(
      file,
      'server: {unix_domain_permissions: 0700, container_rlimits: {as: 18446744073709551615}}\n',
    );
    const check = (): { status: number; stdout: string; stderr: string } =>
      place.network.host.try([process.execPath, WARDEND, '--check-config', '--config', file]);
    const good = check();
    expect(good.status).toBe(0);
    expect(JSON.parse(good.stdout)).toMatchObject({
      server: { unix_domain_permissions: 0o700, container_rlimits: { as: '18446744073709551615' } },
      user: { pool_size: 256 },
    });
    fs.writeFileSync(file, 'server: {unix_domain_permissions: rwx}\nuser: {pool_size: 0}\n');
    const bad = check();
    expect([bad.status, bad.stdout]).toEqual([2, '']);
    expect(bad.stderr).toContain(
      'server.unix_domain_permissions: expected a mode from 0 to 0777, found "rwx"',
    );
    expect(bad.stderr).toContain('user.pool_size: expected an integer from 1 to');
  });

  it('warns of what it does not know, and goes on [config 1 unknown sections and keys]', async () => {
    const daemon = await startDaemon({
      place,
      config: {
        network: { deny_network: ['10.0.0.0/8'] },
        extra: {},
        server: { container_rlimits: { files: 1 } },
      },
    });
    const warnings = logLines(place).filter(({ log_level }) => log_level === 'warn');
    expect(
      warnings.filter(({ message }) => message === 'unknown-configuration-key').map(({ data }) => data),
    ).toEqual([{ key: 'extra' }, { key: 'network.deny_network' }]);
    expect(warnings).toContainEqual(
      expect.objectContaining({
        message: 'configuration-warning',
        data: { text: expect.stringContaining('server.container_rlimits.files has no effect') },
      }),
    );
    await daemon.stop();
  });

  it('raises the limit of open files as far as it may, and never fails [behaviour 2 step 2]', async () => {
    const daemon = await startDaemon({ place, wrapper: ['prlimit', '--nofile=1000:2000', '--'] });
    const limits = fs.readFileSync(`/proc/${daemon.pid}/limits`, 'utf8');
    await daemon.stop();
    const [, soft, hard] = /^Max open files +(\d+) +(\d+)/m.exec(limits)!;
    // without the capability a low hard limit stays, and is said; with it, it is raised
    const warning = logLines(place).findLast(({ message }) => message === 'open-file-limit');
    expect([soft, hard, warning?.data.limit]).toEqual(
      warning ? ['2000', '2000', 2_000] : ['32768', '32768', undefined],
    );
  });

  it('writes the log to its file and to syslog [config 2 logging.file, logging.syslog]', async () => {
    const file = path.join(place.directory, 'own.log');
    const socket = path.join(place.directory, 'syslog.sock');
    const received = path.join(place.directory, 'received');
    fs.writeFileSync(file, '{"earlier":true}\n');
    const output = fs.openSync(received, 'w');
    const receiver = spawn('python3', ['-c', RECEIVER, socket], { stdio: ['ignore', output, 'ignore'] });
    try {
      await until(() => fs.existsSync(socket));
      const size = fs.statSync(place.log).size;
      const daemon = await startDaemon({
        place,
        config: { logging: { level: 'info', file, syslog: 'my warden' }, server: { syslog_socket: socket } },
      });
      await daemon.stop();
      const written = fs.readFileSync(file, 'utf8').trim().split('\n');
      expect(written[0]).toBe('{"earlier":true}');
      const last = written.at(-1)!;
      expect(JSON.parse(last)).toMatchObject({ message: 'ended', log_level: 'info' });
      await until(() => fs.readFileSync(received, 'utf8').includes(last));
      expect(fs.readFileSync(received, 'utf8')).toMatch(
        /^<14>[A-Z][a-z]{2} [ \d]\d [\d:]{8} my_warden: \{"timestamp"/m,
      );
      expect(fs.statSync(place.log).size, 'nothing on standard output').toBe(size);
    } finally {
      receiver.kill('SIGKILL');
      fs.closeSync(output);
    }
  });

  it('logs requests and answers at debug, without scripts and what they print [config 2 logging]', async () => {
    const size = fs.statSync(place.log).size;
    const daemon = await startDaemon({ place });
    const warden = await daemon.connect();
    const box = await warden.create({ handle: 'logged' });
    await box.run('secret=hidden; echo printed');
    await (await box.spawn('secret=hidden; echo printed')).result();
    await daemon.stop();
    const log = fs.readFileSync(place.log, 'utf8').slice(size);
    expect(log).not.toMatch(/hidden|printed/);
    const lines = logLines(place).filter(({ source }) => source === 'server');
    expect(lines).toContainEqual(
      expect.objectContaining({
        message: 'request',
        log_level: 'debug',
        data: {
          request_id: expect.stringMatching(/^c\d+\.\d+$/),
          request: 'Create',
          payload: expect.objectContaining({ handle: 'logged' }),
        },
      }),
    );
    expect(lines).toContainEqual(
      expect.objectContaining({
        message: 'answer',
        log_level: 'debug',
        data: expect.objectContaining({ request: 'Create', payload: { handle: 'logged' } }),
      }),
    );
  });
});

function configOf(
  place: TestPlace,
  sections: Record<string, Record<string, unknown>>,
): Record<string, Record<string, unknown>> {
  return {
    ...sections,
    server: {
      unix_domain_path: place.socket,
      container_depot_path: path.join(place.directory, 'refused-depot'),
      container_rootfs_path: place.rootfs,
      ...sections.server,
    },
    health_check_server: { port: null },
    drivers: { name: place.name },
    compat: { cgroup_view: null },
  };
}

interface LogLine {
  readonly message: string;
  readonly log_level: string;
  readonly source: string;
  readonly data: Readonly<Record<string, unknown>>;
}

function logLines(place: TestPlace): LogLine[] {
  return fs
    .readFileSync(place.log, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as LogLine);
}
