/**
 * Egress rules about names through the whole daemon: what opens, what stays closed, what is told of it, and
 * what a killed daemon leaves.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import type { ContainerEvent, CreateSpec } from '@warden/interface';
import {
  describeWith,
  FAR_ADDRESS,
  HOST_ADDRESS,
  type Namespace,
  OUTSIDE_ADDRESS,
  patience,
  startDaemon,
} from '@warden/test-harness';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { text } from './text.ts';

/** The host's programs, so that a container has python3; read-only. */
const PROGRAMS: NonNullable<CreateSpec['bindMounts']> = ['/usr', '/lib', '/lib64']
  .filter((directory) => fs.existsSync(directory))
  .map((directory) => ({ source: directory, target: directory, mode: 'ro' }));

/** Serves names on port 53 of an address and greets on TCP port 7001 of all; prints "ready". */
const OUTSIDE = `
import json, socket, struct, sys, threading
zone = json.loads(sys.argv[2])
def names():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((sys.argv[1], 53)); ready.release()
    while True:
        q, peer = s.recvfrom(2048); at, labels = 12, []
        while q[at]: labels.append(q[at+1:at+1+q[at]].decode()); at += 1 + q[at]
        found = zone.get('.'.join(labels)); rs = [b'\\xc0\\x0c' + struct.pack('!HHIH', 1, 1, 60, 4) + socket.inet_aton(a) for a in found or []]
        s.sendto(q[:2] + struct.pack('!HHHHH', 0x8180 | (3 if found is None else 0), 1, len(rs), 0, 0) + q[12:at+5] + b''.join(rs), peer)
def greet():
    s = socket.create_server(('0.0.0.0', 7001)); ready.release()
    while True: c, _ = s.accept(); c.sendall(b'hello'); c.close()
ready = threading.Semaphore(0)
for f in (names, greet): threading.Thread(target=f, daemon=True).start()
ready.acquire(); ready.acquire(); print('ready', flush=True); threading.Event().wait()
`;
/**
 * What a server says at each of some names or addresses, one line each; the errno's name, or that of the
 * failure to resolve.
 */
const CALL = `
import errno, socket, sys
for where in sys.argv[1:]:
    try: print(socket.create_connection((where, 7001), 5).recv(16).decode())
    except socket.gaierror as e: print('EAI', {-2: 'no name', -3: 'again', -5: 'no address'}.get(e.errno, e.errno))
    except OSError as e: print(errno.errorcode.get(e.errno, str(e)))
`;
const NAMES = {
  'good.test': [FAR_ADDRESS],
  'www.good.test': [FAR_ADDRESS],
  'other.test': [FAR_ADDRESS],
  'rebind.test': ['169.254.169.254', HOST_ADDRESS, '127.0.0.1'],
};

async function serve(where: Namespace): Promise<ChildProcess> {
  const [program, ...args] = where.enter(['python3', '-c', OUTSIDE, OUTSIDE_ADDRESS, JSON.stringify(NAMES)]);
  const child = spawn(program!, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  return child;
}

describeWith(['root', 'isolated', 'overlayfs', 'nft', 'python3'], 'egress by name', () => {
  const config = {
    network: {
      // nobody is there: whatever server is asked, the daemon answers
      dns_servers: ['192.0.2.53'],
      resolver_servers: [OUTSIDE_ADDRESS],
      release_delay: 0,
    },
  };
  let daemon: Awaited<ReturnType<typeof startDaemon>>;
  let outside: ChildProcess;
  beforeAll(async () => {
    daemon = await startDaemon({ config });
    outside = await serve(daemon.place.network.outside);
  });
  afterAll(async () => {
    outside.kill('SIGKILL');
    await daemon.stop();
    await daemon.kill();
    await daemon.place.remove();
  });
  const call = async (handle: string, ...where: string[]): Promise<string[]> => {
    const warden = await daemon.connect();
    const { stdout } = await warden
      .container(handle)
      .run(`exec /usr/bin/python3 - ${where.join(' ')} <<'END'${CALL}END`);
    return text(stdout).trim().split('\n');
  };

  it('lets a container reach what a name leads to, and tells of what it was kept from [SECURITY N12]', async () => {
    const warden = await daemon.connect();
    await using box = await warden.create({ handle: 'named', bindMounts: PROGRAMS });
    const events = await warden.events({ handle: 'named', types: ['network-denied'] });
    expect(await call('named', 'good.test')).toEqual([expect.stringMatching(/^EAI/)]);
    await box.netOut({ domain: 'good.test', port: 7001 });
    expect(await call('named', FAR_ADDRESS)).toEqual(['ECONNREFUSED']);
    expect(await call('named', 'good.test', FAR_ADDRESS, OUTSIDE_ADDRESS)).toEqual([
      'hello',
      'hello',
      'ECONNREFUSED',
    ]);
    // not allowed, although they lead to the same place
    expect(await call('named', 'www.good.test', 'other.test')).toEqual(['EAI no name', 'EAI no name']);
    await box.netOut({ domain: '*.Good.test.', portRange: '7000:7010' });
    expect(await call('named', 'www.good.test', 'other.test')).toEqual(['hello', 'EAI no name']);

    const seen: ContainerEvent[] = [];
    const has = (wanted: object): boolean =>
      seen.some((one) => Object.entries(wanted).every(([key, value]) => one[key as never] === value));
    const wanted = [
      { protocol: 'tcp', destination: OUTSIDE_ADDRESS, port: 7001 },
      { protocol: 'dns', name: 'other.test' },
    ];
    while (!wanted.every(has)) seen.push((await events.next()).value!);
    await events.return?.();
    expect(seen.every((one) => one.type === 'network-denied' && one.count >= 1)).toBe(true);
    expect(has({ name: 'good.test' })).toBe(false);
    expect(fs.readFileSync(daemon.place.log, 'utf8')).toMatch(/network-denied.*other\.test/);
  }, 120_000);

  it('never opens the host, its loopback or metadata, wherever a name leads', async () => {
    const warden = await daemon.connect();
    await using box = await warden.create({ handle: 'rebound', bindMounts: PROGRAMS });
    await box.netOut({ domain: 'rebind.test', protocol: 'all' });
    expect(await call('rebound', 'rebind.test', HOST_ADDRESS)).toEqual([
      expect.stringMatching(/^EAI/),
      'ECONNREFUSED',
    ]);
  }, 60_000);

  it('keeps what is open while the daemon is dead, and answers again when the next one is there', async () => {
    const { place } = daemon;
    const warden = await daemon.connect();
    const box = await warden.create({ handle: 'kept', bindMounts: PROGRAMS });
    await box.netOut({ domain: 'good.test' });
    expect(await call('kept', 'good.test', OUTSIDE_ADDRESS)).toEqual(['hello', 'ECONNREFUSED']);
    // one line for each second without a daemon
    await box.spawn(
      `cat >/tmp/call <<'END'${CALL}END\nwhile sleep 0.2; do /usr/bin/python3 /tmp/call ${FAR_ADDRESS} ${OUTSIDE_ADDRESS} >>/tmp/said; done`,
    );
    const said = async (): Promise<string[]> => {
      const again = (await daemon.connect()).container('kept');
      return text((await again.run('cat /tmp/said')).stdout)
        .trim()
        .split('\n');
    };
    await expect.poll(async () => (await said()).length, { timeout: patience(30_000) }).toBeGreaterThan(3);
    await daemon.kill('SIGKILL');
    daemon = await startDaemon({ place, config });
    const before = (await said()).length;
    await expect
      .poll(async () => (await said()).length, { timeout: patience(30_000) })
      .toBeGreaterThan(before + 3);
    const lines = await said();
    expect(new Set(lines.filter((_line, at) => at % 2 === 0))).toEqual(new Set(['hello']));
    expect(new Set(lines.filter((_line, at) => at % 2 === 1))).toEqual(new Set(['ECONNREFUSED']));
    expect(await call('kept', 'good.test', 'other.test', OUTSIDE_ADDRESS)).toEqual([
      'hello',
      'EAI no name',
      'ECONNREFUSED',
    ]);
    await (await daemon.connect()).container('kept').destroy();
    expect(place.network.host.run('nft', 'list', 'table', 'inet', place.name)).not.toContain(FAR_ADDRESS);
  }, 120_000);

  it('refuses what is no name, and changes nothing', async () => {
    const warden = await daemon.connect();
    await using box = await warden.create();
    await expect(box.netOut({ domain: 'a b', port: 1 })).rejects.toMatchObject({ code: 'INVALID_SPEC' });
    await expect(box.netOut({ domain: '192.0.2.1' })).rejects.toMatchObject({ code: 'INVALID_SPEC' });
  });
});
