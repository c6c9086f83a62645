import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { DEFAULT_ROOTFS, describeWith, withDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { text } from './text.ts';

for (const filesystem of ['overlayfs', 'bind'])
  describeWith(
    ['root', 'isolated', 'overlayfs'],
    `the life of a container, its root by ${filesystem}`,
    () => {
      const suite = withDaemon({ config: { drivers: { filesystem } } });

      it('creates, runs as the unprivileged user, and destroys', async () => {
        const warden = await suite.daemon.connect();
        const box = await warden.create();
        expect(box.handle).toMatch(/^[0-9a-v]{11}$/);
        const result = await box.run('id -un; id -u; echo to stderr >&2; exit 3');
        expect(text(result.stdout)).toMatch(/^vcap\n1\d{4}\n$/);
        expect(text(result.stderr)).toBe('to stderr\n');
        expect(result.exitStatus).toBe(3);
        expect(await warden.list()).toEqual([box.handle]);
        await box.destroy();
        expect(await warden.list()).toEqual([]);
        expect(fs.readdirSync(suite.daemon.place.depot).filter((name) => !name.startsWith('.'))).toEqual([]);
        await expect(box.info()).rejects.toMatchObject({ code: 'UNKNOWN_HANDLE' });
      });

      it('is destroyed by await using', async () => {
        const warden = await suite.daemon.connect();
        {
          await using box = await warden.create({ handle: 'scoped' });
          expect((await box.run('true')).exitStatus).toBe(0);
        }
        expect(await warden.list()).toEqual([]);
      });

      it('runs privileged jobs as root inside', async () => {
        const warden = await suite.daemon.connect();
        await using box = await warden.create();
        const { stdout } = await box.run('id -u; echo $HOME; echo $PATH', { privileged: true });
        expect(text(stdout)).toBe('0\n/root\n/sbin:/bin:/usr/sbin:/usr/bin\n');
      });

      it('gives jobs exactly the environment of the specification (behaviour 6.3)', async () => {
        const warden = await suite.daemon.connect();
        await using box = await warden.create();
        const inside = async (privileged: boolean): Promise<string> =>
          text((await box.run('tr "\\0" "\\n" < /proc/$$/environ | sort; pwd', { privileged })).stdout);
        const lang = `LANG=${process.env.LANG || 'en_US.UTF-8'}`;
        expect(await inside(false)).toBe(
          `HOME=/home/vcap\n${lang}\nPATH=/bin:/usr/bin\nUSER=vcap\n/home/vcap\n`,
        );
        expect(await inside(true)).toBe(
          `HOME=/root\n${lang}\nPATH=/sbin:/bin:/usr/sbin:/usr/bin\nUSER=root\n/root\n`,
        );
      });

      it('gives each job a session of its own, without a terminal [behaviour 6.3 session]', async () => {
        const warden = await suite.daemon.connect();
        await using box = await warden.create();
        const { stdout } = await box.run(
          'set -- $(cat /proc/$$/stat); echo "pid $$: group $5, session $6, terminal $7"',
        );
        const [pid] = /\d+/.exec(text(stdout))!;
        expect(text(stdout)).toBe(`pid ${pid}: group ${pid}, session ${pid}, terminal 0\n`);
      });

      it('answers info with state, addresses and statistics', async () => {
        const warden = await suite.daemon.connect();
        await using box = await warden.create();
        const job = await box.spawn('sleep 60');
        const info = await box.info();
        expect(info).toMatchObject({ state: 'active', events: [], jobIds: [job.id] });
        expect(info.containerPath).toBe(path.join(fs.realpathSync(suite.daemon.place.depot), box.handle));
        expect(info.hostIp).toMatch(/^10\.254\./);
        const last = (address: string): number => Number(address.split('.')[3]);
        expect(last(info.containerIp!)).toBe(last(info.hostIp!) + 1);
        expect(info.memoryStat?.rss).toBeGreaterThan(0n);
        expect(info.cpuStat?.usage).toBeGreaterThan(0n);
      });

      it('stops gracefully, keeps the result of what ran, and takes no further jobs', async () => {
        const warden = await suite.daemon.connect();
        await using box = await warden.create();
        const job = await box.spawn('trap "exit 37" TERM; echo ready; while :; do sleep 0.05; done');
        for await (const chunk of job.output) if (text(chunk.data).includes('ready')) break;
        await box.stop();
        expect((await job.result()).exitStatus).toBe(37);
        expect((await box.info()).state).toBe('stopped');
        await expect(box.run('true')).rejects.toMatchObject({ code: 'BAD_STATE' });
        await box.stop();
      });

      it('kills at once what would ignore a stop', async () => {
        const warden = await suite.daemon.connect();
        await using box = await warden.create();
        const job = await box.spawn('trap "" TERM; echo ready; while :; do sleep 0.05; done');
        for await (const chunk of job.output) if (text(chunk.data).includes('ready')) break;
        const began = Date.now();
        await box.stop({ kill: true });
        expect((await job.result()).exitStatus).toBe(255);
        expect(Date.now() - began).toBeLessThan(8_000);
      });

      it('answers a background stop before it is done', async () => {
        const warden = await suite.daemon.connect();
        await using box = await warden.create();
        // SIGTERM comes again every second: a slow end must not begin anew
        const end = `trap 'trap "" TERM; sleep 1; exit 5' TERM`;
        const job = await box.spawn(`${end}; echo ready; while :; do sleep 0.05; done`);
        for await (const chunk of job.output) if (text(chunk.data).includes('ready')) break;
        await box.stop({ background: true });
        expect((await box.info()).jobIds).toEqual([job.id]);
        expect((await job.result()).exitStatus).toBe(5);
      });

      it('destroys a container that is full of running jobs', async () => {
        const warden = await suite.daemon.connect();
        const box = await warden.create();
        const jobs = await Promise.all(
          Array.from({ length: 5 }, () =>
            box.spawn('trap "" TERM HUP INT; while :; do sleep 1; done & wait'),
          ),
        );
        const results = Promise.allSettled(jobs.map((job) => job.result()));
        await box.destroy();
        for (const one of await results)
          expect(one.status === 'fulfilled' ? one.value.exitStatus : one.reason.code).toSatisfy(
            (end) => end === 255 || end === 'UNKNOWN_HANDLE' || end === 'UNKNOWN_JOB',
          );
      });

      it('mounts host directories and files read-only or writable', async () => {
        const warden = await suite.daemon.connect();
        const shared = path.join(suite.daemon.place.directory, 'shared dir');
        fs.mkdirSync(shared, { recursive: true });
        fs.chmodSync(shared, 0o777);
        fs.writeFileSync(path.join(shared, 'file'), 'from the host\n');
        await using box = await warden.create({
          bindMounts: [
            { source: shared, target: '/data/ro', mode: 'ro' },
            { source: shared, target: '/data/rw', mode: 'rw' },
            { source: path.join(shared, 'file'), target: '/etc/one-file', mode: 'ro' },
          ],
        });
        const { stdout } = await box.run(
          'cat /data/ro/file /etc/one-file; echo inside > /data/rw/new && echo written; (echo x > /data/ro/no) 2>/dev/null || echo refused; (echo x > /etc/one-file) 2>/dev/null || echo refused',
        );
        expect(text(stdout)).toBe('from the host\nfrom the host\nwritten\nrefused\nrefused\n');
        expect(fs.readFileSync(path.join(shared, 'new'), 'utf8')).toBe('inside\n');
      });

      it('takes the root file system and network of the request', async () => {
        const warden = await suite.daemon.connect();
        await using box = await warden.create({
          rootfs: DEFAULT_ROOTFS,
          network: '10.254.2.6',
          handle: 'named by the client',
        });
        expect(box.handle).toBe('named by the client');
        const info = await box.info();
        expect([info.hostIp, info.containerIp]).toEqual(['10.254.2.5', '10.254.2.6']);
      });

      it('keeps what one container writes from all others', async () => {
        const warden = await suite.daemon.connect();
        await using first = await warden.create();
        await using second = await warden.create();
        await first.run('echo secret > /tmp/mine; echo broken > /bin/cat', { privileged: true });
        expect(
          text((await second.run('ls /tmp; cat /etc/hostname 2>/dev/null; echo "works" | cat')).stdout),
        ).toContain('works');
        expect(text((await second.run('ls /tmp')).stdout)).toBe('');
        expect(fs.readlinkSync(path.join(DEFAULT_ROOTFS, 'bin/cat'))).toBe('/bin/busybox');
      });

      it('destroys an unreferenced container after its grace time', async () => {
        const observer = await suite.daemon.connect();
        const owner = await suite.daemon.connect();
        const box = await owner.create({ graceTime: 1, handle: 'short-lived' });
        await box.run('true');
        await delay(1_500); // referenced: nothing happens
        expect(await observer.list()).toEqual(['short-lived']);
        await owner.close();
        expect(await observer.list()).toEqual(['short-lived']);
        await expect.poll(() => observer.list(), { timeout: 10_000 }).toEqual([]);
      });

      it('destroys at once with a grace time of zero', async () => {
        const observer = await suite.daemon.connect();
        const owner = await suite.daemon.connect();
        await owner.create({ graceTime: 0 });
        await owner.close();
        await expect.poll(() => observer.list(), { timeout: 5_000 }).toEqual([]);
      });

      it('echoes bytes that are no text', async () => {
        const warden = await suite.daemon.connect();
        await warden.ping();
        const message = Uint8Array.from({ length: 256 }, (_, at) => at);
        expect(Buffer.from(await warden.echo(message)).equals(message)).toBe(true);
      });
    },
  );
