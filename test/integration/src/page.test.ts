/**
 * The status page of the real daemon: what it tells, what it leaves alone, and what HTTP can do to it. (In a
 * browser: `npm run page`.)
 */
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { connect } from '@warden/client';
import {
  describeWith,
  makePlace,
  patience,
  remainingLeaks,
  startDaemon,
  type TestDaemon,
  type TestPlace,
  takeInventory,
} from '@warden/test-harness';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { until } from './until.ts';

/** All that comes back on a connection that sends this. */
async function answersTo(socket: string, sent: string): Promise<string> {
  const connection = net.connect(socket);
  let text = '';
  connection.setEncoding('latin1').on('data', (piece: string) => {
    text += piece;
  });
  connection.on('error', () => {}); // it may be closed while there is more to send
  connection.write(sent, 'latin1');
  await new Promise((resolve) => {
    connection.once('close', resolve);
  });
  return text;
}

interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}
/** What of the answer is looked at. */
interface Status {
  readonly phase: string;
  readonly times: readonly number[];
  readonly containers: { readonly all: number; readonly rows: readonly Record<string, unknown>[] };
  readonly jobs: { readonly rows: readonly Record<string, unknown>[] };
  readonly events: readonly { readonly handle: string; readonly type: string }[];
}

describeWith(['root', 'isolated', 'overlayfs', 'cgroup-memory'], 'the page of a daemon', () => {
  let place: TestPlace;
  let daemon: TestDaemon;
  let before: ReturnType<typeof takeInventory>;
  let socket: string;
  beforeAll(async () => {
    place = await makePlace();
    socket = path.join(place.directory, 'monitoring.sock');
    before = takeInventory(place);
    daemon = await startDaemon({ place, config: { monitoring: { socket, page: true } } });
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

  const ask = (
    url: string,
    method = 'GET',
    headers: http.OutgoingHttpHeaders = {},
    socketPath = socket,
  ): Promise<Answer> =>
    new Promise((resolve, reject) => {
      http
        .request({ socketPath, path: url, method, headers }, (response) => {
          let body = '';
          response.on('data', (chunk: Buffer) => {
            body += chunk.toString();
          });
          response.on('end', () =>
            resolve({ status: response.statusCode!, headers: response.headers, body }),
          );
        })
        .on('error', reject)
        .end();
    });
  const status = async (query = ''): Promise<Status> =>
    JSON.parse((await ask(`/page/status.json${query}`)).body) as Status;

  it('tells containers, limits, usage, jobs and events as they are [page content]', async () => {
    const warden = await daemon.connect();
    await using box = await warden.create({ handle: 'told' });
    await box.limitMemory(32n << 20n);
    const { hostPort } = await box.netIn();
    const job = await box.spawn(
      'x=$(head -c 6000000 /dev/zero | tr "\\0" a); echo here; read y < <(sleep 600)',
    );
    await until(async () => {
      const [row] = (await status()).containers.rows;
      return Number((row?.usage as { memory?: number } | undefined)?.memory) > 6_000_000;
    });
    await until(async () => (await status()).times.length >= 2);
    // a moment behind the memory
    await until(async () => (await status()).jobs.rows[0]?.outputBytes === 5);
    const now = await status();
    expect(now.phase).toBe('ready');
    const [row] = now.containers.rows;
    expect(row).toMatchObject({
      handle: 'told',
      state: 'active',
      ports: [{ hostPort, containerPort: hostPort }],
      jobs: 1,
      limits: { memory: 32 << 20, processes: 4_096 },
    });
    expect((row!.cpu as (number | null)[]).at(-1)).toBeGreaterThanOrEqual(0);
    expect(now.jobs.rows).toMatchObject([{ handle: 'told', id: job.id, hasEnded: false, outputBytes: 5 }]);
    expect(Math.abs(Date.now() - Number(now.jobs.rows[0]!.startedAt))).toBeLessThan(60_000);
    // the latest ones first; behind them those of an attempt before
    expect(now.events.slice(0, 2).map(({ handle, type }) => `${handle} ${type}`)).toEqual([
      'told limit',
      'told created',
    ]);
    await job.kill();
  });

  it('shows a stop and an end of memory, and what is gone no more [page content]', async () => {
    const warden = await daemon.connect();
    const box = await warden.create({ handle: 'starved' });
    await box.limitMemory(16n << 20n);
    await box.run('x=a; while true; do x=$x$x; done');
    await until(async () => (await status('?find=starved')).containers.rows[0]?.state === 'stopped');
    expect((await status('?find=starved')).containers.rows[0]!.events).toEqual(['out of memory']);
    await box.destroy();
    const after = await status('?find=starved');
    expect(after.containers.rows).toEqual([]);
    expect(after.events.map(({ type }) => type)).toEqual(
      expect.arrayContaining(['oom', 'stopped', 'destroyed']),
    );
  });

  it('keeps no container alive by looking at it [page onlooker]', async () => {
    const client = await connect({ path: place.socket });
    await client.create({ handle: 'short', graceTime: 1 });
    await client.close();
    await until(async () => (await status('?find=short')).containers.rows.length === 0);
    expect((await status('?find=short')).events[0]).toMatchObject({ type: 'destroyed' });
  });

  it('can only be read [page read-only]', async () => {
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']) {
      const answer = await ask('/page/status.json', method);
      expect([answer.status, answer.headers.allow]).toEqual([405, 'GET, HEAD']);
    }
    const head = await ask('/', 'HEAD');
    expect([head.status, head.body]).toEqual([200, '']);
    expect(head.headers['content-security-policy']).toMatch(/^default-src 'none'/);
    expect(head.headers['set-cookie']).toBeUndefined();
    expect(head.headers['cache-control']).toBe('no-store');
  });

  it('answers nobody who calls it by a name of somebody else [page rebinding]', async () => {
    expect((await ask('/', 'GET', { host: 'evil.example' })).status).toBe(403);
    expect((await ask('/page/status.json', 'GET', { host: 'evil.example' })).body).not.toMatch(/containers/);
    expect((await ask('/metrics', 'GET', { host: 'evil.example' })).status, 'without a name in it').toBe(200);
  });

  it('takes headers and addresses of a bounded size, and so many connections [page bounds]', async () => {
    expect((await ask('/', 'GET', { 'x-much': 'x'.repeat(10_000) })).status).toBe(431);
    expect((await ask(`/page/status.json?find=${'x'.repeat(10_000)}`)).status).toBe(431);
    const idle = Array.from({ length: 70 }, () => net.connect(socket));
    try {
      let cut = 0;
      for (const one of idle)
        one
          .on('error', () => {})
          .on('close', () => {
            cut += 1;
          });
      await until(() => cut >= 6);
    } finally {
      for (const one of idle) one.destroy();
    }
    await until(async () => (await ask('/health').catch(() => undefined))?.status === 200);
  });

  it('answers one request of a connection, whatever was sent in advance, and others meanwhile [page bounds]', async () => {
    const all = 'GET /page/status.json HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(1_500);
    const client = await daemon.connect();
    const answers = Array.from({ length: 30 }, () => answersTo(socket, all));
    const pinged = performance.now();
    await client.ping();
    expect(performance.now() - pinged).toBeLessThan(patience(5_000));
    for (const text of await Promise.all(answers)) expect(text.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(1);
    await client.close();
  });

  it('understands what HTTP is, and says so of the rest [page bounds]', async () => {
    for (const [sent, status] of [
      ['GET /health HTTP/1.0\r\n\r\n', '200 OK'],
      ['GET /health HTTP/1.1\r\nX-Twice: a\r\nx-twice: b\r\n\r\n', '200 OK'],
      ['GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n', '403 Forbidden'],
      ['get /health HTTP/1.1\r\n\r\n', '400 Bad Request'],
      ['GET /health\r\n\r\n', '400 Bad Request'],
      ['GET /health HTTP/1.1\r\n folded: x\r\n\r\n', '400 Bad Request'],
      ['GET /health HTTP/1.1\r\nHost: a\nInjected: b\r\n\r\n', '400 Bad Request'],
      ['\x16\x03\x01\0\r\n\r\n', '400 Bad Request'],
    ] as const)
      expect(await answersTo(socket, sent), JSON.stringify(sent)).toMatch(`HTTP/1.1 ${status}\r\n`);
    // half a request and an end of file
    const half = net.connect(socket);
    half.end('GET /hea');
    expect(await answersTo(socket, 'GET /health HTTP/1.1\r\n\r\n')).toMatch(/alive\n$/);
  });

  it('shows containers without isolation, of which nothing is counted [page content]', async () => {
    const other = await makePlace();
    const inventory = takeInventory(other);
    const at = path.join(other.directory, 'monitoring.sock');
    const plain = await startDaemon({
      place: other,
      config: {
        server: { container_klass: 'Warden::Container::Insecure' },
        monitoring: { socket: at, page: true },
      },
    });
    try {
      const warden = await plain.connect();
      const box = await warden.create({ handle: 'plain' });
      await box.spawn('sleep 600');
      const look = async (): Promise<Status> =>
        JSON.parse((await ask('/page/status.json', 'GET', {}, at)).body) as Status;
      await until(async () => (await look()).times.length > 0);
      expect((await look()).containers.rows).toMatchObject([
        { handle: 'plain', state: 'active', jobs: 1, usage: {}, limits: {}, cpu: [null], memory: [null] },
      ]);
    } finally {
      await plain.stop();
      expect(await remainingLeaks(other, inventory)).toEqual([]);
      await other.remove();
    }
  });

  it('is not there unless it is asked for, and comes and goes by a reload [page off]', async () => {
    const other = await makePlace();
    const inventory = takeInventory(other);
    const at = path.join(other.directory, 'monitoring.sock');
    const file = path.join(other.directory, 'wardend.yml');
    const quiet = await startDaemon({ place: other, config: { monitoring: { socket: at } } });
    const found = async (): Promise<number> => (await ask('/', 'GET', {}, at)).status;
    const set = (page: boolean): void => {
      const configuration = JSON.parse(fs.readFileSync(file, 'utf8')) as { monitoring: object };
      fs.writeFileSync(
        file,
        JSON.stringify({ ...configuration, monitoring: { ...configuration.monitoring, page } }),
      );
      process.kill(quiet.pid, 'SIGHUP');
    };
    try {
      expect(await found()).toBe(404);
      set(true);
      await until(async () => (await found()) === 200);
      set(false);
      await until(async () => (await found()) === 404);
    } finally {
      await quiet.stop();
      expect(await remainingLeaks(other, inventory)).toEqual([]);
      await other.remove();
    }
  });
});
