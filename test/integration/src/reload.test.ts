/** SIGHUP: what can change of the settings changes, what cannot is told, and a file that is wrong changes nothing. */
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import {
  describeWith,
  makePlace,
  OUTSIDE_ADDRESS,
  remainingLeaks,
  startDaemon,
  type TestDaemon,
  type TestPlace,
  takeInventory,
} from '@warden/test-harness';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { text } from './text.ts';
import { until } from './until.ts';

type Sections = Record<string, Record<string, unknown>>;

interface Line {
  readonly message: string;
  readonly log_level: string;
  readonly source: string;
  readonly data: {
    readonly request_id?: string;
    readonly changed?: readonly { key: string }[];
    readonly needsRestart?: readonly { key: string }[];
    readonly error?: { readonly message: string };
  };
}

describeWith(['root', 'isolated', 'overlayfs', 'python3'], 'a daemon that gets SIGHUP', () => {
  let place: TestPlace;
  let daemon: TestDaemon;
  let before: ReturnType<typeof takeInventory>;
  let file: string;
  let log: string;
  const base = (): Sections => ({
    logging: { level: 'info', file: log },
    network: { pool_network: '10.254.0.0/28', release_delay: 0 },
    user: { pool_size: 8 },
    drivers: { inbound: 'routed' }, // where nothing else keeps containers from each other
    server: { container_grace_time: 300 },
  });
  beforeAll(async () => {
    place = await makePlace();
    before = takeInventory(place);
    log = path.join(place.directory, 'daemon.log');
    file = path.join(place.directory, 'wardend.yml');
    daemon = await startDaemon({ place, config: base() });
  });
  afterAll(async () => {
    try {
      await daemon.stop();
      expect(await remainingLeaks(place, before)).toEqual([]);
    } finally {
      await daemon.kill();
      await place.remove();
    }
  });

  const linesIn = (name: string): Line[] =>
    fs.existsSync(name)
      ? fs
          .readFileSync(name, 'utf8')
          .split('\n')
          .slice(0, -1)
          .map((line) => JSON.parse(line) as Line)
      : [];

  /** Writes these sections over the file's, sends SIGHUP, and answers the line that tells what came of it. */
  const reload = async (over: Sections | string, told = log): Promise<Line> => {
    const outcome = (): Line[] =>
      linesIn(told).filter(({ message }) => message === 'reloaded' || message === 'reload-failed');
    const earlier = outcome().length;
    if (typeof over === 'string') fs.writeFileSync(file, over);
    else {
      const all = configuration();
      for (const [section, keys] of Object.entries(over)) all[section] = { ...all[section], ...keys };
      fs.writeFileSync(file, JSON.stringify(all));
    }
    process.kill(daemon.pid, 'SIGHUP');
    await until(() => outcome().length > earlier);
    return outcome().at(-1)!;
  };
  let good: string;
  const configuration = (): Sections => {
    good ??= fs.readFileSync(file, 'utf8');
    return JSON.parse(good) as Sections;
  };
  const changedIn = ({ data }: Line): string[] => (data.changed ?? []).map(({ key }) => key);

  it('changes the level of the log, in every part of the daemon [operations SIGHUP]', async () => {
    const warden = await daemon.connect();
    await warden.ping();
    expect(linesIn(log).some(({ message }) => message === 'request')).toBe(false);
    expect(changedIn(await reload({ logging: { level: 'debug' } }))).toEqual(['logging.level']);
    const box = await warden.create();
    await box.destroy();
    const create = linesIn(log).find(
      ({ message, data }) => message === 'request' && JSON.stringify(data).includes('Create'),
    );
    // the id of the request is in the lines of the parts that know nothing of requests
    expect(create?.data.request_id).toMatch(/^c\d+\.\d+$/);
    const sources = linesIn(log)
      .filter(({ data }) => data.request_id === create!.data.request_id)
      .map(({ source }) => source.split('.')[0]);
    expect([...new Set(sources)]).toEqual(expect.arrayContaining(['server', 'network']));
    expect(changedIn(await reload({}))).toEqual(['logging.level']);
    const asked = linesIn(log).length;
    await warden.ping();
    await warden.ping();
    expect(linesIn(log).slice(asked)).toEqual([]);
  });

  it('opens its log again, so that others can move it away [operations SIGHUP]', async () => {
    fs.renameSync(log, `${log}.1`);
    await reload({});
    expect(linesIn(log).map(({ message }) => message)).toContain('reloaded');
    const other = path.join(place.directory, 'other.log');
    expect(changedIn(await reload({ logging: { file: other } }, other))).toEqual(['logging.file']);
    expect(changedIn(await reload({}))).toEqual(['logging.file']);
  });

  it('changes what it is told to although the host has other ports for its own connections by now [operations SIGHUP]', async () => {
    const range = '/proc/sys/net/ipv4/ip_local_port_range';
    const before = place.network.host.run('cat', range).trim();
    place.network.host.run('sh', '-c', `echo 32768 62000 > ${range}`);
    try {
      expect(changedIn(await reload({ server: { container_grace_time: 299 } }))).toEqual([
        'server.container_grace_time',
      ]);
    } finally {
      place.network.host.run('sh', '-c', `echo ${before} > ${range}`);
    }
    expect(changedIn(await reload({}))).toEqual(['server.container_grace_time']);
  });

  it('is told of SIGUSR1, and opens no debugger at it, as Node does where nobody listens [operations SIGHUP]', async () => {
    process.kill(daemon.pid, 'SIGUSR1');
    const ignored = (): Line | undefined => linesIn(log).find(({ message }) => message === 'signal-ignored');
    await until(() => ignored() !== undefined);
    expect(ignored()).toMatchObject({ log_level: 'warn', data: { signal: 'SIGUSR1' } });
    await (await daemon.connect()).ping();
    expect(daemon.readLog()).not.toContain('Debugger listening');
  });

  it('lets containers reach what is allowed now, those that live as well, and no more what is not [operations SIGHUP]', async () => {
    const warden = await daemon.connect();
    await using box = await warden.create();
    const server = place.network.outside.enter(['python3', '-c', LISTENER, OUTSIDE_ADDRESS]);
    const { spawn } = await import('node:child_process');
    const child = spawn(server[0]!, server.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      await new Promise((resolve) => child.stdout.once('data', resolve));
      const reach = async (): Promise<number> =>
        (await box.run(`timeout 5 bash -c 'exec 3<>/dev/tcp/${OUTSIDE_ADDRESS}/7000' 2>/dev/null`))
          .exitStatus;
      expect(await reach()).not.toBe(0);
      const allowed = await reload({ network: { allow_networks: [`${OUTSIDE_ADDRESS}/32`] } });
      expect(changedIn(allowed)).toEqual(['network.allow_networks']);
      expect(await reach()).toBe(0);
      await reload({});
      expect(await reach()).not.toBe(0);
    } finally {
      child.kill('SIGKILL');
    }
  });

  it('gives new containers and jobs what is set now [operations SIGHUP]', async () => {
    const warden = await daemon.connect();
    const changed = await reload({
      server: { container_rlimits: { nofile: 77 }, container_grace_time: 0 },
      network: { dns_servers: ['192.0.2.53'] },
    });
    expect(changedIn(changed).sort()).toEqual([
      'network.dns_servers',
      'server.container_grace_time',
      'server.container_rlimits',
    ]);
    const box = await warden.create();
    expect(text((await box.run('ulimit -n; cat /etc/resolv.conf')).stdout)).toBe(
      '77\nnameserver 192.0.2.53\n',
    );
    const directory = (await box.info()).containerPath!;
    await warden.close();
    await until(() => !fs.existsSync(directory)); // no grace time
    await reload({});
  });

  it('has larger pools, and does not let a container reach a network that came in [operations SIGHUP]', async () => {
    const warden = await daemon.connect();
    const boxes = [];
    for (let at = 0; at < 4; at++) boxes.push(await warden.create());
    // "everything" leaves out the pool as it is, and must leave it out as it will be
    await boxes[0]!.netOut({ network: '10.0.0.0/8' });
    await expect(warden.create()).rejects.toThrow('Could not acquire network');
    const grown = await reload({ network: { pool_network: '10.254.0.0/27' }, user: { pool_size: 16 } });
    expect(changedIn(grown)).toEqual(['network.pool_network', 'user.pool_size']);
    const fifth = await warden.create();
    boxes.push(fifth);
    const { containerIp } = await fifth.info();
    expect(containerIp).toBe('10.254.0.18');
    const job = await fifth.spawn('while true; do busybox nc -l -p 7001 < /dev/null; done');
    const connecting = `timeout 3 bash -c 'exec 3<>/dev/tcp/${containerIp}/7001' 2>/dev/null`;
    await until(() => place.network.host.try(['bash', '-c', connecting]).status === 0);
    const { exitStatus } = await boxes[0]!.run(connecting);
    expect(exitStatus).not.toBe(0);
    await job.kill();
    await Promise.all(boxes.map((box) => box.destroy()));
    good = fs.readFileSync(file, 'utf8'); // nothing makes a pool smaller again
  });

  it('does not take anything away from a pool: then nothing changes at all [operations SIGHUP]', async () => {
    const refused = await reload({
      network: { pool_network: '10.254.0.0/29', allow_networks: ['192.0.2.0/24'] },
      logging: { level: 'debug' },
    });
    expect(refused.message).toBe('reload-failed');
    expect(refused.data.error?.message).toMatch(/network\.pool_network: a pool can only grow/);
    const rules = place.network.host.run('nft', 'list', 'table', 'inet', place.name);
    expect(rules).not.toContain('192.0.2.0/24');
    const asked = linesIn(log).length;
    await (await daemon.connect()).ping();
    expect(linesIn(log).slice(asked)).toEqual([]); // the level too is as before
  });

  it.each([
    ['no YAML', 'server: [', /not valid YAML/],
    [
      'a value that is wrong',
      'server: {max_connections: many}',
      /server\.max_connections: expected an integer/,
    ],
    ['a root file system that is not there', undefined, /container_rootfs_path does not exist/],
    ['a log that cannot be opened', undefined, /logging\.file/],
    ['a port that is taken', undefined, /port 127\.0\.0\.1:7002 cannot be used/],
  ])('is not changed by a file with %s, and says so [operations SIGHUP]', async (what, broken, message) => {
    const holder = await listenInside(what === 'a port that is taken' ? 7_002 : undefined);
    const over: Record<string, Sections> = {
      'a root file system that is not there': { server: { container_rootfs_path: '/nonexistent' } },
      'a log that cannot be opened': { logging: { file: '/nonexistent/log' } },
      'a port that is taken': { monitoring: { port: 7_002 }, network: { allow_networks: ['192.0.2.0/24'] } },
    };
    configuration();
    const { message: outcome, data } = await reload(broken ?? over[what]!);
    expect([outcome, data.error?.message]).toEqual(['reload-failed', expect.stringMatching(message)]);
    expect(place.network.host.run('nft', 'list', 'table', 'inet', place.name)).not.toContain('192.0.2.0/24');
    holder?.kill('SIGKILL');
    expect((await reload({})).message).toBe('reloaded');
  });

  const listenInside = async (port: number | undefined) => {
    if (port === undefined) return undefined;
    const { spawn } = await import('node:child_process');
    const [command, ...args] = place.network.host.enter([
      'python3',
      '-c',
      LISTENER,
      '127.0.0.1',
      String(port),
    ]);
    const child = spawn(command!, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    await new Promise((resolve) => child.stdout.once('data', resolve));
    return child;
  };

  it('tells what needs a restart, and does the rest [operations SIGHUP]', async () => {
    const line = await reload({
      server: { unix_domain_path: '/elsewhere.sock', job_output_limit: 5 },
      drivers: { nice: 3 },
      compat: { job_sockets: false },
    });
    expect(changedIn(line)).toEqual(['server.job_output_limit']);
    expect(line.data.needsRestart?.map(({ key }) => key).sort()).toEqual([
      'compat.job_sockets',
      'drivers.nice',
      'server.unix_domain_path',
    ]);
    // a line of its own, behind that one
    await until(() => linesIn(log).at(-1)?.message === 'restart-needed');
    expect(linesIn(log).at(-1)).toMatchObject({ log_level: 'warn' });
    await (await daemon.connect()).ping();
    await reload({});
  });

  it('admits whom it is to admit now, and so many [operations SIGHUP]', async () => {
    fs.chmodSync(place.directory, 0o755);
    fs.chmodSync(place.socket, 0o666);
    const asOther = (): string => {
      const { status, stdout } = place.network.host.try([
        'setpriv',
        '--reuid=54321',
        '--clear-groups',
        '/usr/bin/python3',
        '-c',
        GREETED,
        place.socket,
      ]);
      return `${status} ${stdout.trim()}`;
    };
    expect(asOther()).toBe('0 silent');
    expect(changedIn(await reload({ server: { allowed_uids: [1] } }))).toEqual(['server.allowed_uids']);
    expect(asOther()).toBe('0 told');
    expect(changedIn(await reload({ server: { max_connections: 1 } }))).toEqual([
      'server.allowed_uids',
      'server.max_connections',
    ]);
    const first = net.connect(place.socket);
    await new Promise((resolve) => first.once('connect', resolve));
    const second = net.connect(place.socket);
    const answer = await new Promise<string>((resolve) =>
      second.once('data', (data) => resolve(data.toString('latin1'))),
    );
    expect(answer).toContain('too many connections: 1 of 1');
    first.destroy();
    second.destroy();
    await until(async () => (await reload({})).message === 'reloaded');
  });

  it('moves its endpoint for whoever watches [operations SIGHUP]', async () => {
    const one = path.join(place.directory, 'one.sock');
    const other = path.join(place.directory, 'other.sock');
    await reload({ monitoring: { socket: one } });
    expect(fs.statSync(one).isSocket()).toBe(true);
    await reload({ monitoring: { socket: other } });
    expect([fs.existsSync(one), fs.statSync(other).isSocket()]).toEqual([false, true]);
    await reload({});
    expect(fs.existsSync(other)).toBe(false);
  });

  it('several times in a row does it as often as needed, and never two at a time', async () => {
    const count = (): number => linesIn(log).filter(({ message }) => message === 'reloaded').length;
    const earlier = count();
    for (let round = 0; round < 20; round++) process.kill(daemon.pid, 'SIGHUP');
    await until(() => count() > earlier);
    await (await daemon.connect()).ping();
    expect(count() - earlier).toBeLessThanOrEqual(20);
  });
});

const LISTENER = `
import socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 7000))
s.listen()
print('listening', flush=True)
while True: s.accept()
`;

/** Whether the daemon says something unasked: only to those whom it does not admit. */
const GREETED = `
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(2)
s.connect(sys.argv[1])
try: print('told' if s.recv(1) else 'closed')
except TimeoutError: print('silent')
`;
