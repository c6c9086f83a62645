/** Bad input gets an error that names what and why; the daemon lives on and nothing is left. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import {
  type DecodedMessage,
  decodeMessage,
  type ErrorResponse,
  encodeFrame,
  encodeMessage,
  FrameDecoder,
  MessageType,
} from '@warden/protocol';
import { describeWith, makePlace, startDaemon, withDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';

/** Sends raw bytes; answers the decoded messages until `count` came or the connection ended. */
async function exchange(
  socketPath: string,
  bytes: Uint8Array,
  count: number,
): Promise<{ messages: DecodedMessage[]; closed: boolean }> {
  const socket = net.connect(socketPath);
  const decoder = new FrameDecoder();
  const messages: DecodedMessage[] = [];
  let closed = false;
  await new Promise<void>((resolve, reject) => {
    socket.setTimeout(10_000, () => reject(new Error('no answer within 10 s')));
    socket.on('error', reject);
    socket.on('close', () => {
      closed = true;
      resolve();
    });
    socket.on('data', (chunk) => {
      for (const frame of decoder.push(chunk)) messages.push(decodeMessage(frame, 'response'));
      if (messages.length >= count) setTimeout(resolve, 100);
    });
    socket.write(bytes);
  });
  socket.destroy();
  return { messages, closed };
}

const ping = (): Uint8Array => encodeFrame(encodeMessage(MessageType.Ping, {}));

describeWith(['root', 'isolated', 'overlayfs'], 'bad input', () => {
  const suite = withDaemon();

  it.each([
    ['no digits', 'abc\r\nxyz\r\n'],
    ['a negative length', '-1\r\n\r\n'],
    ['a length over the limit', '99999999999\r\n'],
    ['a wrong trailer', '2\r\nabXX'],
    ['an endless header', '1'.repeat(100)],
  ])('answers a broken frame (%s) with one error and closes', async (_name, bytes) => {
    const { messages, closed } = await exchange(suite.daemon.place.socket, Buffer.from(bytes), 2);
    expect(messages.map(({ type }) => type)).toEqual([MessageType.Error]);
    expect(closed).toBe(true);
    const error = messages[0]!.payload as ErrorResponse;
    expect(error.message).toMatch(/frame|length|header|trailer/i);
    await (await suite.daemon.connect()).ping();
  });

  it.each([
    ['bytes that are no message', Uint8Array.of(0xff, 0xff, 0xff)],
    ['an unknown type', Uint8Array.of(0x08, 0xe7, 0x07, 0x12, 0x00)],
    ['a missing required field', encodeMessageOf(MessageType.Info, Uint8Array.of())],
  ])('answers a malformed request (%s) with an error and keeps the connection', async (_name, payload) => {
    const bytes = Buffer.concat([encodeFrame(payload), ping()]);
    const { messages, closed } = await exchange(suite.daemon.place.socket, bytes, 2);
    expect(messages.map(({ type }) => type)).toEqual([MessageType.Error, MessageType.Ping]);
    expect(closed).toBe(false);
  });

  it('names what was wrong with a create, and leaves nothing', async () => {
    const warden = await suite.daemon.connect();
    const cases: [Parameters<typeof warden.create>[0], string, RegExp][] = [
      [{ rootfs: '/nonexistent/root' }, 'INVALID_SPEC', /rootfs \/nonexistent\/root not found/],
      [
        { bindMounts: [{ source: '/nonexistent/source', target: '/x', mode: 'ro' }] },
        'INVALID_SPEC',
        /Source path for bind mount does not exist: \/nonexistent\/source/,
      ],
      [{ bindMounts: [{ source: '/tmp', target: 'relative', mode: 'ro' }] }, 'INVALID_SPEC', /relative/],
      [{ network: 'no address' }, 'INVALID_SPEC', /no address/],
      [{ network: '192.0.2.1' }, 'INVALID_SPEC', /Could not acquire network: 192\.0\.2\.\d/],
    ];
    for (const [spec, code, message] of cases) {
      await expect(warden.create(spec), JSON.stringify(spec)).rejects.toMatchObject({
        code,
        message: expect.stringMatching(message),
      });
    }
    expect(await warden.list()).toEqual([]);
    expect(fs.readdirSync(suite.daemon.place.depot).filter((name) => !name.startsWith('.'))).toEqual([]);
  });

  it('refuses a handle that is taken', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create({ handle: 'taken' });
    await expect(warden.create({ handle: 'taken' })).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
      message: expect.stringContaining('already exists'),
    });
    expect((await box.info()).state).toBe('active');
  });

  it('refuses unknown handles and jobs by their contract texts', async () => {
    const warden = await suite.daemon.connect();
    const nobody = warden.container('nobody');
    for (const action of [
      () => nobody.info(),
      () => nobody.run('true'),
      () => nobody.stop(),
      () => nobody.destroy(),
      () => nobody.job(1).link(),
    ]) {
      await expect(action()).rejects.toMatchObject({ code: 'UNKNOWN_HANDLE', message: 'unknown handle' });
    }
    await using box = await warden.create();
    await expect(box.job(4_000_000).link()).rejects.toMatchObject({
      code: 'UNKNOWN_JOB',
      message: 'no such job',
    });
  });

  it('survives a root file system without a shell', async () => {
    const warden = await suite.daemon.connect();
    const empty = path.join(suite.daemon.place.directory, 'empty-root');
    fs.mkdirSync(empty, { recursive: true });
    await using box = await warden.create({ rootfs: empty });
    const result = await box.run('true');
    expect(result.exitStatus).toBe(255);
    expect(Buffer.from(result.stderr).toString()).toMatch(/\/bin\/bash.*No such file/);
  });
});

function encodeMessageOf(type: number, payload: Uint8Array): Uint8Array {
  return Uint8Array.of(0x08, type, 0x12, payload.length, ...payload);
}

describeWith(['root', 'isolated', 'overlayfs'], 'a start that must fail', () => {
  it('refuses a second daemon on the depot, one on the socket and one of the same name', async () => {
    const daemon = await startDaemon();
    try {
      const depotTaken = await startFailure(daemon.place.directory, {
        ...settings(daemon.place),
        socket: path.join(daemon.place.directory, 'other.sock'),
      });
      expect(depotTaken).toMatch(/depot .* belongs to a running wardend/);
      const otherDepot = path.join(daemon.place.directory, 'other-depot');
      fs.mkdirSync(otherDepot);
      const nameTaken = await startFailure(daemon.place.directory, {
        ...settings(daemon.place),
        socket: path.join(daemon.place.directory, 'other.sock'),
        depot: otherDepot,
      });
      expect(nameTaken).toMatch(/another wardend with the name .* configure another drivers\.name/);
      const socketTaken = await startFailure(daemon.place.directory, {
        ...settings(daemon.place),
        depot: otherDepot,
        name: `${daemon.place.name}b`,
      });
      expect(socketTaken).toContain(daemon.place.socket);
      expect(socketTaken).toMatch(/in use|listening|running/);
      await (await daemon.connect()).ping();
    } finally {
      await daemon.stop();
      await daemon.place.remove();
    }
  });

  it('names a missing rootfs, a wrong key and a missing file', async () => {
    const place = await makePlace();
    try {
      expect(
        await startFailure(place.directory, { ...settings(place), rootfs: '/nonexistent/rootfs' }),
      ).toContain('container_rootfs_path does not exist /nonexistent/rootfs');
      const file = path.join(place.directory, 'wrong.yml');
      fs.writeFileSync(file, 'server:\n  container_grace_time: soon\n');
      expect(run(['--config', file])).toMatchObject({
        status: 2,
        stderr: expect.stringContaining('server.container_grace_time: expected an integer'),
      });
      expect(run(['--config', '/nonexistent.yml'])).toMatchObject({
        status: 2,
        stderr: expect.stringContaining('/nonexistent.yml'),
      });
      expect(run(['--no-such-option'])).toMatchObject({
        status: 2,
        stderr: expect.stringContaining('--no-such-option'),
      });
    } finally {
      await place.remove();
    }
  });

  it('says that it needs root', async () => {
    const { status, stderr } = run([], 65_534);
    expect({ status, stderr }).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('linux containers require root privileges'),
    });
  });

  it('tells its version, and where the name of a file belongs', () => {
    expect(run(['--version'])).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^wardend \d+\.\d+\.\d+\S*\n$/),
    });
    expect(run(['config', 'check', 'wardend.yml'])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('one word too many: wardend.yml (a file stands behind --config)'),
    });
  });

  it('does not delete a file that is no socket', async () => {
    const place = await makePlace();
    try {
      fs.writeFileSync(place.socket, 'precious');
      expect(await startFailure(place.directory, settings(place))).toContain(place.socket);
      expect(fs.readFileSync(place.socket, 'utf8')).toBe('precious');
    } finally {
      await place.remove();
    }
  });
});

interface Settings {
  readonly socket: string;
  readonly depot: string;
  readonly rootfs: string;
  readonly name: string;
}

function settings(place: Settings): Settings {
  const { socket, depot, rootfs, name } = place;
  return { socket, depot, rootfs, name };
}

async function startFailure(directory: string, wanted: Settings): Promise<string> {
  const file = path.join(directory, 'failing.yml');
  fs.writeFileSync(
    file,
    JSON.stringify({
      server: {
        unix_domain_path: wanted.socket,
        container_klass: 'Warden::Container::Linux',
        container_rootfs_path: wanted.rootfs,
        container_depot_path: wanted.depot,
        quota: { disk_quota_enabled: false },
      },
      health_check_server: { port: null },
      logging: { level: 'off' },
      drivers: { name: wanted.name },
      compat: { cgroup_view: null },
    }),
  );
  const { status, stderr } = run(['--config', file]);
  expect(status, stderr).toBe(1);
  return stderr;
}

function run(
  args: readonly string[],
  uid?: number,
): { status: number | null; stdout: string; stderr: string } {
  const program = path.resolve(import.meta.dirname, '../../../packages/daemon/bin/wardend.js');
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], {
    encoding: 'utf8',
    timeout: 20_000,
    cwd: '/',
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  return { status, stdout, stderr };
}
