/**
 * The daemon under a service manager: sd_notify(3), the watchdog, sockets that the manager holds. The manager
 * is the test's own.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connect } from '@warden/client';
import {
  describeWith,
  makePlace,
  remainingLeaks,
  startDaemon,
  type TestDaemon,
  type TestPlace,
  takeInventory,
  WARDEND,
} from '@warden/test-harness';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { initOf } from './init-of.ts';
import { text } from './text.ts';
import { until } from './until.ts';

/** Prints each datagram that comes to a socket as one line, its newlines as blanks. */
const RECEIVER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind('\\0' + sys.argv[1][1:] if sys.argv[1].startswith('@') else sys.argv[1])
print('bound', flush=True)
while True: print(s.recv(1 << 16).decode().strip().replace('\\n', ' '), flush=True)
`;

/** Holds listening sockets and says so. */
const HOLDER = `
import socket, sys, time
held = []
for name in sys.argv[1:]:
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.bind(name)
    s.listen(64)
    held.append(s)
print(' '.join(str(s.fileno()) for s in held), flush=True)
sys.stdin.read()
`;

/**
 * Takes the sockets of the holder (pid and descriptors), and becomes the program with them, as a service
 * manager's child does.
 */
const ACTIVATOR = `
import ctypes, os, sys
pid, descriptors, count, command = int(sys.argv[1]), sys.argv[2].split(','), sys.argv[3], sys.argv[4:]
libc = ctypes.CDLL(None, use_errno=True)
pidfd = libc.syscall(434, pid, 0)
taken = [libc.syscall(438, pidfd, int(d), 0) for d in descriptors]
assert pidfd >= 0 and min(taken) >= 0, os.strerror(ctypes.get_errno())
spare = [os.dup(fd) for fd in taken]
high = [os.dup2(fd, 200 + at) for at, fd in enumerate(spare)]
for at, fd in enumerate(high): os.dup2(fd, 3 + at, inheritable=True)
os.closerange(3 + len(high), 300)
os.environ['LISTEN_PID'] = str(os.getpid() if count != 'foreign' else 1)
os.environ['LISTEN_FDS'] = str(len(high))
os.environ['LISTEN_FDNAMES'] = ':'.join(['client', 'other'][:len(high)])
os.execvp(command[0], command)
`;

describeWith(['root', 'isolated', 'overlayfs', 'python3'], 'under a service manager', () => {
  let place: TestPlace;
  let before: ReturnType<typeof takeInventory>;
  const children: ChildProcess[] = [];
  const daemons: TestDaemon[] = [];
  beforeEach(async () => {
    place = await makePlace();
    before = takeInventory(place);
  });
  afterEach(async () => {
    try {
      for (const daemon of daemons.splice(0).reverse()) await daemon.stop();
      await Promise.all(children.splice(0).map(end));
      expect(await remainingLeaks(place, before)).toEqual([]);
    } finally {
      await place.remove();
    }
  });

  const start = async (options: Parameters<typeof startDaemon>[0] = {}): Promise<TestDaemon> => {
    const daemon = await startDaemon({ place, ...options });
    daemons.push(daemon);
    return daemon;
  };

  /** A process of the test's own with what it has printed so far. */
  const helper = async (
    program: string,
    words: readonly string[],
  ): Promise<{ lines: string[]; pid: number }> => {
    // abstract names belong to a network namespace: the daemon's
    const [command, ...args] = place.network.host.enter(['python3', '-c', program, ...words]);
    const child = spawn(command!, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    children.push(child);
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    await until(() => output.includes('\n'));
    return {
      pid: child.pid!,
      get lines() {
        return output.trim().split('\n');
      },
    };
  };

  it.each([
    ['a path', () => path.join(place.directory, 'notify')],
    ['an abstract name', () => `@${place.name}-notify`],
  ])('tells readiness and end to %s [operations sd_notify]', async (_what, address) => {
    const { lines } = await watch(address());
    const daemon = await start({ environment: { NOTIFY_SOCKET: address() } });
    await until(() => lines().length > 1);
    expect(lines()[1]).toBe('READY=1 STATUS=serving 0 containers');
    await daemon.kill('SIGTERM');
    await until(() => lines().length > 2);
    expect(lines().slice(2)).toEqual(['STOPPING=1 STATUS=ending; containers go on']);
  });

  const watch = async (address: string): Promise<{ lines: () => string[] }> => {
    const receiver = await helper(RECEIVER, [address]);
    return { lines: () => receiver.lines };
  };

  it('is ready only when clients can connect and containers are taken over [operations sd_notify]', async () => {
    const first = await start();
    const client = await first.connect();
    await client.create({ handle: 'kept' });
    await first.kill();
    const address = path.join(place.directory, 'notify');
    const { lines } = await watch(address);
    const failpoint = { WARDEN_FAILPOINT: 'start.listen=delay(300)' };
    await start({ environment: { NOTIFY_SOCKET: address, ...failpoint } });
    await until(() => lines().length > 1);
    expect(lines()[1]).toBe('READY=1 STATUS=serving 1 containers');
  });

  it('asks for patience while it drains [operations sd_notify]', async () => {
    const address = path.join(place.directory, 'notify');
    const { lines } = await watch(address);
    const daemon = await start({ environment: { NOTIFY_SOCKET: address } });
    await daemon.kill('SIGUSR2');
    await until(() => lines().length > 2);
    expect(lines()[2]).toMatch(/^STOPPING=1 STATUS=draining: .* EXTEND_TIMEOUT_USEC=30000000$/);
  });

  it('feeds the watchdog from the event loop: a daemon that hangs does not [operations watchdog]', async () => {
    const address = path.join(place.directory, 'notify');
    const { lines } = await watch(address);
    const fed = (): number => lines().filter((line) => line === 'WATCHDOG=1').length;
    const daemon = await start({ environment: { NOTIFY_SOCKET: address, WATCHDOG_USEC: '100000' } });
    await until(() => fed() >= 3);
    process.kill(daemon.pid, 'SIGSTOP');
    await until(() => /^State:\s+T/m.test(fs.readFileSync(`/proc/${daemon.pid}/status`, 'utf8')));
    // what is on its way comes yet; then nothing comes for three periods
    let most = -1;
    await until(async () => {
      const seen = most;
      most = fed();
      await delay(300);
      return most === seen && fed() === seen;
    });
    process.kill(daemon.pid, 'SIGCONT');
    await until(() => fed() > most + 1);
  });

  it('keeps what is meant for it from every program that it starts [operations sd_notify]', async () => {
    const address = path.join(place.directory, 'notify');
    await watch(address);
    const daemon = await start({
      environment: { NOTIFY_SOCKET: address, WATCHDOG_USEC: '60000000' },
    });
    const warden = await daemon.connect();
    await using box = await warden.create();
    const pid = await initOf(box);
    expect(fs.readFileSync(`/proc/${pid}/environ`, 'latin1')).not.toMatch(/NOTIFY_SOCKET|WATCHDOG/);
    expect(text((await box.run('env')).stdout)).not.toMatch(/NOTIFY_SOCKET|WATCHDOG/);
  });

  it('says once that the manager cannot be reached, and serves all the same', async () => {
    const daemon = await start({ environment: { NOTIFY_SOCKET: '/nonexistent/notify' } });
    expect(daemon.readLog().match(/service-manager-not-told/g)).toHaveLength(1);
  });

  describe('that holds the socket', () => {
    const hold = async (...names: readonly string[]): Promise<string[]> => {
      const holder = await helper(HOLDER, names);
      return ['python3', '-c', ACTIVATOR, String(holder.pid), holder.lines[0]!.replaceAll(' ', ',')];
    };

    it('serves clients on it, and leaves it in place [operations socket activation]', async () => {
      const wrapper = [...(await hold(place.socket)), 'own'];
      const { ino } = fs.lstatSync(place.socket);
      const daemon = await start({ wrapper });
      const warden = await daemon.connect();
      const box = await warden.create();
      expect(text((await box.run('echo here')).stdout)).toBe('here\n');
      await box.destroy();
      await daemon.kill('SIGTERM');
      expect(fs.lstatSync(place.socket).ino).toBe(ino);
    });

    it('lets clients wait while the daemon is started again, with containers and jobs as they were [operations restart]', async () => {
      const wrapper = [...(await hold(place.socket)), 'own'];
      const first = await start({ wrapper });
      const client = await first.connect();
      const box = await client.create({ handle: 'kept' });
      const job = await box.spawn('echo begun; read line < <(sleep 60); echo over');
      await first.kill('SIGKILL');
      // the kernel takes the connection: nobody is refused
      const waiting = connect({ path: place.socket }).then(async (second) => {
        await using warden = second;
        return await warden.list();
      });
      await start({ wrapper });
      expect(await waiting).toEqual(['kept']);
      await using warden = await connect({ path: place.socket });
      const output = warden.container('kept').job(job.id).stream();
      const chunk = await output.next();
      expect(chunk.done === false && text(chunk.value.data)).toBe('begun\n');
      await output.return(undefined as never);
    });

    it('is asked for one socket: of two, one would never be served', async () => {
      const other = path.join(place.directory, 'other.sock');
      const command = [...(await hold(path.join(place.directory, 'one.sock'), other)), 'own'];
      const file = path.join(place.directory, 'two.yml');
      fs.writeFileSync(file, JSON.stringify({ server: { container_depot_path: place.depot } }));
      const { status, stderr } = place.network.host.try([
        ...command,
        process.execPath,
        WARDEND,
        '--config',
        file,
      ]);
      expect([status, stderr]).toEqual([1, expect.stringContaining('has opened 2 sockets (client, other)')]);
    });

    it('for another process is not touched', async () => {
      const wrapper = [...(await hold(path.join(place.directory, 'theirs.sock'))), 'foreign'];
      const daemon = await start({ wrapper });
      expect(daemon.readLog()).toMatch(new RegExp(`"listening".*"path":"${place.socket}"`));
    });
  });
});

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}
