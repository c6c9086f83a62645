/** SIGUSR2 and the other ends of a daemon. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describeWith, makePlace, startDaemon, type TestDaemon, type TestPlace } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { initOf } from './init-of.ts';
import { text } from './text.ts';
import { touchInside } from './touch-inside.ts';

const HEALTH_PORT = 23_450;
const WAIT = (name: string): string => `until [ -e /tmp/${name} ]; do sleep 0.02; done`;

/** A client that says only what a test wants. */
function raw(file: string): { socket: net.Socket; bytes: () => number; ended: Promise<unknown> } {
  const socket = net.connect(file);
  let bytes = 0;
  socket.on('data', (chunk) => {
    bytes += chunk.length;
  });
  socket.on('error', () => {});
  return { socket, bytes: () => bytes, ended: once(socket, 'close') };
}

/** What a client in the daemon's network gets for `request` from the health check; nothing is sent for `undefined`. */
function askHealth(place: TestPlace, request: string | undefined): string {
  const script = [
    'import socket, sys',
    `s = socket.create_connection(("127.0.0.1", ${HEALTH_PORT}), timeout=10)`,
    'if len(sys.argv) > 1: s.sendall(sys.argv[1].encode())',
    'else: s.settimeout(1)',
    'out = b""',
    'try:',
    '    while True:',
    '        chunk = s.recv(4096)',
    '        if not chunk: break',
    '        out += chunk',
    'except socket.timeout: out += b"<silence>"',
    'sys.stdout.write(out.decode())',
  ].join('\n');
  const [program, ...args] = place.network.host.enter([
    'python3',
    '-c',
    script,
    ...(request === undefined ? [] : [request]),
  ]);
  const { stdout, stderr, status } = spawnSync(program!, args, { encoding: 'utf8', timeout: 20_000 });
  return status === 0 ? stdout : stderr;
}

async function within(place: TestPlace, daemons: () => TestDaemon, body: () => Promise<void>): Promise<void> {
  try {
    await body();
  } finally {
    await daemons().stop();
    await daemons().kill();
    await place.remove();
  }
}

describeWith(['root', 'isolated', 'overlayfs', 'python3'], 'a drain', () => {
  it('cuts off who only waits, lets the rest finish, drops what is queued, refuses new clients, and loses nothing [behaviour 11] [behaviour 19.2 Drain]', async () => {
    const place = await makePlace();
    const pidfile = path.join(place.directory, 'wardend.pid');
    const config = { health_check_server: { port: HEALTH_PORT }, server: { pidfile } };
    let daemon = await startDaemon({ place, config });
    await within(
      place,
      () => daemon,
      async () => {
        const owner = await daemon.connect();
        const box = await owner.create({ handle: 'busy' });
        const stopping = await owner.create({ handle: 'stopping' });
        const { containerPath = '' } = await box.info();
        const gated = `${WAIT('go')}; echo result; exit 7`;
        const [linked, streamed] = [await box.spawn(gated), await box.spawn(`echo first; ${gated}`)];
        const deaf = await stopping.spawn('trap "" TERM; echo deaf; sleep 600');
        for await (const _ of deaf.output) break; // not before it has stopped listening
        const waiters = await Promise.all([1, 2, 3].map(() => daemon.connect()));
        const cut = [
          waiters[0]!.container('busy').job(linked.id).link(),
          waiters[1]!.container('busy').run(gated),
          (async () => {
            for await (const _ of waiters[2]!.container('busy').job(streamed.id).stream());
          })(),
        ].map((one) =>
          one.then(
            () => 'answered',
            (error) => error.code,
          ),
        );
        await expect.poll(async () => (await box.info()).jobIds.length, { timeout: 20_000 }).toBe(3);
        const run = Math.max(...(await box.info()).jobIds);
        const idle = raw(place.socket);
        await once(idle.socket, 'connect');
        // a stop that takes its ten seconds holds the drain, and has its answer
        const stopper = await daemon.connect();
        const stopped = stopper.container('stopping').stop();
        await expect.poll(async () => (await stopping.info()).state, { timeout: 10_000 }).toBe('stopped');

        const gone = daemon.kill('SIGUSR2');
        expect(await Promise.all(cut)).toEqual(['UNAVAILABLE', 'UNAVAILABLE', 'UNAVAILABLE']);
        await idle.ended;
        expect(idle.bytes()).toBe(0);
        process.kill(daemon.pid, 'SIGUSR2'); // once more changes nothing
        const refused = net.connect(place.socket);
        const [error] = await once(refused, 'error');
        expect(error.code).toBe('ECONNREFUSED');
        expect(askHealth(place, 'x')).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
        expect(fs.readFileSync(pidfile, 'utf8')).toBe(`${daemon.pid}\n`);
        // jobs end while their waiters have gone and the daemon still lives: their results are kept
        touchInside(containerPath, '/tmp/go');
        await stopped;
        await gone;
        expect(fs.lstatSync(place.socket).isSocket()).toBe(true);
        expect([fs.existsSync(pidfile), daemon.readLog().includes('"drain-timeout"')]).toEqual([
          false,
          false,
        ]);

        daemon = await startDaemon({ place, config });
        const next = await daemon.connect();
        expect(await next.list()).toEqual(['busy', 'stopping']);
        expect((await next.container('stopping').info()).state).toBe('stopped');
        expect((await next.container('busy').info()).state).toBe('active');
        for (const [id, output] of [
          [linked.id, 'result\n'],
          [run, 'result\n'],
          [streamed.id, 'first\nresult\n'],
        ] as const) {
          const result = await next.container('busy').job(id).link();
          expect([text(result.stdout), result.exitStatus]).toEqual([output, 7]);
        }
      },
    );
  }, 120_000);

  it('waits for a stop in the background [behaviour 20.35]', async () => {
    let daemon = await startDaemon();
    await within(
      daemon.place,
      () => daemon,
      async () => {
        const box = await (await daemon.connect()).create();
        const { containerPath = '' } = await box.info();
        const job = await box.spawn(
          'trap "sleep 1; exit 5" TERM; touch /tmp/ready; while :; do sleep 0.05; done',
        );
        await expect
          .poll(() => fs.existsSync(path.join(containerPath, 'tmp/rootfs/tmp/ready')), { timeout: 20_000 })
          .toBe(true);
        await box.stop({ background: true });
        await daemon.kill('SIGUSR2');
        const record = JSON.parse(fs.readFileSync(path.join(containerPath, 'snapshot.json'), 'utf8'));
        expect([record.state, record.jobs[job.id].status]).toEqual(['stopped', [5, '', '']]);
        daemon = await startDaemon({ place: daemon.place });
        const same = (await daemon.connect()).container(box.handle);
        expect((await same.info()).jobIds).toEqual([]);
        expect((await same.job(job.id).link()).exitStatus).toBe(5);
      },
    );
  }, 60_000);

  it('ends although a request hangs, and says so [behaviour 20.51]', async () => {
    const config = { server: { drain_timeout: 1 } };
    let daemon = await startDaemon({ config });
    await within(
      daemon.place,
      () => daemon,
      async () => {
        const box = await (await daemon.connect()).create();
        await box.spawn('sleep 600');
        const init = await initOf(box);
        process.kill(init, 'SIGSTOP');
        try {
          const hanging = box.stop().then(
            () => 'stopped',
            (error) => error.code,
          );
          await expect
            .poll(() => daemon.readLog().includes('"request":"Stop"'), { timeout: 10_000 })
            .toBe(true);
          await daemon.kill('SIGUSR2');
          expect(await hanging).toBe('UNAVAILABLE');
          expect(daemon.readLog()).toMatch(/"drain-timeout".*\n(.*\n)*.*"drain-cut-off".*"Stop"/);
        } finally {
          process.kill(init, 'SIGCONT');
        }
        daemon = await startDaemon({ place: daemon.place });
        expect(await (await daemon.connect()).list()).toEqual([box.handle]);
      },
    );
  }, 60_000);

  it('goes over to an end at once on SIGTERM, with the pidfile removed [behaviour 11]', async () => {
    const place = await makePlace();
    const pidfile = path.join(place.directory, 'wardend.pid');
    const daemon = await startDaemon({ place, config: { server: { pidfile } } });
    await within(
      place,
      () => daemon,
      async () => {
        const box = await (await daemon.connect()).create();
        const job = await box.spawn('trap "" TERM; echo deaf; sleep 600');
        for await (const _ of job.output) break; // not before it has stopped listening
        const stop = box.stop().catch(() => {});
        await expect.poll(async () => (await box.info()).state, { timeout: 10_000 }).toBe('stopped');
        const gone = daemon.kill('SIGUSR2');
        await expect.poll(() => daemon.readLog().includes('"ending"'), { timeout: 10_000 }).toBe(true);
        await delay(50);
        const began = Date.now();
        process.kill(daemon.pid, 'SIGTERM');
        await gone;
        expect(Date.now() - began).toBeLessThan(8_000);
        expect(fs.existsSync(pidfile)).toBe(false);
        await stop;
        const next = await startDaemon({ place });
        await next.stop();
      },
    );
  }, 60_000);
});

describeWith(['root', 'isolated', 'overlayfs', 'python3'], 'the end and the start of a daemon', () => {
  it.each([
    ['SIGTERM', false],
    ['SIGINT', false],
    ['SIGKILL', true],
  ] as const)(
    '%s leaves containers and their jobs alive; the pidfile stays: %s [behaviour 11] [behaviour 12 pidfile]',
    async (signal, stays) => {
      const place = await makePlace();
      const pidfile = path.join(place.directory, 'wardend.pid');
      const config = { server: { pidfile } };
      let daemon = await startDaemon({ place, config });
      await within(
        place,
        () => daemon,
        async () => {
          const box = await (await daemon.connect()).create();
          const job = await box.spawn('sleep 600');
          expect(fs.readFileSync(pidfile, 'utf8')).toBe(`${daemon.pid}\n`);
          await daemon.kill(signal);
          expect(fs.existsSync(pidfile)).toBe(stays);
          daemon = await startDaemon({ place, config }); // a stale one is replaced
          expect(fs.readFileSync(pidfile, 'utf8')).toBe(`${daemon.pid}\n`);
          expect((await (await daemon.connect()).container(box.handle).info()).jobIds).toEqual([job.id]);
        },
      );
    },
    60_000,
  );

  it('is refused with a pidfile that names a living process, and leaves no socket behind [behaviour 12 pidfile] [behaviour 2 step 10]', async () => {
    const place = await makePlace();
    try {
      const pidfile = path.join(place.directory, 'wardend.pid');
      fs.writeFileSync(pidfile, `${process.pid}\n`);
      await expect(startDaemon({ place, config: { server: { pidfile } } })).rejects.toThrow(
        new RegExp(`pidfile ${pidfile} names the running process ${process.pid}`),
      );
      expect([fs.readFileSync(pidfile, 'utf8'), fs.existsSync(place.socket)]).toEqual([
        `${process.pid}\n`,
        false,
      ]);
    } finally {
      await place.remove();
    }
  });

  it('answers health checks: nothing before bytes come, then 200 for whatever they are [behaviour 12 health check]', async () => {
    const place = await makePlace();
    const daemon = await startDaemon({ place, config: { health_check_server: { port: HEALTH_PORT } } });
    await within(
      place,
      () => daemon,
      async () => {
        expect(askHealth(place, undefined)).toBe('<silence>');
        for (const request of ['GET / HTTP/1.1\r\n\r\n', 'x', 'änything'])
          expect(askHealth(place, request)).toBe(
            'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
          );
        const second = await makePlace();
        try {
          const elsewhere = { ...second, network: place.network };
          // no networks and ports of its own, which it would be refused for before
          const config = { health_check_server: { port: HEALTH_PORT }, drivers: { network: 'none' } };
          await expect(startDaemon({ place: elsewhere, config })).rejects.toThrow(
            new RegExp(
              `health-check port 127.0.0.1:${HEALTH_PORT} cannot be used: .*; configure another health_check_server.port, or null for none`,
            ),
          );
        } finally {
          await second.remove();
        }
      },
    );
  }, 60_000);

  it('starts the grace time of recovered containers [behaviour 8 start] [behaviour 19.2 grace time 0]', async () => {
    let daemon = await startDaemon();
    await within(
      daemon.place,
      () => daemon,
      async () => {
        const client = await daemon.connect();
        await client.create({ handle: 'short', graceTime: 0 });
        await client.create({ handle: 'long' });
        await daemon.kill('SIGKILL');
        daemon = await startDaemon({ place: daemon.place });
        const observer = await daemon.connect();
        await expect.poll(() => observer.list(), { timeout: 20_000 }).toEqual(['long']);
      },
    );
  }, 60_000);
});
