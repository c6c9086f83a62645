/** The insecure backend while its daemon, its init or its keeper dies (spec behaviour.md 9, 10, 11, 16). */
import fs from 'node:fs';
import path from 'node:path';
import { connect } from '@warden/client';
import {
  describeWith,
  makePlace,
  remainingLeaks,
  startDaemon,
  type TestDaemon,
  takeInventory,
} from '@warden/test-harness';
import { expect, it } from 'vitest';
import { INSECURE_DAEMONS, withServer } from './insecure-daemon.ts';
import { text } from './text.ts';
import { until } from './until.ts';

/** Starts daemons one after the other on one place; audits what is left when the last one has been stopped. */
async function onOnePlace(
  body: (start: (server?: Readonly<Record<string, unknown>>) => Promise<TestDaemon>) => Promise<void>,
  options: (typeof INSECURE_DAEMONS)[number]['options'],
): Promise<void> {
  const place = await makePlace();
  const before = takeInventory(place);
  let daemon: TestDaemon | undefined;
  try {
    await body(async (server = {}) => {
      daemon = await startDaemon({ ...withServer(options, server), place });
      return daemon;
    });
  } finally {
    try {
      await daemon?.stop();
      await daemon?.kill();
      expect((await remainingLeaks(place, before)).filter((line) => !line.includes('wardend'))).toEqual([]);
    } finally {
      await place.remove();
    }
  }
}

for (const { who, options } of INSECURE_DAEMONS) {
  describeWith(['root', 'isolated'], `a restarted daemon of ${who} with the insecure backend`, () => {
    for (const signal of ['SIGKILL', 'SIGTERM', 'SIGUSR2'] as const) {
      it(`takes over containers and jobs after ${signal} [behaviour 10]`, () =>
        onOnePlace(async (start) => {
          const first = await start();
          const warden = await first.connect();
          const box = await warden.create({ handle: 'survivor' });
          const stopped = await warden.create({ handle: 'stopped' });
          await stopped.stop();
          const { hostIp, containerPath } = await box.info();
          const { hostPort } = await box.netIn();
          const ending = await box.spawn('while [ ! -e go ]; do sleep 0.05; done; echo meanwhile; exit 21');
          const lasting = await box.spawn('trap "exit 22" TERM; echo "a line"; while :; do sleep 0.05; done');
          await first.kill(signal);
          fs.writeFileSync(path.join(containerPath!, 'root/go'), '');

          const again = await (await start()).connect();
          expect([...(await again.list())].sort()).toEqual(['stopped', 'survivor']);
          const same = again.container('survivor');
          expect(await same.info()).toMatchObject({ state: 'active', hostIp });
          expect((await again.container('stopped').info()).state).toBe('stopped');
          const result = await same.job(ending.id).link();
          expect([text(result.stdout), result.exitStatus]).toEqual(['meanwhile\n', 21]);
          // what the first daemon owned is not handed out again
          expect((await same.netIn()).hostPort).toBe(hostPort + 1);
          const other = await again.create();
          expect((await other.info()).hostIp).not.toBe(hostIp);
          const { id } = await same.spawn('true');
          expect(id).toBeGreaterThan(lasting.id);
          const waiting = same.job(lasting.id).link();
          await same.stop();
          expect((await waiting).exitStatus).toBe(22);
        }, options));
    }

    it('removes a container whose processes were killed meanwhile [behaviour 10 dead]', () =>
      onOnePlace(async (start) => {
        const first = await start();
        const box = await (await first.connect()).create({ handle: 'dead' });
        await box.spawn('sleep 600 & exec sleep 600');
        const { containerPath } = await box.info();
        await first.kill('SIGKILL');
        for (const pid of supervisors(containerPath!)) end(pid);
        const again = await start();
        expect(await (await again.connect()).list()).toEqual([]);
        expect(fs.existsSync(containerPath!)).toBe(false);
        for (const pid of workers(containerPath!)) end(pid); // both at once leaves nobody to do it
      }, options));

    it('removes a container without a snapshot [behaviour 10 no snapshot]', () =>
      onOnePlace(async (start) => {
        const first = await start();
        await first.kill('SIGKILL');
        const directory = path.join(first.place.depot, '0123456789a');
        fs.mkdirSync(path.join(directory, 'root'), { recursive: true });
        const again = await start();
        expect(await (await again.connect()).list()).toEqual([]);
        expect(fs.existsSync(directory)).toBe(false);
      }, options));

    for (const [which, name] of ['keeper', 'init'].entries())
      it(`ends everything when the ${name} is killed [behaviour 16 stop]`, () =>
        onOnePlace(async (start) => {
          const daemon = await start();
          const box = await (await daemon.connect()).create();
          const { containerPath } = await box.info();
          await box.spawn('(setsid sleep 600 &); sleep 600 & exec sleep 600');
          await until(() => workers(containerPath!).length === 3);
          process.kill(supervisors(containerPath!)[which]!, 'SIGKILL');
          await until(() => [...workers(containerPath!), ...supervisors(containerPath!)].length === 0);
          await until(async () => (await box.info()).state === 'stopped');
          await box.destroy();
          expect(fs.existsSync(containerPath!)).toBe(false);
        }, options));

    it('finishes what is in progress, refuses newcomers and leaves jobs running on SIGUSR2 [behaviour 11]', () =>
      onOnePlace(async (start) => {
        const first = await start();
        const warden = await first.connect();
        const box = await warden.create({ handle: 'drained' });
        const { containerPath } = await box.info();
        const job = await box.spawn(
          'trap "touch stopping; while [ ! -e go ]; do sleep 0.05; done; exit 9" TERM; touch begun; while :; do sleep 0.05; done',
        );
        const linked = box
          .job(job.id)
          .link()
          .then(
            () => 'answered',
            (error: { code: string }) => error.code,
          );
        const other = await warden.create({ handle: 'lasting' });
        const kept = await other.spawn('while [ ! -e go ]; do sleep 0.05; done; exit 8');
        const lasting = (await other.info()).containerPath!;
        // not before it listens
        await until(() => fs.existsSync(path.join(containerPath!, 'root/begun')));
        const stopping = box.stop();
        await until(() => fs.existsSync(path.join(containerPath!, 'root/stopping')));
        const drained = first.kill('SIGUSR2');
        expect(await linked).toBe('UNAVAILABLE');
        await expect(connect({ path: first.place.socket })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
        fs.writeFileSync(path.join(containerPath!, 'root/go'), '');
        await stopping; // was answered before the daemon ended
        await drained;
        const again = await (await start()).connect();
        expect((await again.container('drained').info()).state).toBe('stopped');
        fs.writeFileSync(path.join(lasting, 'root/go'), '');
        expect((await again.container('lasting').job(kept.id).link()).exitStatus).toBe(8);
      }, options));

    it('destroys an unreferenced container after its grace time, also a recovered one [behaviour 8]', () =>
      onOnePlace(async (start) => {
        const first = await start();
        const warden = await first.connect();
        await warden.create({ handle: 'brief', graceTime: 0 });
        await first.kill('SIGKILL');
        const again = await start();
        await until(async () => (await (await again.connect()).list()).length === 0);
      }, options));

    it('writes its pid to the pidfile and removes it [behaviour 12]', () =>
      onOnePlace(async (start) => {
        const directory = fs.mkdtempSync('/tmp/warden-pidfile-');
        if (options.uid !== undefined) fs.chownSync(directory, options.uid, options.uid);
        try {
          const pidfile = path.join(directory, 'pid');
          const daemon = await start({ pidfile });
          expect(fs.readFileSync(pidfile, 'utf8')).toBe(`${daemon.pid}\n`);
          await daemon.kill('SIGTERM');
          expect(fs.existsSync(pidfile)).toBe(false);
        } finally {
          fs.rmSync(directory, { recursive: true });
        }
      }, options));
  });
}

describeWith(['root', 'isolated', 'overlayfs'], 'a depot of the other backend', () => {
  it('is refused while it has containers, and taken when it has none [config 2 container_klass]', () =>
    onOnePlace(async (start) => {
      const first = await start();
      await (await first.connect()).create({ handle: 'plain' });
      await first.kill('SIGTERM');
      const linux = { container_klass: 'Warden::Container::Linux' };
      await expect(start(linux)).rejects.toThrow(
        /holds containers of Warden::Container::Insecure; destroy them .*configure another server\.container_depot_path/,
      );
      const again = await start();
      const same = await again.connect();
      expect(await same.list()).toEqual(['plain']);
      await same.container('plain').destroy();
      await again.kill('SIGTERM');
      await (await start(linux)).connect();
    }, INSECURE_DAEMONS[0]!.options));
});

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it went with the one before
  }
}

/** Pids of keeper and init, in this order. */
function supervisors(directory: string): number[] {
  return pidsWhose('exe', path.join(directory, 'bin')).sort((a, b) => (parentOf(b) === a ? -1 : 1));
}

/** Pids of what works below a container's directory. */
function workers(directory: string): number[] {
  return pidsWhose('cwd', directory);
}

function pidsWhose(link: string, directory: string): number[] {
  return fs
    .readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return fs.readlinkSync(`/proc/${pid}/${link}`).startsWith(directory);
      } catch {
        return false;
      }
    })
    .map(Number);
}

function parentOf(pid: number): number {
  return Number(/^PPid:\t(\d+)$/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}
