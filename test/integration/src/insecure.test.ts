/** The insecure backend: what it does, and what it answers to what it does not (spec behaviour.md 16). */
import fs from 'node:fs';
import path from 'node:path';
import type { ClientContainer } from '@warden/client';
import { describeWith, withDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { INSECURE_DAEMONS, withServer } from './insecure-daemon.ts';
import { text } from './text.ts';
import { until } from './until.ts';

for (const { who, options } of INSECURE_DAEMONS) {
  describeWith(['root', 'isolated'], `the insecure backend of ${who}`, () => {
    const suite = withDaemon(withServer(options, { job_output_limit: 100_000 }));
    const uid = options.uid ?? 0;

    it('makes the directories root, pids, jobs, tmp and bin [behaviour 16 directory]', async () => {
      await using box = await (await suite.daemon.connect()).create();
      const { containerPath } = await box.info();
      expect(fs.readdirSync(containerPath!).sort()).toEqual(
        ['bin', 'jobs', 'pids', 'root', 'run', 'snapshot.json', 'tmp'].sort(),
      );
      expect(fs.readdirSync(path.join(containerPath!, 'tmp'))).toEqual([]);
      expect(fs.statSync(path.join(containerPath!, 'root')).uid).toBe(uid);
    });

    it('runs bash in a new session, without environment, in root, as the daemon [behaviour 16 run]', async () => {
      await using box = await (await suite.daemon.connect()).create();
      const { containerPath } = await box.info();
      const { stdout } = await box.run(
        'tr "\\0" "\\n" < /proc/$$/environ; pwd; id -u; id -G; read -r _ _ _ _ group session _ < /proc/$$/stat; [ $$ = $session ] && [ $$ = $group ] && echo leads; echo $BASH',
      );
      expect(text(stdout).split('\n')).toEqual([
        path.join(containerPath!, 'root'),
        String(uid),
        fs.readFileSync(`/proc/${suite.daemon.pid}/status`, 'utf8').match(/^Groups:\t(.*?) ?$/m)?.[1] ||
          String(uid),
        'leads',
        '/bin/bash',
        '',
      ]);
    });

    it('feeds the script on standard input, whatever its size [behaviour 6.3]', async () => {
      await using box = await (await suite.daemon.connect()).create();
      expect(text((await box.run('read -r line\nsecond line\necho "got $line"')).stdout)).toBe(
        'got second line\n',
      );
      const long = `${'# a comment to fill it\n'.repeat(10_000)}echo end`;
      expect(text((await box.run(long)).stdout)).toBe('end\n');
    });

    it('leaves a file named after its pid for every start [behaviour 16 run]', async () => {
      await using box = await (await suite.daemon.connect()).create();
      const { containerPath } = await box.info();
      const pids = [
        text((await box.run('echo $$')).stdout).trim(),
        text((await box.run('echo $$')).stdout).trim(),
      ];
      expect(fs.readdirSync(path.join(containerPath!, 'pids')).sort()).toEqual(pids.sort());
    });

    it('ignores privileged and process limits [behaviour 6.3]', async () => {
      await using box = await (await suite.daemon.connect()).create();
      const limit = text((await box.run('ulimit -n')).stdout);
      const { stdout } = await box.run('id -u; ulimit -n', { privileged: true, rlimits: { nofile: 77n } });
      expect(text(stdout)).toBe(`${uid}\n${limit}`);
    });

    it('honours the network of Create, and ignores rootfs and bind mounts [behaviour 5 Create]', async () => {
      const warden = await suite.daemon.connect();
      await using box = await warden.create({
        network: '10.254.0.40',
        rootfs: '/nonexistent/root',
        bindMounts: [{ source: '/nonexistent/source', target: '/nonexistent/target', mode: 'ro' }],
      });
      expect(await box.info()).toMatchObject({ hostIp: '10.254.0.41', containerIp: '10.254.0.42' });
      expect((await box.run('test -e /nonexistent')).exitStatus).toBe(1);
      await expect(warden.create({ network: '10.254.0.40' })).rejects.toThrow(
        'Could not acquire network: 10.254.0.40',
      );
    });

    it('answers the base fields of Info only, and that it is unsafe [behaviour 16 Info]', async () => {
      await using box = await (await suite.daemon.connect()).create();
      const job = await box.spawn('exec sleep 600');
      const info = await box.info();
      expect(Object.keys(info).sort()).toEqual(
        ['containerIp', 'containerPath', 'events', 'hostIp', 'jobIds', 'state', 'unsafe'].sort(),
      );
      expect(info).toMatchObject({ state: 'active', jobIds: [job.id], unsafe: ['no-isolation'] });
    });

    it('hands out pool ports, the same inside and outside, whatever was asked for [behaviour 5 NetIn]', async () => {
      await using box = await (await suite.daemon.connect()).create();
      const first = await box.netIn();
      const second = await box.netIn({ hostPort: 80, containerPort: 8080 });
      expect(first.containerPort).toBe(first.hostPort);
      expect(second).toEqual({ hostPort: first.hostPort + 1, containerPort: first.hostPort + 1 });
      const snapshot = JSON.parse(
        fs.readFileSync(path.join((await box.info()).containerPath!, 'snapshot.json'), 'utf8'),
      );
      expect(snapshot.resources).toMatchObject({ ports: [first.hostPort, second.hostPort], net_in: [] });
    });

    const refused: readonly (readonly [string, (box: ClientContainer) => Promise<unknown>])[] = [
      ['NetOut', (box) => box.netOut({ network: '192.0.2.1' })],
      ['LimitMemory', (box) => box.limitMemory(1_000_000n)],
      ['LimitMemory without a limit', (box) => box.limitMemory()],
      ['LimitDisk', (box) => box.limitDisk({ blockHard: 1_000n })],
      ['LimitBandwidth', (box) => box.limitBandwidth({ rate: 1_000n, burst: 1_000n })],
      ['LimitCpu', (box) => box.limitCpu(100n)],
      ['LimitCpu without shares', (box) => box.limitCpu()],
    ];
    for (const [name, request] of refused) {
      it(`answers ${name} with not implemented [behaviour 16 not implemented]`, async () => {
        await using box = await (await suite.daemon.connect()).create();
        await expect(request(box)).rejects.toMatchObject({ message: 'not implemented', code: 'UNSUPPORTED' });
      });
    }

    it('checks the state before it says not implemented [behaviour 16 not implemented]', async () => {
      await using box = await (await suite.daemon.connect()).create();
      await box.stop();
      await expect(box.netOut({ network: '192.0.2.1' })).rejects.toThrow(
        "Container state must be one of 'active', current state is 'stopped'",
      );
      await expect(box.netIn()).rejects.toThrow(
        "Container state must be one of 'active', current state is 'stopped'",
      );
      await expect(box.limitCpu()).rejects.toThrow('not implemented');
    });

    it('keeps output to the limit, kills what prints more, and says so [behaviour 6.4 tripped]', async () => {
      await using box = await (await suite.daemon.connect()).create();
      const exact = await box.run('head -c 100000 /dev/zero; exit 4');
      expect([exact.stdout.length, exact.exitStatus]).toEqual([100_000, 4]);
      const over = await box.run('head -c 100001 /dev/zero; exec sleep 600');
      expect(over.exitStatus).toBe(255);
      expect(over.info?.events).toEqual(['command exceeded maximum output']);
      const discarded = await box.run('head -c 1000000 /dev/zero; exit 5', { discardOutput: true });
      expect([discarded.stdout.length, discarded.exitStatus]).toEqual([0, 5]);
    });

    it('stops with SIGTERM what ends by itself, also what a job has left behind [behaviour 16 stop]', async () => {
      await using box = await (await suite.daemon.connect()).create();
      const job = await box.spawn(
        'setsid bash -c \'trap "echo orphan >> said; exit" TERM; touch ready; while :; do sleep 0.05; done\' & while [ ! -e ready ]; do sleep 0.05; done; trap "echo job >> said; exit 37" TERM; echo ready; while :; do sleep 0.05; done',
      );
      for await (const chunk of job.output) if (text(chunk.data).includes('ready')) break;
      const { containerPath } = await box.info();
      await box.stop();
      expect((await job.result()).exitStatus).toBe(37);
      const said = fs.readFileSync(path.join(containerPath!, 'root/said'), 'utf8');
      expect(said.trim().split('\n').sort()).toEqual(['job', 'orphan']);
      expect((await box.info()).state).toBe('stopped');
    });

    it('stops with SIGKILL at once when told to, and reaches daemonised descendants [behaviour 5 Stop]', async () => {
      await using box = await (await suite.daemon.connect()).create();
      const job = await box.spawn(
        'trap "" TERM; (setsid bash -c \'trap "" TERM; echo $$ > orphan; while :; do sleep 0.05; done\' &) ; while [ ! -s orphan ]; do sleep 0.05; done; echo ready; while :; do sleep 0.05; done',
      );
      for await (const chunk of job.output) if (text(chunk.data).includes('ready')) break;
      const orphan = fs
        .readFileSync(path.join((await box.info()).containerPath!, 'root/orphan'), 'utf8')
        .trim();
      await box.stop({ kill: true });
      expect((await job.result()).exitStatus).toBe(255);
      expect(fs.existsSync(`/proc/${orphan}`)).toBe(false);
    });

    it('leaves alone what is not its own, even if its number stands in pids [behaviour 16 stop]', async () => {
      const warden = await suite.daemon.connect();
      await using stranger = await warden.create();
      await using box = await warden.create();
      const other = await stranger.spawn('echo $$; exec sleep 600');
      let pid = '';
      for await (const chunk of other.output) {
        pid = text(chunk.data).trim();
        break;
      }
      fs.writeFileSync(path.join((await box.info()).containerPath!, 'pids', pid), '');
      await box.spawn('exec sleep 600');
      await box.stop({ kill: true });
      expect(fs.readFileSync(`/proc/${pid}/comm`, 'utf8')).toBe('sleep\n');
    });

    it('ends a fork bomb on stop and destroy [behaviour 5 Destroy]', async () => {
      const warden = await suite.daemon.connect();
      const box = await warden.create();
      // bounded, so that a failure does not take the machine along
      await box.spawn(
        'bomb() { for i in 1 2 3; do [ $1 -lt 4 ] && bomb $(($1 + 1)) & done; sleep 600; }; bomb 0',
      );
      const { containerPath } = await box.info();
      await until(() => workers(containerPath!).length > 50);
      await box.destroy();
      expect(workers(containerPath!)).toEqual([]);
      expect(fs.existsSync(containerPath!)).toBe(false);
    });

    it('removes directories that a job has closed to itself [behaviour 5 Destroy]', async () => {
      const box = await (await suite.daemon.connect()).create();
      const { containerPath } = await box.info();
      const { exitStatus } = await box.run(
        'mkdir -p a/b/c d e/f && touch a/file a/b/file d/file && chmod 000 a/b/c a/b && chmod 444 d && chmod 555 e a',
      );
      expect(exitStatus).toBe(0);
      await box.destroy();
      expect(fs.existsSync(containerPath!)).toBe(false);
    });

    it('copies below root, by the path without its first character, as the daemon [behaviour 16 copy]', async () => {
      const box = await (await suite.daemon.connect()).create();
      const { containerPath } = await box.info();
      const root = path.join(containerPath!, 'root');
      const host = fs.mkdtempSync('/tmp/warden-copies-');
      try {
        fs.chownSync(host, uid, uid);
        fs.mkdirSync(path.join(host, 'tree'));
        fs.writeFileSync(path.join(host, 'tree/file'), 'content', { mode: 0o640 });
        fs.symlinkSync('file', path.join(host, 'tree/link'));
        for (const name of ['tree', 'tree/file']) fs.chownSync(path.join(host, name), uid, uid);
        await box.copyIn(path.join(host, 'tree'), '/');
        await box.copyIn(path.join(host, 'tree/'), 'xsame');
        for (const name of ['tree', 'same']) {
          expect(fs.readFileSync(path.join(root, name, 'file'), 'utf8')).toBe('content');
          expect(fs.readlinkSync(path.join(root, name, 'link'))).toBe('file');
          const { mode, uid: owner } = fs.statSync(path.join(root, name, 'file'));
          expect([mode & 0o777, owner]).toEqual([0o640, uid]);
        }
        await box.stop();
        await box.copyOut('/same/', path.join(host, 'back'));
        expect(fs.readFileSync(path.join(host, 'back/file'), 'utf8')).toBe('content');
        await expect(box.copyIn(path.join(host, 'tree'), '/')).rejects.toMatchObject({ code: 'BAD_STATE' });
      } finally {
        fs.rmSync(host, { recursive: true });
        await box.destroy();
      }
    });

    it('refuses an empty path and a missing source with the original text and more [behaviour 16 copy]', async () => {
      await using box = await (await suite.daemon.connect()).create();
      await expect(box.copyIn('/etc/hostname', '')).rejects.toThrow(
        'command exited with failure: the container path is empty',
      );
      await expect(box.copyOut('', '/tmp')).rejects.toThrow(
        'command exited with failure: the container path is empty',
      );
      await expect(box.copyOut('/missing', '/tmp')).rejects.toThrow(/^command exited with failure/);
    });

    it('signals one job and its tree [behaviour 6]', async () => {
      await using box = await (await suite.daemon.connect()).create();
      const killed = await box.spawn('sleep 600 & echo $!; wait', { trackTree: true });
      const living = await box.spawn('exec sleep 600');
      let child = '';
      for await (const chunk of killed.output) {
        child = text(chunk.data).trim();
        break;
      }
      await killed.kill();
      expect((await killed.result()).exitStatus).toBe(255);
      await until(() => !fs.existsSync(`/proc/${child}`));
      expect((await box.info()).jobIds).toEqual([living.id]);
    });
  });
}

/** Processes that work below a container's directory. */
function workers(directory: string): string[] {
  return fs
    .readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return fs.readlinkSync(`/proc/${pid}/cwd`).startsWith(directory);
      } catch {
        return false;
      }
    });
}
