/**
 * Why a job ended: told by the daemon, kept by the client, shown by the command line, invisible to who does
 * not ask.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import type { ClientContainer } from '@warden/client';
import { describeWith, patience, startDaemon, type TestDaemon, withDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { initOf } from './init-of.ts';
import { text } from './text.ts';

const PROGRAM = path.resolve(import.meta.dirname, '../../../packages/cli/bin/warden.js');
const MIB = 1n << 20n;
const LIMIT = 100_000;
const SLEEP = 'mkfifo /tmp/f 2>/dev/null; exec 4<>/tmp/f; echo ready; while :; do read -r -u 4; done';

function warden(
  daemon: TestDaemon,
  ...args: string[]
): { status: number | null; stdout: string; stderr: string } {
  const words = [PROGRAM, '--socket', daemon.place.socket, ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, words, {
    encoding: 'utf8',
    timeout: patience(30_000),
  });
  return { status, stdout, stderr };
}

async function sleeper(box: ClientContainer, before = ''): Promise<ReturnType<ClientContainer['job']>> {
  const job = await box.spawn(before + SLEEP);
  for await (const { data } of job.output) if (text(data).includes('ready')) break;
  return box.job(job.id);
}

describeWith(['root', 'isolated', 'overlayfs'], 'the verdict on a job', () => {
  const suite = withDaemon({ config: { server: { job_output_limit: LIMIT } } });
  const make = async (): Promise<ClientContainer> => (await suite.daemon.connect()).create();

  it.each([0, 3, 255])('that exits with %i: exited', async (status) => {
    await using box = await make();
    const { exitStatus, verdict } = await box.run(`exit ${status}`);
    expect({ exitStatus, verdict }).toEqual({ exitStatus: status, verdict: { reason: 'exited' } });
    const job = await box.spawn(`exit ${status}`);
    const stream = job.stream();
    let step = await stream.next();
    while (!step.done) step = await stream.next();
    expect(step.value).toMatchObject({ exitStatus: status, verdict: { reason: 'exited' } });
  });

  it('that a signal ends: which; that handles one: exited', async () => {
    await using box = await make();
    expect(await box.run('kill -SEGV $$')).toMatchObject({
      exitStatus: 255,
      verdict: { reason: 'signal', signal: 11 },
    });
    const job = await sleeper(box);
    await job.kill({ signal: 9 });
    expect(await job.link()).toMatchObject({ exitStatus: 255, verdict: { reason: 'signal', signal: 9 } });
    const handler = await sleeper(box, "trap 'exit 4' TERM; ");
    await handler.kill({ signal: 15, tree: false });
    expect(await handler.link()).toMatchObject({ exitStatus: 4, verdict: { reason: 'exited' } });
  });

  it('whose time limit is over: timeout, for everybody else who waits', async () => {
    await using box = await make();
    const job = await box.spawn(SLEEP, { timeoutMs: patience(1_000) });
    const [mine, other] = await Promise.allSettled([job.result(), box.job(job.id).link()]);
    expect(mine).toMatchObject({ status: 'rejected', reason: { code: 'TIMEOUT' } });
    expect(other).toMatchObject({
      status: 'fulfilled',
      value: { exitStatus: 255, verdict: { reason: 'timeout', signal: 9 } },
    });
  });

  it('that prints too much: output-limit', async () => {
    await using box = await make();
    expect(await box.run('cat /dev/zero')).toMatchObject({
      exitStatus: 255,
      verdict: { reason: 'output-limit' },
    });
  });

  it('that a stop ends, or a destruction: container-stopped', async () => {
    await using box = await make();
    const job = await sleeper(box);
    await box.stop();
    expect(await job.link()).toMatchObject({
      exitStatus: 255,
      verdict: { reason: 'container-stopped', signal: 15 },
    });
    const other = await make();
    const linked = (await sleeper(other, "trap '' TERM; ")).link();
    const [, result] = await Promise.all([other.stop({ kill: true }).then(() => other.destroy()), linked]);
    expect(result).toMatchObject({ exitStatus: 255, verdict: { reason: 'container-stopped' } });
  });

  it('whose init is killed: init-lost', async () => {
    await using box = await make();
    const job = await sleeper(box);
    process.kill(await initOf(box), 'SIGKILL');
    expect(await job.link()).toMatchObject({ exitStatus: 255, verdict: { reason: 'init-lost' } });
  });

  it('that writes beyond its limit of file size: disk-limit', async () => {
    await using box = await make();
    const script = 'trap - XFSZ; exec head -c 100000 /dev/zero > /tmp/large';
    expect(await box.run(script, { rlimits: { fsize: 4096n } })).toMatchObject({
      exitStatus: 255,
      verdict: { reason: 'disk-limit', signal: 25 },
    });
  });

  it('that ended while no daemon was there is known to the next one', async () => {
    const daemon = await startDaemon();
    let next: TestDaemon | undefined;
    try {
      const box = await (await daemon.connect()).create({ handle: 'kept' });
      const [stopped, exited] = [await sleeper(box), await sleeper(box)];
      const init = await initOf(box);
      // init tells how it ended to whoever asks first
      const killed = await box.spawn('exec 5<>/tmp/f; read -r -t 2 -u 5; kill -10 $$');
      await daemon.kill();
      const children = `/proc/${init}/task/${init}/children`;
      const count = (): number => fs.readFileSync(children, 'utf8').trim().split(' ').length;
      await expect.poll(count, { timeout: patience(20_000) }).toBe(2);
      next = await startDaemon({ place: daemon.place });
      const again = (await next.connect()).container('kept');
      expect(await again.job(killed.id).link()).toMatchObject({ verdict: { reason: 'signal', signal: 10 } });
      await again.job(exited.id).kill({ signal: 9 });
      expect(await again.job(exited.id).link()).toMatchObject({ verdict: { reason: 'signal', signal: 9 } });
      await again.stop();
      expect(await again.job(stopped.id).link()).toMatchObject({ verdict: { reason: 'container-stopped' } });
    } finally {
      await (next ?? daemon).stop();
      await daemon.place.remove();
    }
  });

  it('is a line on standard error of the command line, and fields of its JSON', async () => {
    const { daemon } = suite;
    await using box = await make();
    const run = (...more: string[]) =>
      warden(daemon, ...more, 'run', '--handle', box.handle, '--script', 'echo out; kill -9 $$');
    expect(run()).toEqual({
      status: 255,
      stdout: 'out\n',
      stderr: 'job ended: killed by signal 9 (SIGKILL)\n',
    });
    const json = run('--json');
    expect(json.stderr).toBe('');
    expect(JSON.parse(json.stdout.trim().split('\n').at(-1)!)).toMatchObject({
      exit_status: 255,
      exit_reason: 'signal',
      exit_signal: 9,
    });
    const plain = warden(daemon, 'run', '--handle', box.handle, '--script', 'exit 4');
    expect(plain).toEqual({ status: 4, stdout: '', stderr: '' });
    const { id } = await box.spawn('kill -9 $$');
    expect(warden(daemon, 'link', '--handle', box.handle, '--job_id', String(id)).stderr).toContain(
      'SIGKILL',
    );
  });
});

describeWith(
  ['root', 'isolated', 'overlayfs', 'cgroup-memory'],
  'the verdict on a job without memory',
  () => {
    const suite = withDaemon();

    it('that the kernel kills, or the stop that follows: out-of-memory', async () => {
      await using box = await (await suite.daemon.connect()).create();
      await box.limitMemory(10n * MIB);
      const other = await sleeper(box);
      expect((await box.run('exec tail -c 20m /dev/zero > /dev/null')).verdict).toMatchObject({
        reason: 'out-of-memory',
      });
      expect((await other.link()).verdict).toMatchObject({ reason: 'out-of-memory', signal: 15 });
    });
  },
);

describeWith(['root', 'isolated', 'overlayfs'], 'the verdict on a job without disk', () => {
  const suite = withDaemon({
    config: { server: { quota: { disk_quota_enabled: true } }, drivers: { quota: 'image' } },
  });

  it('that fails with the limit reached: disk-limit; that fails otherwise: exited', async () => {
    await using box = await (await suite.daemon.connect()).create();
    await box.limitDisk({ blockHard: 4_096n });
    expect((await box.run('exit 3')).verdict).toEqual({ reason: 'exited' });
    const full = await box.run('head -c 20m /dev/zero > file');
    expect(full.exitStatus).not.toBe(0);
    expect(full.verdict).toEqual({ reason: 'disk-limit' });
    expect((await box.run('rm file; exit 3')).verdict).toEqual({ reason: 'exited' });
  });

  it.each(['4k', '256k', '1M', '8M'])('that fails when it writes pieces of %s: disk-limit', async (size) => {
    await using box = await (await suite.daemon.connect()).create();
    await box.limitDisk({ blockHard: 20_480n });
    const full = await box.run(`dd if=/dev/zero of=file bs=${size}`);
    expect(full.stderrText).toContain('No space left on device');
    expect([full.exitStatus, full.verdict]).toEqual([1, { reason: 'disk-limit' }]);
    // with most of it free, a failure is one
    expect((await box.run('head -c 15m file > part; rm file; exit 3')).verdict).toEqual({ reason: 'exited' });
  });
});
